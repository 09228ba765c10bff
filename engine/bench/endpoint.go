package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"
)

const (
	receiveSize   = 1600    // octets of a datagram
	socketBuffer  = 2 << 20 // octets; a whole group of pictures may come at once
	connectWithin = 15 * time.Second
)

// endpoint is one WHIP or WHEP session: a socket, ICE, DTLS and SRTP. Its methods are safe for concurrent use.
type endpoint struct {
	// Constant.
	conn *socket
	dtls *credentials
	http *signaller
	// receive gets each decrypted RTP packet, and when it came by the wall clock, in the reading goroutine; the packet is
	// only valid during the call.
	receive func(packet []byte, at time.Time)
	// feedback gets decrypted RTCP in the reading goroutine.
	feedback func(packet []byte)

	session   *session
	posted    time.Time
	connected chan struct{} // closed when media may flow
	failed    chan error    // of the handshake; one at most
	done      sync.WaitGroup
	feed      *feed

	mu      sync.Mutex // guards all following fields
	ice     checker
	secure  *dtls.Conn
	local   *srtp.Context // outgoing
	remote  *srtp.Context // incoming; used by the reading goroutine only, once set
	profile srtp.ProtectionProfile
	closed  bool
	ended   bool   // by the server
	rtp     []byte // scratch
}

func newEndpoint(http *signaller, c *credentials) (*endpoint, error) {
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		return nil, errors.New("no more sockets can be opened: lower --subscribers, or raise the limit of open files (ulimit -n)")
	}
	e := &endpoint{conn: newSocket(conn), dtls: c, http: http, ice: newChecker(), connected: make(chan struct{}), failed: make(chan error, 1)}
	e.feed = newFeed(e)
	return e, nil
}

// open negotiates. The endpoint then connects by itself, as long as tick is called.
func (e *endpoint) open(ctx context.Context, address string, o *offer) error {
	o.ufrag, o.pwd, o.fingerprint = e.ice.localUfrag, e.ice.localPwd, e.dtls.fingerprint
	port := uint16(e.conn.LocalAddr().(*net.UDPAddr).Port)
	for _, a := range e.dtls.addresses {
		o.candidates = append(o.candidates, netip.AddrPortFrom(a, port))
	}
	e.done.Go(e.read)
	e.posted = time.Now()
	s, err := e.http.post(ctx, address, o.text())
	if err != nil {
		return err
	}
	e.session = s
	config := e.dtls.options(s.answer)
	var d *dtls.Conn
	peer := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.IPv4Unspecified(), 9)) // the feed knows better
	if s.answer.client {
		d, err = dtls.Server(e.feed, peer, config)
	} else {
		d, err = dtls.Client(e.feed, peer, config)
	}
	if err != nil {
		return fmt.Errorf("start DTLS: %w", err)
	}
	e.mu.Lock()
	e.secure = d
	e.ice.begin(s.answer, s.near)
	to, msg := e.ice.tick(time.Now())
	e.mu.Unlock()
	e.write(msg, to)
	e.done.Go(func() { e.handshake(ctx, d, !s.answer.client) })
	return nil
}

func (e *endpoint) handshake(ctx context.Context, d *dtls.Conn, client bool) {
	ctx, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	err := e.secureMedia(ctx, d, client)
	if err != nil {
		e.failed <- err
		return
	}
	close(e.connected)
	buf := make([]byte, receiveSize)
	for {
		if _, err := d.Read(buf); err != nil { // by close_notify or close
			e.mu.Lock()
			e.ended = !e.closed
			e.mu.Unlock()
			return
		}
	}
}

func (e *endpoint) secureMedia(ctx context.Context, d *dtls.Conn, client bool) error {
	if !client { // else nothing could be sent yet
	} else if err := e.feed.wait(ctx); err != nil {
		return e.silence()
	}
	if err := d.HandshakeContext(ctx); err != nil {
		if !e.pair().IsValid() {
			return e.silence()
		}
		return fmt.Errorf("%s and this end do not agree on encryption: %w", host(e.session.url), err)
	}
	profile, _ := d.SelectedSRTPProtectionProfile()
	state, ok := d.ConnectionState()
	if !ok {
		return errors.New("the DTLS handshake left no keys")
	}
	c := srtp.Config{Profile: srtp.ProtectionProfile(profile)}
	if err := c.ExtractSessionKeysFromDTLS(&state, client); err != nil {
		return fmt.Errorf("export SRTP keys: %w", err)
	}
	local, err := srtp.CreateContext(c.Keys.LocalMasterKey, c.Keys.LocalMasterSalt, c.Profile)
	if err != nil {
		return fmt.Errorf("make SRTP context: %w", err)
	}
	// Without a replay window: duplicates are counted.
	remote, err := srtp.CreateContext(c.Keys.RemoteMasterKey, c.Keys.RemoteMasterSalt, c.Profile)
	if err != nil {
		return fmt.Errorf("make SRTP context: %w", err)
	}
	e.mu.Lock()
	e.local, e.remote, e.profile = local, remote, c.Profile
	e.mu.Unlock()
	return nil
}

func (e *endpoint) silence() error {
	return fmt.Errorf("%s answered over HTTP, but not over UDP: check that its media ports are open from here", host(e.session.url))
}

func (e *endpoint) pair() netip.AddrPort {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ice.selected
}

// tick does what is due of ICE.
func (e *endpoint) tick(now time.Time) {
	e.mu.Lock()
	to, msg := e.ice.tick(now)
	e.mu.Unlock()
	e.write(msg, to)
}

func (e *endpoint) write(b []byte, to netip.AddrPort) {
	if len(b) > 0 && to.IsValid() {
		_, _ = e.conn.WriteToUDPAddrPort(b, to) // what is lost is sent again, or missed at the other end
	}
}

// read owns the socket's incoming side until it is closed.
func (e *endpoint) read() {
	buf, plain := make([]byte, receiveSize), make([]byte, receiveSize)
	var remote *srtp.Context
	var early []arrival // what came before this end was done with the handshake
	for {
		n, from, at, err := e.conn.receive(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n == 0 {
			continue // an ICMP error of an earlier write
		}
		b := buf[:n]
		switch { // RFC 7983
		case b[0] < 4:
			e.check(b, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
		case b[0] >= 20 && b[0] < 64:
			e.feed.put(b)
		case b[0] >= 128 && b[0] < 192 && n >= 12:
			if remote == nil {
				e.mu.Lock()
				remote = e.remote
				e.mu.Unlock()
				if remote == nil {
					if len(early) < maxEarly {
						early = append(early, arrival{append([]byte(nil), b...), at})
					}
					continue
				}
				for _, a := range early {
					e.media(remote, a.packet, plain, a.at)
				}
				early = nil
			}
			e.media(remote, b, plain, at)
		}
	}
}

// arrival is a packet that waits.
type arrival struct {
	packet []byte
	at     time.Time
}

// maxEarly bounds the packets that wait for the end of the handshake.
const maxEarly = 256

// media decrypts RTP or RTCP into plain and hands it on.
func (e *endpoint) media(remote *srtp.Context, b, plain []byte, at time.Time) {
	if b[1] >= 192 && b[1] < 224 {
		if p, err := remote.DecryptRTCP(plain[:0], b, nil); err == nil && e.feedback != nil {
			e.feedback(p)
		}
		return
	}
	if p, err := remote.DecryptRTP(plain[:0], b, nil); err == nil && e.receive != nil {
		e.receive(p, at)
	}
}

func (e *endpoint) check(b []byte, from netip.AddrPort) {
	e.mu.Lock()
	reply, chosen := e.ice.receive(b, from, time.Now())
	e.mu.Unlock()
	e.write(reply, from)
	if chosen {
		e.feed.ready()
	}
}

// sendRTP encrypts and sends a packet.
func (e *endpoint) sendRTP(packet []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.local == nil {
		return net.ErrClosed
	}
	out, err := e.local.EncryptRTP(e.rtp[:0], packet, nil)
	if err != nil {
		return err
	}
	e.rtp = out
	_, err = e.conn.WriteToUDPAddrPort(out, e.ice.selected)
	return err
}

// sendRTCP encrypts and sends a compound.
func (e *endpoint) sendRTCP(packet []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.local == nil {
		return
	}
	if out, err := e.local.EncryptRTCP(nil, packet, nil); err == nil {
		_, _ = e.conn.WriteToUDPAddrPort(out, e.ice.selected)
	}
}

// close ends the session and waits for the goroutines.
func (e *endpoint) close(ctx context.Context) {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return
	}
	e.closed = true
	d := e.secure
	e.mu.Unlock()
	if e.session != nil {
		e.http.remove(ctx, e.session.url)
	}
	if d != nil {
		_ = d.Close()
	}
	e.feed.Close()
	e.conn.Close()
	e.done.Wait()
}

// ssrcOf reads the SSRC of an RTP header.
func ssrcOf(packet []byte) uint32 { return binary.BigEndian.Uint32(packet[8:]) }
