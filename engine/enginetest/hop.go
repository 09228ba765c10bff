package enginetest

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// transport is a Peer as engine.Transport.
type transport Peer

func (t *transport) peer() *Peer { return (*Peer)(t) }

func (t *transport) Start(h engine.HopHandler, s engine.Signaller) { t.media, t.signal = h, s }
func (t *transport) NewOutbox() engine.Outbox                      { return outbox{} }
func (t *transport) Port() int                                     { return 1 }
func (t *transport) Close() error                                  { return nil }

// Dial asks the peer, which makes both ends.
func (t *transport) Dial(ctx context.Context, to peer.ID) (engine.Hop, error) {
	t.mu.Lock()
	if h := t.hops[to]; h != nil {
		t.mu.Unlock()
		return h, nil
	}
	t.mu.Unlock()
	if _, err := t.signal.Offer(ctx, to, &wire.HopOffer{}); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if h := t.hops[to]; h != nil {
		return h, nil
	}
	return nil, errUnreachable
}

func (t *transport) Answer(_ context.Context, from peer.ID, _ *wire.HopOffer) (*wire.HopAnswer, error) {
	o := t.peer().reach(from)
	if o == nil {
		return nil, errUnreachable
	}
	a, b := newHop(t.peer(), o), newHop(o, t.peer())
	a.other, b.other = b, a
	var replaced []*hop
	net := a.owner.net
	net.pairing.Lock() // both may offer at the same time: the later pair is there at both ends
	for _, h := range []*hop{a, b} {
		h.owner.mu.Lock()
		if old := h.owner.hops[h.to]; old != nil {
			replaced = append(replaced, old)
		}
		h.owner.hops[h.to] = h
		h.owner.mu.Unlock()
	}
	net.pairing.Unlock()
	for _, old := range replaced {
		_ = old.Close()
	}
	b.owner.work.Go(b.run)
	a.owner.work.Go(func() {
		time.Sleep(a.owner.net.LateUp)
		a.run()
	})
	<-b.up
	if a.owner.net.LateUp == 0 {
		<-a.up
	}
	return &wire.HopAnswer{}, nil
}

// frame is something on its way.
type frame struct {
	at      time.Time
	pkt     []byte
	control *wire.HopControl
}

// hop is one end of a hop; in holds what is on its way to this end. The queue has room for 16,384 frames and drops what comes
// then, as a network would.
type hop struct {
	owner *Peer
	to    peer.ID
	other *hop
	in    chan frame
	up    chan struct{}
	done  chan struct{}
	once  sync.Once

	sent, received, bytesIn, bytesOut atomic.Uint64
	last                              atomic.Int64
}

func newHop(owner, to *Peer) *hop {
	return &hop{owner: owner, to: to.id, in: make(chan frame, 1<<14), up: make(chan struct{}), done: make(chan struct{})}
}

func (h *hop) run() {
	h.last.Store(time.Now().UnixNano())
	h.owner.coming.Lock()
	h.owner.mu.Lock()
	current := h.owner.hops[h.to] == h
	h.owner.mu.Unlock()
	if current { // the engine hears of hops in the order in which one replaces the other
		h.owner.media.HopUp(h)
	}
	h.owner.coming.Unlock()
	close(h.up)
	if !current {
		return
	}
	defer func() {
		h.owner.mu.Lock()
		if h.owner.hops[h.to] == h {
			delete(h.owner.hops, h.to)
		}
		h.owner.mu.Unlock()
		h.owner.media.HopDown(h, nil)
	}()
	for {
		select {
		case <-h.done:
			return
		case f := <-h.in:
			if d := time.Until(f.at); d > 0 {
				select {
				case <-h.done:
					return
				case <-time.After(d):
				}
			}
			h.last.Store(time.Now().UnixNano())
			if f.control != nil {
				h.owner.media.HopControl(h, f.control)
				continue
			}
			h.received.Add(1)
			h.bytesIn.Add(uint64(len(f.pkt)))
			h.owner.media.HopPacket(h, f.pkt)
		}
	}
}

func (h *hop) send(f frame) {
	if h.owner.reach(h.to) == nil || h.owner.net.lose() {
		return
	}
	f.at = time.Now().Add(h.owner.net.way(h.owner.id, h.to))
	select {
	case h.other.in <- f:
	default:
	}
}

func (h *hop) Peer() peer.ID { return h.to }

func (h *hop) WritePackets(pkts [][]byte) (int, error) {
	if h.owner.reach(h.to) == nil {
		return len(pkts), nil
	}
	for _, p := range pkts {
		c := slices.Clone(p)
		if tamper := h.owner.net.Tamper; tamper != nil {
			h.owner.net.tampering.Lock()
			c = tamper(h.owner.id, h.to, c)
			h.owner.net.tampering.Unlock()
			if c == nil {
				continue
			}
		}
		h.sent.Add(1)
		h.bytesOut.Add(uint64(len(c)))
		h.send(frame{pkt: c})
	}
	return len(pkts), nil
}

func (h *hop) WriteControl(c *wire.HopControl) error {
	c = proto.Clone(c).(*wire.HopControl)
	if change := h.owner.net.Control; change != nil {
		h.owner.net.tampering.Lock()
		change(h.owner.id, h.to, c)
		h.owner.net.tampering.Unlock()
	}
	h.send(frame{control: c})
	return nil
}

func (h *hop) PeerLoss(uint32) {}

func (h *hop) Stats() engine.HopStats {
	return engine.HopStats{
		PacketsSent: h.sent.Load(), PacketsReceived: h.received.Load(), BytesSent: h.bytesOut.Load(), BytesReceived: h.bytesIn.Load(),
	}
}

func (h *hop) Sent() uint64 { return h.sent.Load() }

func (h *hop) LastReceived() time.Time { return time.Unix(0, h.last.Load()) }

// outbox sends at once.
type outbox struct{}

func (outbox) WritePackets(h engine.Hop, pkts [][]byte) error {
	_, err := h.WritePackets(pkts)
	return err
}

func (outbox) WriteControl(h engine.Hop, c *wire.HopControl) error { return h.WriteControl(c) }

func (outbox) Flush() {}

// Close ends this end; the other hears of it if the network still carries anything between the two.
func (h *hop) Close() error {
	first := false
	h.once.Do(func() {
		close(h.done)
		first = true
	})
	// Not within: both ends may be closed at the same time.
	if first && h.owner.reach(h.to) != nil {
		h.other.once.Do(func() { close(h.other.done) })
	}
	return nil
}
