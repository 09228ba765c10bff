package hop

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"strings"

	"github.com/pion/ice/v4"

	"github.com/castd/castd/engine/secure"
)

// Limits of what a peer may offer or answer.
const (
	maxCandidates      = 16  // more are ignored: each is an address that this peer sends checks to
	maxCandidateLength = 256 // octets
	minUfrag, maxUfrag = 4, 32
	minPwd, maxPwd     = 22, 128
)

var (
	errCredentials = errors.New("malformed ICE credentials")
	errFingerprint = errors.New("malformed fingerprint")
	errCandidates  = errors.New("no usable candidate")
)

// terms is one side's half of the exchange: HopOffer and HopAnswer have the same fields.
type terms struct {
	ufrag, pwd  string
	fingerprint [sha256.Size]byte
	candidates  []ice.Candidate
}

// parseTerms checks what a peer sent. Candidates that are of no use are left out; loopback says whether loopback addresses are.
func parseTerms(ufrag, pwd, fingerprint string, candidates []string, loopback bool) (t terms, err error) {
	if !iceChars(ufrag, minUfrag, maxUfrag) || !iceChars(pwd, minPwd, maxPwd) {
		return t, errCredentials
	}
	if t.fingerprint, err = parseFingerprint(fingerprint); err != nil {
		return t, err
	}
	t.ufrag, t.pwd = ufrag, pwd
	for _, s := range candidates {
		if len(t.candidates) == maxCandidates {
			break
		}
		if c, ok := parseCandidate(s, loopback); ok {
			t.candidates = append(t.candidates, c)
		}
	}
	if len(t.candidates) == 0 {
		return t, errCandidates
	}
	return t, nil
}

// iceChars reports whether s consists of ice-chars (RFC 8839 section 5.4) and has a permitted length.
func iceChars(s string, shortest, longest int) bool {
	if len(s) < shortest || len(s) > longest {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '+', c == '/':
		default:
			return false
		}
	}
	return true
}

// parseCandidate reads a candidate attribute's value (RFC 8839 section 5.1). Only UDP candidates with literal unicast addresses
// are of use: names would make this peer ask its resolver on another's behalf.
func parseCandidate(s string, loopback bool) (ice.Candidate, bool) {
	if len(s) > maxCandidateLength {
		return nil, false
	}
	f := strings.Fields(strings.TrimPrefix(s, "candidate:"))
	if len(f) < 8 || f[1] != "1" || !strings.EqualFold(f[2], "udp") || (f[7] != "host" && f[7] != "srflx") {
		return nil, false
	}
	addr, err := netip.ParseAddr(f[4])
	if err != nil || !usable(addr, loopback) {
		return nil, false
	}
	c, err := ice.UnmarshalCandidate(s)
	if err != nil || c.Port() <= 0 || c.Port() > 65535 || !c.NetworkType().IsUDP() {
		return nil, false
	}
	return c, true
}

// usable reports whether media may be sent to an address that a peer named.
func usable(a netip.Addr, loopback bool) bool {
	a = a.Unmap()
	if !a.IsValid() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() ||
		a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return false
	}
	return loopback || !a.IsLoopback()
}

// usableIP is usable for pion's filters.
func usableIP(ip net.IP, loopback bool) bool {
	a, ok := netip.AddrFromSlice(ip)
	return ok && usable(a, loopback)
}

// parseFingerprint reads what secure.FormatFingerprint wrote, in either case of letters.
func parseFingerprint(s string) (sum [sha256.Size]byte, err error) {
	if len(s) != len(secure.FingerprintPrefix)+3*sha256.Size-1 || !strings.EqualFold(s[:len(secure.FingerprintPrefix)], secure.FingerprintPrefix) {
		return sum, errFingerprint
	}
	s = s[len(secure.FingerprintPrefix):]
	for i := range sum {
		if i > 0 && s[3*i-1] != ':' {
			return sum, errFingerprint
		}
		if _, err := hex.Decode(sum[i:i+1], []byte(s[3*i:3*i+2])); err != nil {
			return sum, errFingerprint
		}
	}
	return sum, nil
}
