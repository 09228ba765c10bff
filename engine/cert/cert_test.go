package cert

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// kept is a Keeper in memory.
type kept struct {
	text   []byte
	saves  int
	refuse error
}

func (k *kept) Certificate() ([]byte, error) { return k.text, nil }
func (k *kept) SaveCertificate(b []byte) error {
	if k.refuse != nil {
		return k.refuse
	}
	k.text, k.saves = b, k.saves+1
	return nil
}

var quiet = slog.New(slog.DiscardHandler)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func open(t *testing.T, k *kept, names *Names) *Self {
	t.Helper()
	s, err := OpenSelf(k, func() Names { return *names }, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// connected is the side of a connection that was accepted at an address.
type connected struct {
	net.Conn
	at net.Addr
}

func (c connected) LocalAddr() net.Addr { return c.at }

func hello(addr string) *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{Conn: connected{at: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))}}
}

func TestSelfIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, names := &kept{}, &Names{DNS: []string{"localhost", "ümlaut", ""}, IPs: []netip.Addr{ip("10.1.2.3"), ip("::ffff:10.1.2.4"), ip("fd00::1%eth0")}}
		s := open(t, k, names)
		c, _ := s.Certificate(nil)
		for _, name := range []string{"localhost", "10.1.2.3", "10.1.2.4", "fd00::1"} {
			if err := c.Leaf.VerifyHostname(name); err != nil {
				t.Error(err)
			}
		}
		if life := c.Leaf.NotAfter.Sub(time.Now()); life > 398*24*time.Hour || life < 300*24*time.Hour {
			t.Errorf("it holds for %v", life)
		}
		if f := s.Fingerprint(); len(f) != 95 || strings.Count(f, ":") != 31 || f != strings.ToUpper(f) {
			t.Errorf("fingerprint %q", f)
		}
		time.Sleep(300 * 24 * time.Hour)
		if again := open(t, k, names); again.Fingerprint() != s.Fingerprint() || k.saves != 1 {
			t.Error("another start has made another certificate")
		}
	})
}

func TestSelfIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, names := &kept{}, &Names{IPs: []netip.Addr{ip("10.1.2.3")}}
		s := open(t, k, names)
		old, first := s.current, s.Fingerprint()

		k.refuse = errors.New("disk full")
		time.Sleep(selfLife - renewBefore + time.Minute)
		if c, err := s.Certificate(nil); err != nil || c != old {
			t.Errorf("where it cannot be kept the old one stays in use: %v", err)
		}
		k.refuse = nil
		time.Sleep(time.Minute)
		c, _ := s.Certificate(nil)
		if c == old || s.Fingerprint() == first || time.Until(c.Leaf.NotAfter) < selfLife-time.Minute {
			t.Error("it was not renewed before it expires")
		}
		if !bytes.Equal(c.Leaf.RawSubjectPublicKeyInfo, old.Leaf.RawSubjectPublicKeyInfo) {
			t.Error("the key has changed")
		}
	})
}

func TestSelfFollowsAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, names := &kept{}, &Names{IPs: []netip.Addr{ip("10.1.2.3")}}
		s := open(t, k, names)
		for range 100 { // many at once are one
			time.Sleep(30 * time.Millisecond)
			_, _ = s.Certificate(hello("192.168.7.7:8470"))
		}
		c, _ := s.Certificate(hello("192.168.7.7:8470"))
		if c.Leaf.VerifyHostname("192.168.7.7") != nil || c.Leaf.VerifyHostname("10.1.2.3") != nil || k.saves != 2 {
			t.Errorf("addresses %v after %d certificates", c.Leaf.IPAddresses, k.saves)
		}
		names.IPs = []netip.Addr{ip("10.9.9.9")} // another network; the next start sees it
		c = open(t, k, names).current
		if c.Leaf.VerifyHostname("10.9.9.9") != nil || c.Leaf.VerifyHostname("192.168.7.7") != nil {
			t.Errorf("addresses %v", c.Leaf.IPAddresses)
		}
		for i := range 3 * maxNames {
			names.IPs = []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 1, byte(i)})}
			c = open(t, k, names).current
		}
		if len(c.Leaf.IPAddresses) != maxNames || c.Leaf.VerifyHostname(names.IPs[0].String()) != nil {
			t.Errorf("%d addresses", len(c.Leaf.IPAddresses))
		}
	})
}

func TestSelfDamaged(t *testing.T) {
	good := &kept{}
	open(t, good, &Names{})
	for name, text := range map[string]string{"empty": "", "noise": "noise", "half": string(good.text[:len(good.text)/2])} {
		k := &kept{text: []byte(text)}
		if s := open(t, k, &Names{}); s.Fingerprint() == "" || k.saves != 1 {
			t.Errorf("%s: no new certificate was made", name)
		}
	}
	if _, err := OpenSelf(&kept{refuse: errors.New("disk full")}, func() Names { return Names{} }, quiet); err == nil {
		t.Error("a certificate that cannot be kept is an error at start")
	}
}

func FuzzDecode(f *testing.F) {
	_, text, err := sign(nil, Names{DNS: []string{"localhost"}}, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := decode(b); err == nil && (c.Leaf == nil || len(c.Certificate) == 0) {
			t.Error("a certificate without content")
		}
	})
}

// pair writes a certificate and its key to two files, and returns the certificate's fingerprint.
func pair(t *testing.T, cert, key, name string) string {
	t.Helper()
	c, text, err := sign(nil, Names{DNS: []string{name}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	half := bytes.Index(text, []byte("-----BEGIN PRIVATE KEY"))
	for path, b := range map[string][]byte{cert: text[:half], key: text[half:]} {
		if path == "" {
			continue
		}
		if err := os.WriteFile(path+".new", b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	return fingerprint(c)
}

// TestFilesAreReadAgain renews files as certbot does, one after the other, under connections.
func TestFilesAreReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cert, key := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
		first := pair(t, cert, key, "a.example")
		var log bytes.Buffer
		f, err := LoadFiles(cert, key, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		get := func() string {
			time.Sleep(checkEvery)
			c, err := f.Certificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			if fingerprint(c) != f.Fingerprint() {
				t.Error("the fingerprint is of another one")
			}
			return fingerprint(c)
		}
		if get() != first {
			t.Error("another certificate without a reason")
		}
		pair(t, cert, "", "b.example") // the key is still the old one
		for range 3 {
			if get() != first {
				t.Error("a certificate without its key is used")
			}
		}
		if n := strings.Count(log.String(), "level=WARN"); n != 1 {
			t.Errorf("warned %d times:\n%s", n, log.String())
		}
		second := pair(t, cert, key, "b.example")
		if get() != second {
			t.Error("the new certificate is not used")
		}
		if err := os.Remove(cert); err != nil {
			t.Fatal(err)
		}
		if get() != second {
			t.Error("a missing file ends what works")
		}
	})
}

func TestLoadFilesRefuses(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if _, err := LoadFiles(a, b, quiet); err == nil {
		t.Error("files that are not there")
	}
	for _, path := range []string{a, b} {
		if err := os.WriteFile(path, []byte("no certificate"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := LoadFiles(a, b, quiet); err == nil {
		t.Error("files that hold something else")
	}
}

// TestHandshake lets a client that trusts the certificate connect.
func TestHandshake(t *testing.T) {
	k := &kept{}
	s := open(t, k, &Names{IPs: []netip.Addr{ip("127.0.0.1")}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := tls.NewListener(l, Config(s)).Accept()
		if err == nil {
			_, _ = io.WriteString(c, "hi")
			_ = c.Close()
		}
	}()
	roots := x509.NewCertPool()
	roots.AddCert(s.current.Leaf)
	c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: roots, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if b, _ := io.ReadAll(c); string(b) != "hi" || c.ConnectionState().NegotiatedProtocol != "h2" {
		t.Errorf("%q over %q", b, c.ConnectionState().NegotiatedProtocol)
	}
}

func TestReachable(t *testing.T) {
	for _, c := range []struct {
		have []netip.Addr
		want string
	}{
		{nil, ""},
		{[]netip.Addr{ip("127.0.0.1"), ip("::1"), ip("fe80::1"), ip("169.254.1.1")}, ""},
		{[]netip.Addr{ip("127.0.0.1"), ip("2001:db8::1")}, "2001:db8::1"},
		{[]netip.Addr{ip("2001:db8::1"), ip("8.8.8.8"), ip("192.168.1.5"), ip("10.0.0.1")}, "192.168.1.5"},
		{[]netip.Addr{ip("2001:db8::1"), ip("8.8.8.8")}, "8.8.8.8"},
	} {
		got, ok := reachable(c.have)
		if ok != (c.want != "") || ok && got.String() != c.want {
			t.Errorf("%v: %v", c.have, got)
		}
	}
	if n := Machine(); len(n.DNS) == 0 || len(n.IPs) < 2 {
		t.Errorf("%+v", n)
	}
}
