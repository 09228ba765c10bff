package hop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/secure"
)

// Hop is one connection to a peer. It implements engine.Hop.
type Hop struct {
	t      *Transport
	peer   peer.ID
	dialer bool // ICE controlling, DTLS client
	agent  *ice.Agent
	theirs terms // run's

	// Set-up. answered and mark are guarded by t.mu: mark is the newest nonce of the peer that went into this hop.
	connecting context.Context // ends when the set-up must, with the cause
	connected  context.CancelCauseFunc
	answered   bool
	mark       uint64
	previous   *Hop // its HopDown comes before this one's HopUp

	up, down chan struct{} // closed after HopUp and after HopDown
	life     context.Context
	end      context.CancelCauseFunc // asks the hop to end with the error, once; does not wait

	conn      *ice.Conn // set before up
	path      atomic.Pointer[path]
	retired   atomic.Bool // the agent is closed, and the path is for good
	dtls      *dtls.Conn
	handshook chan struct{} // closed when the goroutine that watches dtls has ended
	send      sender
	counters  counters
	way       way
	receive   receiver
}

var _ engine.Hop = (*Hop)(nil)

// counters are a hop's statistics.
type counters struct {
	packetsSent, packetsReceived atomic.Uint64
	bytesSent, bytesReceived     atomic.Uint64
	recovered, invalid           atomic.Uint64
	unsent                       atomic.Uint64 // refused by the socket, or not an origin packet
	undoubled                    atomic.Uint64 // repetitions left out because the queue was full
	earlyDropped                 atomic.Uint64
	lossPermille                 atomic.Uint32
	lastReceived                 atomic.Int64 // Unix nanoseconds
}

// newHop makes a hop with its agent, not yet in the table.
func (t *Transport) newHop(ctx context.Context, to peer.ID, dialer bool) (*Hop, error) {
	a, err := t.newAgent()
	if err != nil {
		return nil, err
	}
	h := &Hop{
		t: t, peer: to, dialer: dialer, agent: a,
		up: make(chan struct{}), down: make(chan struct{}), handshook: make(chan struct{}),
	}
	h.life, h.end = context.WithCancelCause(context.Background())
	h.connecting, h.connected = t.connectContext(ctx)
	context.AfterFunc(h.life, func() { h.connected(h.err()) })
	if err := a.OnConnectionStateChange(func(s ice.ConnectionState) {
		if s == ice.ConnectionStateFailed {
			h.end(ErrLost)
		}
	}); err != nil {
		h.discard()
		return nil, fmt.Errorf("watch ICE agent: %w", err)
	}
	if err := a.OnSelectedCandidatePairChange(h.selected); err != nil {
		h.discard()
		return nil, fmt.Errorf("watch ICE agent: %w", err)
	}
	return h, nil
}

// discard frees a hop that never ran.
func (h *Hop) discard() {
	h.end(engine.ErrClosed)
	_ = h.agent.Close()
}

// err is why the hop ends; nil while it does not.
func (h *Hop) err() error { return context.Cause(h.life) }

func (h *Hop) ending() bool { return h.life.Err() != nil }

// run is the life of a hop that is in the table.
func (h *Hop) run() {
	defer h.t.running.Done()
	defer close(h.down)
	defer h.t.forget(h)
	err := h.connect()
	if err == nil {
		h.serve()
	} else {
		h.end(err)
		h.t.log.Debug("hop failed", "peer", h.peer, "error", h.err())
	}
	h.teardown()
	h.awaitPrevious() // also where this hop never came up: the next one only waits for this one
	if h.isUp() {
		h.t.log.Info("hop down", "peer", h.peer, "reason", h.err())
		h.t.handler.HopDown(h, h.err())
	}
}

// connect goes from nothing to the first moment at which both directions carry media.
func (h *Hop) connect() (err error) {
	defer func() {
		if cause := context.Cause(h.connecting); err != nil && cause != nil && !errors.Is(err, cause) {
			err = cause
		}
	}()
	if h.dialer {
		if h.theirs, err = h.offer(); err != nil {
			return err
		}
	}
	for _, c := range h.theirs.candidates {
		if err := h.agent.AddRemoteCandidate(c); err != nil {
			return fmt.Errorf("add candidate: %w", err)
		}
	}
	start := h.agent.StartAccept
	if h.dialer {
		start = h.agent.StartDial
	}
	if h.conn, err = start(h.theirs.ufrag, h.theirs.pwd); err != nil {
		return fmt.Errorf("start ICE: %w", err)
	}
	if err := h.agent.AwaitConnect(h.connecting); err != nil {
		return fmt.Errorf("connect ICE: %w", err)
	}
	if h.dialer {
		h.nudge(1)
	}
	return h.secure()
}

// nudge has the dialer's agent check the selected pair again, at the pace of checks, until the hop is connected. Having taken
// the pair on which the peer's request came, it would otherwise check it next at a keepalive, and if its own first request was
// lost the peer would have no pair for two seconds. An agent checks at once when it learns of a candidate: this one is a passive
// TCP candidate, which it does nothing else with.
func (h *Hop) nudge(n int) {
	time.AfterFunc(h.t.timings.check, func() {
		remote, ok := h.conn.RemoteAddr().(*net.UDPAddr)
		if h.connecting.Err() != nil || !ok || n > maxChecks {
			return
		}
		c, err := ice.NewCandidateHost(&ice.CandidateHostConfig{
			Network: "tcp", Address: remote.IP.String(), Port: n, Component: ice.ComponentRTP, TCPType: ice.TCPTypePassive,
		})
		if err != nil {
			return
		}
		if err := h.agent.AddRemoteCandidate(c); err == nil {
			h.nudge(n + 1)
		}
	})
}

// secure runs the DTLS handshake, reading for it meanwhile.
func (h *Hop) secure() error {
	f := secure.NewFeed((*wayOut)(h))
	open := dtls.Server
	if h.dialer {
		open = dtls.Client
	}
	d, err := open(f, h.conn.RemoteAddr(), h.t.dtlsConfig(h.theirs.fingerprint))
	if err != nil {
		return fmt.Errorf("start DTLS: %w", err)
	}
	h.dtls = d
	h.receive.feed = f
	result := make(chan error, 1)
	var keys *secure.Keys
	go func() {
		defer close(h.handshook)
		var err error
		keys, err = secure.Handshake(h.connecting, d, h.dialer, replayWindow)
		if err == nil && h.dialer {
			f.Advance(secure.PhaseProtected) // the server's last flight was the last of all
		} else if err == nil {
			f.Advance(secure.PhaseLastFlight)
		}
		h.wake() // the read loop below; before the result, after which it resets the deadline
		result <- err
		if err != nil {
			return
		}
		h.watchDTLS(d)
	}()
	buf := make([]byte, receiveSize)
	for {
		n, err := h.conn.Read(buf)
		if err == nil {
			h.demux(buf[:n])
			continue
		}
		if !isTimeout(err) {
			h.end(ErrLost)
		}
		if err := <-result; err != nil {
			return err
		}
		_ = h.conn.SetReadDeadline(time.Time{})
		h.send.init(h, keys)
		h.receive.init(keys.In, !h.dialer)
		return nil
	}
}

// isTimeout reports whether a read ended because of its deadline.
func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// watchDTLS notices the peer's close_notify. Nothing else is said over DTLS.
func (h *Hop) watchDTLS(d *dtls.Conn) {
	buf := make([]byte, receiveSize)
	for {
		if _, err := d.Read(buf); err != nil {
			h.end(ErrPeerClosed)
			return
		}
	}
}

// serve is the hop's time of being up.
func (h *Hop) serve() {
	h.awaitPrevious()
	if h.ending() {
		return
	}
	if p, err := h.agent.GetSelectedCandidatePair(); err == nil && p != nil {
		h.selected(p.Local, p.Remote)
	}
	h.t.log.Info("hop up", "peer", h.peer, "dialed", h.dialer)
	h.t.handler.HopUp(h)
	h.connected(nil)
	close(h.up)
	stop := context.AfterFunc(h.life, h.wake)
	defer stop()
	for _, b := range h.receive.early {
		h.demux(b)
	}
	h.receive.early = nil
	h.openWay()
	defer h.closeWay()
	stopTending := h.tend()
	defer stopTending()
	buf := make([]byte, receiveSize)
	for {
		n, err := h.conn.Read(buf)
		if h.ending() {
			return
		}
		if err != nil && h.retired.Load() {
			break
		}
		if err != nil {
			h.end(ErrLost)
			return
		}
		h.demux(buf[:n])
	}
	<-h.life.Done()
}

// wake makes a read that is under way return.
func (h *Hop) wake() { _ = h.conn.SetReadDeadline(time.Unix(1, 0)) }

// awaitPrevious waits until the hop that this one replaced is down.
func (h *Hop) awaitPrevious() {
	if h.previous != nil {
		<-h.previous.down
		h.previous = nil
	}
}

// teardown frees everything. A peer who does not know it yet is told by close_notify.
func (h *Hop) teardown() {
	h.send.stop()
	if h.dtls != nil {
		if errors.Is(h.err(), ErrReplaced) {
			_ = h.receive.feed.Close() // nothing may go out any more
		}
		_ = h.dtls.Close()
	}
	_ = h.agent.Close()
	if h.dtls != nil {
		<-h.handshook
	}
}

func (h *Hop) isUp() bool {
	select {
	case <-h.up:
		return true
	default:
		return false
	}
}

// Peer returns the other end's id.
func (h *Hop) Peer() peer.ID { return h.peer }

// PeerLoss tells the loss, in thousandths, that the peer reports of packets sent to him.
func (h *Hop) PeerLoss(permille uint32) { h.send.loss.Store(permille) }

// Stats returns the hop's counters.
func (h *Hop) Stats() engine.HopStats {
	c := &h.counters
	s := engine.HopStats{
		PacketsSent: c.packetsSent.Load(), PacketsReceived: c.packetsReceived.Load(),
		BytesSent: c.bytesSent.Load(), BytesReceived: c.bytesReceived.Load(),
		Recovered: c.recovered.Load(), Invalid: c.invalid.Load(), LossPermille: c.lossPermille.Load(),
	}
	if p := h.path.Load(); p != nil {
		s.Local, s.Remote = p.from, p.to
	} else {
		s.Local, s.Remote = address(h.conn.LocalAddr()), address(h.conn.RemoteAddr())
	}
	return s
}

// Sent implements engine.Hop.
func (h *Hop) Sent() uint64 { return h.counters.packetsSent.Load() }

// LastReceived returns when something that authenticated came last.
func (h *Hop) LastReceived() time.Time {
	if ns := h.counters.lastReceived.Load(); ns != 0 {
		return time.Unix(0, ns)
	}
	return time.Time{}
}

func address(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}

// Close ends the hop; the peer is told. HopDown follows.
func (h *Hop) Close() error {
	h.end(engine.ErrClosed)
	return nil
}
