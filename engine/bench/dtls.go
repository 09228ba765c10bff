package bench

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/logging"
	"github.com/pion/transport/v5/deadline"
)

// credentials are what all endpoints of a run share.
type credentials struct {
	certificate tls.Certificate
	fingerprint [sha256.Size]byte
	addresses   []netip.Addr // of this machine
}

func newCredentials(now time.Time) (*credentials, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "WebRTC"},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.AddDate(0, 1, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	c := &credentials{certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, fingerprint: sha256.Sum256(der)}
	c.addresses = localAddresses()
	if len(c.addresses) == 0 {
		return nil, errors.New("this machine has no network address: bring an interface up")
	}
	return c, nil
}

// localAddresses lists this machine's unicast addresses, those of the loopback last; link-local ones are left out.
func localAddresses() []netip.Addr {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var list []netip.Addr
	for _, a := range all {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		if a, ok := netip.AddrFromSlice(n.IP); ok && !a.IsLinkLocalUnicast() && len(list) < maxCandidates {
			list = append(list, a.Unmap())
		}
	}
	slices.SortStableFunc(list, func(a, b netip.Addr) int {
		switch {
		case a.IsLoopback() == b.IsLoopback():
			return 0
		case a.IsLoopback():
			return 1
		}
		return -1
	})
	return list
}

func onlyLoopback(list []netip.Addr) bool {
	return !slices.ContainsFunc(list, func(a netip.Addr) bool { return !a.IsLoopback() })
}

// options are those of a browser: its protection profiles in its order, and whoever has the answer's fingerprint.
func (c *credentials) options(a *answer) *dtls.Config {
	return &dtls.Config{
		Certificates: []tls.Certificate{c.certificate},
		SRTPProtectionProfiles: []dtls.SRTPProtectionProfile{
			dtls.SRTP_AES128_CM_HMAC_SHA1_80, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AEAD_AES_128_GCM,
		},
		ExtendedMasterSecret:    dtls.RequireExtendedMasterSecret,
		ClientAuth:              dtls.RequireAnyClientCert,
		FlightInterval:          200 * time.Millisecond,
		InsecureSkipVerifyHello: true, // ICE has proved the address
		InsecureSkipVerify:      true, // self-signed: the fingerprint is what counts
		VerifyPeerCertificate:   func(raw [][]byte, _ [][]*x509.Certificate) error { return a.verify(raw) },
		LoggerFactory:           logging.NewDefaultLoggerFactory(),
	}
}

var errCertificate = errors.New("the certificate is not the one of the answer")

func (a *answer) verify(raw [][]byte) error {
	if len(raw) == 0 {
		return errCertificate
	}
	var sum []byte
	switch a.algorithm {
	case "sha-256":
		h := sha256.Sum256(raw[0])
		sum = h[:]
	case "sha-384":
		h := sha512.Sum384(raw[0])
		sum = h[:]
	case "sha-512":
		h := sha512.Sum512(raw[0])
		sum = h[:]
	case "sha-1":
		h := sha1.Sum(raw[0])
		sum = h[:]
	}
	if !bytes.Equal(sum, a.fingerprint) {
		return errCertificate
	}
	return nil
}

// feed is the net.PacketConn under DTLS: the endpoint's reading goroutine puts records in.
type feed struct {
	owner    *endpoint
	in       chan []byte // full: records are dropped, DTLS sends them again
	deadline *deadline.Deadline
	chosen   chan struct{} // closed when there is a pair
	once     sync.Once
	done     chan struct{}
	closed   atomic.Bool
}

func newFeed(e *endpoint) *feed {
	return &feed{owner: e, in: make(chan []byte, 32), deadline: deadline.New(), chosen: make(chan struct{}), done: make(chan struct{})}
}

func (f *feed) put(b []byte) {
	select {
	case f.in <- append([]byte(nil), b...):
	default:
	}
}

func (f *feed) ready() { f.once.Do(func() { close(f.chosen) }) }

// wait returns when there is a pair to send on.
func (f *feed) wait(ctx context.Context) error {
	select {
	case <-f.chosen:
		return nil
	case <-f.done:
		return net.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *feed) ReadFrom(p []byte) (int, net.Addr, error) {
	select {
	case b := <-f.in:
		return copy(p, b), f.RemoteAddr(), nil
	case <-f.deadline.Done():
		return 0, nil, os.ErrDeadlineExceeded
	case <-f.done:
		return 0, nil, net.ErrClosed
	}
}

func (f *feed) WriteTo(p []byte, _ net.Addr) (int, error) {
	if f.closed.Load() {
		return 0, net.ErrClosed
	}
	f.owner.write(p, f.owner.pair())
	return len(p), nil
}

func (f *feed) Close() error {
	if f.closed.CompareAndSwap(false, true) {
		close(f.done)
	}
	return nil
}

func (f *feed) LocalAddr() net.Addr  { return f.owner.conn.LocalAddr() }
func (f *feed) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(f.owner.pair()) }

func (f *feed) SetDeadline(t time.Time) error { return f.SetReadDeadline(t) }

func (f *feed) SetReadDeadline(t time.Time) error {
	f.deadline.Set(t)
	return nil
}

func (f *feed) SetWriteDeadline(time.Time) error { return nil }
