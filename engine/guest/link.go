package guest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/datachannel"
	"github.com/pion/dtls/v3"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"github.com/castd/castd/engine/checks"
	"github.com/castd/castd/engine/secure"
)

var errNoPath = errors.New("guest: no path yet")

// link is the connection to a viewer, or to who takes part in a conference: ICE, DTLS and the SRTP contexts. It does what a PeerConnection
// would, for a tenth of its memory and goroutines. Media is written by the writer; what comes in is read on the goroutines of the port's
// sockets.
type link struct {
	// Constant.
	session  *session
	agent    *checks.Agent
	feed     *secure.Feed
	selected chan struct{}
	once     sync.Once // of selected
	events   linkEvents

	out atomic.Pointer[srtp.Context] // the writer's, once there

	mu   sync.Mutex    // guards all following fields, and orders what comes in
	dtls *dtls.Conn    // nil before run has made it
	in   *srtp.Context // nil before the keys are there
	rtcp []byte        // what is decrypted
	rtp  []byte
	head rtp.Header // of what is decrypted
}

// linkEvents is who wants what comes over a link. All are called on a socket's goroutine, one at a time; slices are valid during the call.
type linkEvents struct {
	reports func([]rtcp.Packet)                  // feedback
	heard   func(compound []byte, now time.Time) // all RTCP
	// wanted says whether RTP of a payload type and SSRC is of use, and media takes it. Both are nil for who only listens.
	wanted func(pt uint8, ssrc uint32) bool
	media  func(packet []byte, now time.Time)
	// channel gets each data channel that the guest makes, on a goroutine of its own. nil for who has none.
	channel func(*datachannel.DataChannel)
}

var (
	_ carrier       = (*link)(nil)
	_ checks.Events = (*link)(nil)
	_ secure.Way    = (*link)(nil)
)

// newLink returns a link that has not begun.
func (s *Service) newLink(sess *session, events linkEvents) (*link, error) {
	port, err := s.viewerPort()
	if err != nil {
		return nil, err
	}
	l := &link{session: sess, selected: make(chan struct{}), events: events}
	_, lite := sess.offer.source.Attribute("ice-lite")
	if l.agent, err = checks.New(checks.Config{Port: port, Events: l, Controlling: lite, Loopback: s.config.Loopback}); err != nil {
		return nil, err
	}
	l.feed = secure.NewFeed(l)
	if l.hasChannels() {
		l.feed.TakeData()
	}
	return l, nil
}

// start implements carrier.
func (l *link) start(context.Context) (string, error) {
	o := l.session.offer
	own, err := l.agent.Start(checks.Credentials{Ufrag: o.ufrag, Password: o.pwd}, o.candidates, time.Now())
	if err != nil {
		return "", fmt.Errorf("start ICE: %w", err)
	}
	s := l.session.service
	s.keeper.add(l)
	return o.viewerAnswer(own, l.agent.Candidates(), s.certificate.Fingerprint, l.session.part.sources())
}

// candidate implements carrier.
func (l *link) candidate(c string) bool {
	ok := l.agent.Add(c, time.Now())
	l.session.service.keeper.kick()
	return ok
}

// restart implements carrier.
func (l *link) restart(_ context.Context, ufrag, pwd string, candidates []string, _ uint64) (string, error) {
	own, err := l.agent.Start(checks.Credentials{Ufrag: ufrag, Password: pwd}, candidates, time.Now())
	if err != nil {
		return "", fmt.Errorf("restart ICE: %w", err)
	}
	l.session.service.keeper.kick()
	return l.session.offer.viewerFragment(own, l.agent.Candidates()), nil
}

// Selected implements checks.Events.
func (l *link) Selected() { l.once.Do(func() { close(l.selected) }) }

// run makes the DTLS handshake once there is a path, and then waits for the viewer's goodbye.
func (l *link) run(ctx context.Context) {
	select {
	case <-l.selected:
	case <-ctx.Done():
		return
	}
	open := dtls.Server
	if l.session.offer.viewerActive() {
		open = dtls.Client
	}
	d, err := open(l.feed, l.RemoteAddr(), l.session.service.viewerDTLS(l.session.offer))
	if err != nil {
		l.session.end(fmt.Errorf("start DTLS: %w", err))
		return
	}
	defer d.Close() //nolint:errcheck // where the link was closed before it could know of d
	l.mu.Lock()
	l.dtls = d
	l.mu.Unlock()
	keys, err := secure.Handshake(ctx, d, l.session.offer.viewerActive(), replayWindow)
	if err != nil {
		l.session.log.Debug("viewer's handshake", "error", err)
		if ctx.Err() == nil {
			l.session.end(errLost())
		}
		return
	}
	l.feed.Advance(secure.PhaseLastFlight)
	if l.session.offer.viewerActive() {
		l.feed.Advance(secure.PhaseProtected) // the server's last flight was the last of all
	}
	l.mu.Lock()
	l.in = keys.In
	l.mu.Unlock()
	l.out.Store(keys.Out)
	l.session.connected()
	if l.hasChannels() {
		l.channels(d)
		l.session.end(nil)
		return
	}
	// Nothing is said over DTLS but goodbye.
	var buf [64]byte
	for {
		if _, err := d.Read(buf[:]); err != nil {
			l.session.end(nil)
			return
		}
	}
}

// Datagram implements checks.Events: DTLS or SRTP came from an address that has been checked (RFC 7983).
func (l *link) Datagram(b []byte) {
	if len(b) < 2 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case b[0] >= 20 && b[0] <= 63:
		l.feed.Put(b)
	case b[0] < 128 || b[0] > 191 || l.in == nil:
	case b[1] >= 192 && b[1] <= 223: // RFC 5761
		l.control(b)
	case l.events.media != nil && len(b) >= rtpHeaderSize && l.events.wanted(b[1]&0x7F, binary.BigEndian.Uint32(b[8:])):
		l.media(b)
	}
}

// media takes an SRTP packet.
func (l *link) media(b []byte) {
	out, err := l.in.DecryptRTP(l.rtp[:0], b, &l.head)
	if err != nil {
		return
	}
	l.rtp = out
	now := time.Now()
	l.agent.Heard(now)
	l.feed.Advance(secure.PhaseProtected)
	l.events.media(out, now)
}

// control takes an SRTCP packet.
func (l *link) control(b []byte) {
	out, err := l.in.DecryptRTCP(l.rtcp[:0], b, nil)
	if err != nil {
		return
	}
	l.rtcp = out
	now := time.Now()
	l.agent.Heard(now)
	l.feed.Advance(secure.PhaseProtected) // he has keys, so he has heard this side's last flight
	l.events.heard(out, now)
	if !asks(out) {
		return
	}
	if packets, err := rtcp.Unmarshal(out); err == nil {
		l.events.reports(packets)
	}
}

// asks reports whether a compound RTCP packet holds feedback (RFC 4585) rather than reports alone, which come all the time.
func asks(b []byte) bool {
	for len(b) >= 4 {
		if t := rtcp.PacketType(b[1]); t == rtcp.TypeTransportSpecificFeedback || t == rtcp.TypePayloadSpecificFeedback {
			return true
		}
		n := 4 * (int(b[2])<<8 | int(b[3]) + 1)
		if n > len(b) {
			return false
		}
		b = b[n:]
	}
	return false
}

// close implements carrier: the viewer is told, and everything ends.
func (l *link) close() error {
	l.session.service.keeper.remove(l)
	var err error
	l.mu.Lock()
	d := l.dtls
	l.mu.Unlock()
	if d != nil {
		err = d.Close()
	}
	_ = l.feed.Close()
	l.agent.Close()
	return err
}

// Write implements secure.Way.
func (l *link) Write(b []byte) (int, error) {
	p := l.agent.Path()
	if p == nil {
		return 0, errNoPath
	}
	return p.Socket.WriteTo(b, p.Remote)
}

// LocalAddr implements secure.Way.
func (l *link) LocalAddr() net.Addr {
	if p := l.agent.Path(); p != nil {
		return net.UDPAddrFromAddrPort(p.Socket.LocalAddr())
	}
	return &net.UDPAddr{}
}

// RemoteAddr implements secure.Way.
func (l *link) RemoteAddr() net.Addr {
	if p := l.agent.Path(); p != nil {
		return net.UDPAddrFromAddrPort(p.Remote)
	}
	return &net.UDPAddr{}
}
