package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine"
)

// Plane is the control plane of one peer. New makes one; it is used until Close.
type Plane struct {
	// constant after New
	cfg      Config
	log      *slog.Logger
	id       peer.ID
	host     host.Host
	topics   *topics
	limits   *limits
	presence *presence
	notifiee *network.NotifyBundle
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	started  chan struct{}         // closed by Start
	handler  engine.ControlHandler // set before started is closed

	// atomic
	stats    counters
	useCount atomic.Uint64

	mu        sync.Mutex // guards what follows, and adding to wg
	closed    bool
	starts    int
	resyncing map[peer.ID]bool // peers that resync looks after; whether subscriptions of theirs were forgotten
	wg        sync.WaitGroup
}

var _ engine.ControlPlane = (*Plane)(nil)

// New makes a host that listens when New returns. It takes connections, but delivers nothing before Start. ctx bounds only
// the call; the error is a *engine.UserError where an address could not be listened at.
func New(ctx context.Context, cfg Config) (*Plane, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("start control plane: %w", err)
	}
	p := &Plane{cfg: cfg, log: cfg.Log, limits: newLimits(), presence: newPresence(), started: make(chan struct{}), resyncing: make(map[peer.ID]bool)}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	h, err := newHost(cfg.Key, cfg.Options)
	if err != nil {
		return nil, err
	}
	p.host, p.id = h, h.ID()
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if p.topics, err = newTopics(p.ctx, p, h); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	h.SetStreamHandler(messageProtocol, p.inbound(p.handleMessage))
	h.SetStreamHandler(requestProtocol, p.inbound(p.handleRequest))
	h.SetStreamHandler(aliveProtocol, p.inbound(p.handleAlive))
	p.notifiee = &network.NotifyBundle{
		ConnectedF:    func(_ network.Network, c network.Conn) { p.opened(c) },
		DisconnectedF: func(_ network.Network, c network.Conn) { p.closeNoted(c) },
	}
	h.Network().Notify(p.notifiee)

	l, ok := h.Network().(listener)
	if !ok {
		return nil, errors.Join(errors.New("gossip: this network cannot listen"), p.Close())
	}
	if len(cfg.Listen) > 0 {
		err = listenAt(l, cfg.Listen)
	} else {
		err = listenDefault(l, DefaultPort, hasIP6())
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Start implements engine.ControlPlane: delivery and discovery begin.
func (p *Plane) Start(h engine.ControlHandler) error {
	p.mu.Lock()
	p.starts++
	first, closed := p.starts == 1, p.closed
	p.mu.Unlock()
	if closed {
		return engine.ErrClosed
	}
	if !first {
		return errors.New("gossip: started twice")
	}
	p.handler = h
	close(p.started)
	p.spawn(func() { p.presence.deliverLoop(p.ctx, h.PeerUp, h.PeerDown) })
	p.discover()
	return nil
}

// Close implements engine.ControlPlane. It may be called several times.
func (p *Plane) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		p.wg.Wait()
		return nil
	}
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	// Closing the host ends all streams, and with them whatever waits for one.
	err := p.host.Close()
	p.wg.Wait()
	if err != nil {
		return fmt.Errorf("close libp2p host: %w", err)
	}
	return nil
}

// inbound makes a stream handler that Close waits for.
func (p *Plane) inbound(handle func(network.Stream)) network.StreamHandler {
	return func(s network.Stream) {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			s.Reset()
			return
		}
		p.wg.Add(1)
		p.mu.Unlock()
		defer p.wg.Done()
		handle(s)
	}
}

// opened notes a new connection, and sees to the others with the same peer.
func (p *Plane) opened(c network.Conn) {
	ctx, cancel := context.WithCancel(p.ctx)
	others, isNew := p.presence.opened(c, cancel)
	if !isNew {
		cancel()
		return
	}
	for _, o := range others {
		p.spawn(func() { p.closeIfDead(o) })
	}
	if c.Stat().Direction == network.DirOutbound {
		p.spawn(func() { p.watchLoop(ctx, c) })
	}
}

// closeNoted notes that a connection has closed. Gossipsub may have been on it though there is another one.
func (p *Plane) closeNoted(c network.Conn) {
	if p.presence.closed(c) {
		p.resync(c.RemotePeer(), false)
	}
}

// spawn runs f in a goroutine that Close waits for. It reports false once Close was called.
func (p *Plane) spawn(f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.wg.Go(f)
	return true
}

// awaitStart waits until Start was called, for at most d. It reports false if it was not.
func (p *Plane) awaitStart(d time.Duration) bool {
	select {
	case <-p.started:
		return p.ctx.Err() == nil
	default:
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.started:
		return p.ctx.Err() == nil
	case <-timer.C:
	case <-p.ctx.Done():
	}
	return false
}

// isTimeout reports whether err says that something took too long.
func isTimeout(err error) bool {
	var t net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}
