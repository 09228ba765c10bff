package cert

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// A certificate of one's own holds for a year, which is less than browsers bear, and is renewed when a month of that is left.
const (
	selfLife    = 365 * 24 * time.Hour
	renewBefore = 30 * 24 * time.Hour
	// maxNames bounds the names and the addresses in a certificate; the oldest go first.
	maxNames = 64
)

// Keeper keeps one's own certificate and key, PEM, from one start to the next.
type Keeper interface {
	Certificate() ([]byte, error) // nil where there is none yet
	SaveCertificate([]byte) error
}

// Names are what a certificate is for.
type Names struct {
	DNS []string
	IPs []netip.Addr
}

// Self is a certificate that castd signs itself. It is kept, so that a browser which was told to trust it asks once, and made
// anew, with the same key, before it expires and when this machine gets a name or an address that it does not have.
type Self struct {
	// constant
	keeper Keeper
	names  func() Names
	log    *slog.Logger

	mu      sync.Mutex // guards all following fields; held while the keeper writes
	current *tls.Certificate
	checked time.Time
}

// OpenSelf reads the certificate that is kept, or makes one. names says what it must be for, now and later.
func OpenSelf(keeper Keeper, names func() Names, log *slog.Logger) (*Self, error) {
	s := &Self{keeper: keeper, names: names, log: log}
	kept, err := keeper.Certificate()
	if err != nil {
		return nil, fmt.Errorf("read own certificate: %w", err)
	}
	if kept != nil {
		if s.current, err = decode(kept); err != nil {
			log.Warn("the certificate that was kept is damaged; a new one is made", "err", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checked = time.Now()
	if err := s.renewLocked(s.checked, netip.Addr{}); err != nil {
		return nil, err
	}
	return s, nil
}

// Certificate implements Source.
func (s *Self) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := localAddr(hello)
	now := time.Now()
	// The address that somebody has just connected to is one of this machine's. Nobody else can choose it.
	if now.Sub(s.checked) >= checkEvery && (at.IsValid() && !covers(s.current.Leaf, nil, []netip.Addr{at}) || s.oldLocked(now)) {
		s.checked = now
		if err := s.renewLocked(now, at); err != nil {
			s.log.Warn("the certificate could not be made anew; the old one stays in use", "err", err)
		}
	}
	return s.current, nil
}

// Fingerprint implements Source.
func (s *Self) Fingerprint() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fingerprint(s.current)
}

func (s *Self) oldLocked(now time.Time) bool {
	return now.After(s.current.Leaf.NotAfter.Add(-renewBefore)) || now.Before(s.current.Leaf.NotBefore)
}

// renewLocked makes a new certificate if there is none, if it expires soon, or if it is not for all that it must be for.
func (s *Self) renewLocked(now time.Time, at netip.Addr) error {
	want := s.names()
	if at.IsValid() {
		want.IPs = append(want.IPs, at)
	}
	want.DNS = slices.DeleteFunc(want.DNS, func(n string) bool { return !ascii(n) })
	var key *ecdsa.PrivateKey
	if s.current != nil {
		if !s.oldLocked(now) && covers(s.current.Leaf, want.DNS, want.IPs) {
			return nil
		}
		key = s.current.PrivateKey.(*ecdsa.PrivateKey)
		// A machine that goes to and fro between networks soon has a certificate for all of them.
		want.DNS = append(want.DNS, s.current.Leaf.DNSNames...)
		for _, ip := range s.current.Leaf.IPAddresses {
			if a, ok := netip.AddrFromSlice(ip); ok {
				want.IPs = append(want.IPs, a)
			}
		}
	}
	c, text, err := sign(key, want, now)
	if err != nil {
		return fmt.Errorf("make certificate: %w", err)
	}
	if err := s.keeper.SaveCertificate(text); err != nil {
		return fmt.Errorf("keep certificate: %w", err)
	}
	s.current = c
	s.log.Info("made a certificate; browsers ask once whether to trust it", "sha256", fingerprint(c), "until", c.Leaf.NotAfter)
	return nil
}

// sign makes a certificate and writes it down with its key. A nil key stands for a new one.
func sign(key *ecdsa.PrivateKey, names Names, now time.Time) (*tls.Certificate, []byte, error) {
	var err error
	if key == nil {
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, nil, err
		}
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "castd"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(selfLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
		DNSNames: first(names.DNS, maxNames),
	}
	for _, a := range first(plain(names.IPs), maxNames) {
		template.IPAddresses = append(template.IPAddresses, net.IP(a.AsSlice()))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	var text bytes.Buffer
	for _, b := range []*pem.Block{{Type: "CERTIFICATE", Bytes: der}, {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := pem.Encode(&text, b); err != nil {
			return nil, nil, err
		}
	}
	c, err := decode(text.Bytes())
	return c, text.Bytes(), err
}

// decode reads what sign wrote.
func decode(text []byte) (*tls.Certificate, error) {
	c, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, err
	}
	if _, ok := c.PrivateKey.(*ecdsa.PrivateKey); !ok {
		return nil, errors.New("its key is not one that castd makes")
	}
	return &c, nil
}

// covers reports whether a certificate is for all of the names and addresses.
func covers(c *x509.Certificate, dns []string, ips []netip.Addr) bool {
	for _, n := range dns {
		if !slices.ContainsFunc(c.DNSNames, func(have string) bool { return strings.EqualFold(have, n) }) {
			return false
		}
	}
	for _, a := range plain(ips) {
		if !slices.ContainsFunc(c.IPAddresses, func(have net.IP) bool { return have.Equal(a.AsSlice()) }) {
			return false
		}
	}
	return true
}

// plain returns addresses as certificates have them: IPv4 in four octets, and without zones.
func plain(ips []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, 0, len(ips))
	for _, a := range ips {
		out = append(out, a.Unmap().WithZone(""))
	}
	return out
}

// first returns the first n different values.
func first[T comparable](list []T, n int) []T {
	var out []T
	for _, v := range list {
		if len(out) < n && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// ascii reports whether a name can be in a certificate.
func ascii(name string) bool {
	return name != "" && strings.IndexFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// localAddr returns the address that a client has connected to.
func localAddr(hello *tls.ClientHelloInfo) netip.Addr {
	if hello == nil || hello.Conn == nil {
		return netip.Addr{}
	}
	a, err := netip.ParseAddrPort(hello.Conn.LocalAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr()
}
