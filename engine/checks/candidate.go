package checks

import (
	"fmt"
	"hash/crc32"
	"net/netip"
	"strconv"
	"strings"
)

// Priorities (RFC 8445 section 5.1.2): type preference, local preference, component.
const (
	hostPreference = 126
	peerReflexive  = 110<<24 | 65535<<8 | 255
	maxLength      = 512 // octets of a candidate attribute
)

// parseCandidate reads the value of a candidate attribute (RFC 8839 section 5.1). Only UDP candidates with literal unicast
// addresses are of use: names would make this peer ask its resolver on another's behalf.
func parseCandidate(s string) (addr netip.AddrPort, priority uint32, ok bool) {
	if len(s) > maxLength {
		return addr, 0, false
	}
	f := strings.Fields(strings.TrimPrefix(s, "candidate:"))
	if len(f) < 8 || f[1] != "1" || !strings.EqualFold(f[2], "udp") || f[6] != "typ" {
		return addr, 0, false
	}
	p, err := strconv.ParseUint(f[3], 10, 32)
	if err != nil {
		return addr, 0, false
	}
	ip, err := netip.ParseAddr(f[4])
	if err != nil || !usable(ip.Unmap()) {
		return addr, 0, false
	}
	port, err := strconv.ParseUint(f[5], 10, 16)
	if err != nil || port == 0 {
		return addr, 0, false
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(port)), uint32(p), true
}

// usable reports whether checks may be sent to an address that a guest named.
func usable(a netip.Addr) bool {
	return a.IsValid() && a.Zone() == "" && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLinkLocalUnicast() &&
		a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// Candidates returns this side's candidates as values of candidate attributes, the best first.
func (a *Agent) Candidates() []string {
	var near, far []netip.AddrPort
	for _, s := range a.config.Port.Sockets() {
		if local := s.LocalAddr(); !local.Addr().IsLoopback() {
			far = append(far, local)
		} else if a.config.Loopback {
			near = append(near, local)
		}
	}
	list := make([]string, 0, len(near)+len(far))
	for i, local := range append(far, near...) {
		priority := uint32(hostPreference)<<24 | uint32(65535-i)<<8 | 255
		foundation := crc32.ChecksumIEEE([]byte(local.Addr().String()))
		list = append(list, fmt.Sprintf("%d 1 udp %d %s %d typ host", foundation, priority, local.Addr(), local.Port()))
	}
	return list
}
