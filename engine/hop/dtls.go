package hop

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"
	"github.com/pion/transport/v5/deadline"
)

// replayWindow is as large as a relay's ring of packets, so that nothing a parent may still send is taken for a replay.
const replayWindow = 8192

var errWrongCertificate = errors.New("certificate does not match the fingerprint")

// certificate is a self-signed ECDSA certificate and its fingerprint.
type certificate struct {
	tls         tls.Certificate
	fingerprint [sha256.Size]byte
}

// newCertificate makes one. Nobody checks its dates or names: the fingerprint is what counts.
func newCertificate(now time.Time) (certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		return certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "WebRTC"},
		NotBefore:    now.Add(-24 * time.Hour),
		NotAfter:     now.AddDate(10, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	return certificate{
		tls:         tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		fingerprint: sha256.Sum256(der),
	}, nil
}

// dtlsConfig accepts exactly the peer whose certificate has the fingerprint.
func (t *Transport) dtlsConfig(fingerprint [sha256.Size]byte) *dtls.Config {
	return &dtls.Config{
		Certificates:            []tls.Certificate{t.cert.tls},
		CipherSuites:            []dtls.CipherSuiteID{dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		SRTPProtectionProfiles:  []dtls.SRTPProtectionProfile{dtls.SRTP_AEAD_AES_128_GCM},
		ExtendedMasterSecret:    dtls.RequireExtendedMasterSecret,
		ClientAuth:              dtls.RequireAnyClientCert,
		FlightInterval:          t.timings.retransmit,
		InsecureSkipVerifyHello: true, // ICE has proved the address: the cookie's round trip would prove it again
		InsecureSkipVerify:      true, // self-signed: checked here instead
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			if len(raw) == 0 {
				return errWrongCertificate
			}
			sum := sha256.Sum256(raw[0])
			if subtle.ConstantTimeCompare(sum[:], fingerprint[:]) != 1 {
				return errWrongCertificate
			}
			return nil
		},
		LoggerFactory: pionLog{t.log},
	}
}

// handshake runs DTLS over c and returns the SRTP contexts of the two directions.
func handshake(ctx context.Context, d *dtls.Conn, client bool) (local, remote *srtp.Context, err error) {
	if err := d.HandshakeContext(ctx); err != nil {
		return nil, nil, fmt.Errorf("DTLS handshake: %w", err)
	}
	if p, ok := d.SelectedSRTPProtectionProfile(); !ok || p != dtls.SRTP_AEAD_AES_128_GCM {
		return nil, nil, errors.New("DTLS handshake: no SRTP profile in common")
	}
	state, ok := d.ConnectionState()
	if !ok {
		return nil, nil, errors.New("DTLS handshake: no keys to export")
	}
	c := srtp.Config{Profile: srtp.ProtectionProfileAeadAes128Gcm}
	if err := c.ExtractSessionKeysFromDTLS(&state, client); err != nil {
		return nil, nil, fmt.Errorf("export SRTP keys: %w", err)
	}
	local, err = srtp.CreateContext(c.Keys.LocalMasterKey, c.Keys.LocalMasterSalt, c.Profile)
	if err != nil {
		return nil, nil, fmt.Errorf("make SRTP context: %w", err)
	}
	remote, err = srtp.CreateContext(c.Keys.RemoteMasterKey, c.Keys.RemoteMasterSalt, c.Profile,
		srtp.SRTPReplayProtection(replayWindow), srtp.SRTCPReplayProtection(replayWindow))
	if err != nil {
		return nil, nil, fmt.Errorf("make SRTP context: %w", err)
	}
	return local, remote, nil
}

// feed is the net.PacketConn under a hop's DTLS: the hop's read loop puts DTLS records in, writes go to the ICE connection.
type feed struct {
	in       chan []byte // full: records are dropped and counted, DTLS sends them again
	conn     net.Conn
	deadline *deadline.Deadline
	done     chan struct{}
	closed   atomic.Bool
	phase    atomic.Int32
	dropped  atomic.Uint64
	known    map[string]struct{} // types and contents of the records in clear that came while anything might
}

const (
	recordHeader    = 13 // octets (RFC 6347 section 4.1)
	recordAlert     = 21
	recordHandshake = 22
	maxKnown        = 64 // records; a handshake has about ten
)

// Phases of a handshake, as far as records without protection are concerned. Whoever can write the peer's address into a
// packet can send those, and some would end the connection. A peer who repeats a flight repeats its contents.
const (
	phaseOpen       = 0 // anything may come
	phaseLastFlight = 1 // this side is done, the peer may still repeat his last flight
	phaseProtected  = 2 // the peer is done as well
)

func newFeed(conn net.Conn) *feed {
	return &feed{in: make(chan []byte, 32), conn: conn, deadline: deadline.New(), done: make(chan struct{}),
		known: make(map[string]struct{})}
}

// put copies a datagram in, unless it does not belong into the phase. It is called by the hop's goroutine only.
func (f *feed) put(b []byte) {
	if !f.admissible(b) {
		f.dropped.Add(1)
		return
	}
	select {
	case f.in <- append([]byte(nil), b...):
	default:
		f.dropped.Add(1)
	}
}

// admissible reports whether all records of a datagram belong into the phase. While anything may come, it remembers what came.
func (f *feed) admissible(b []byte) bool {
	phase := f.phase.Load()
	for len(b) > 0 {
		if len(b) < recordHeader || b[1] != 0xfe {
			return phase == phaseOpen // DTLS knows what to do with it
		}
		n := recordHeader + int(binary.BigEndian.Uint16(b[11:]))
		if len(b) < n {
			return phase == phaseOpen
		}
		epoch := binary.BigEndian.Uint16(b[3:])
		body := string(b[recordHeader:n])
		switch {
		case phase == phaseOpen:
			if epoch == 0 && len(f.known) < maxKnown {
				f.known[string(b[:1])+body] = struct{}{}
			}
		case epoch == 1 && (b[0] == recordAlert || b[0] == recordHandshake): // DTLS authenticates it
		case epoch == 0 && phase == phaseLastFlight:
			if _, ok := f.known[string(b[:1])+body]; !ok {
				return false
			}
		default:
			return false
		}
		b = b[n:]
	}
	return true
}

func (f *feed) ReadFrom(p []byte) (int, net.Addr, error) {
	select {
	case b := <-f.in:
		return copy(p, b), f.conn.RemoteAddr(), nil
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
	return f.conn.Write(p)
}

func (f *feed) Close() error {
	if f.closed.CompareAndSwap(false, true) {
		close(f.done)
	}
	return nil
}

func (f *feed) LocalAddr() net.Addr { return f.conn.LocalAddr() }

func (f *feed) SetDeadline(t time.Time) error { return f.SetReadDeadline(t) }

func (f *feed) SetReadDeadline(t time.Time) error {
	f.deadline.Set(t)
	return nil
}

func (f *feed) SetWriteDeadline(time.Time) error { return nil }
