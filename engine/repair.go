package engine

import (
	"context"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/relay"
	"github.com/castd/castd/engine/wire"
)

// repairer asks for what is missing. It sleeps until a stream has a gap, then until the earliest moment at which a number is
// due; one goroutine serves all streams.
type repairer struct {
	e       *Engine
	wakeup  chan struct{}
	numbers []uint64 // scratch
}

func newRepairer(e *Engine) *repairer { return &repairer{e: e, wakeup: make(chan struct{}, 1)} }

func (r *repairer) wake() {
	select {
	case r.wakeup <- struct{}{}:
	default:
	}
}

// nackNumbers bounds the numbers of one stream in one request, so that it fits a datagram.
const nackNumbers = 120

// resendBatch is how many packets are sent again by one call.
const resendBatch = 32

func (r *repairer) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		next := r.pass(time.Now())
		if next.IsZero() {
			timer.Reset(time.Hour)
		} else {
			timer.Reset(max(time.Until(next), time.Millisecond))
		}
		select {
		case <-ctx.Done():
			return
		case <-r.wakeup:
		case <-timer.C:
		}
	}
}

// pass sends the requests that are due and returns when to look again; zero when nothing is missing.
func (r *repairer) pass(now time.Time) (next time.Time) {
	asks := make(map[peer.ID][]*wire.Nack)
	for _, s := range *r.e.streams.Load() {
		if !s.gaps.Load() {
			continue
		}
		s.mu.Lock()
		due := s.repair.Due(now, r.numbers[:0])
		s.lost.Store(s.repair.Lost())
		at, more := s.repair.Next()
		if !more {
			s.gaps.Store(false)
		}
		s.mu.Unlock()
		if more && (next.IsZero() || at.Before(next)) {
			next = at
		}
		if len(due) == 0 {
			continue
		}
		r.numbers = due
		to := s.feeder(s.room.links.Load())
		for chunk := range slices.Chunk(due, nackNumbers) {
			asks[to] = append(asks[to], &wire.Nack{Stream: uint64(s.id), Numbers: slices.Clone(chunk)})
		}
	}
	for to, nacks := range asks {
		h := r.e.hop(to)
		if h == nil {
			continue
		}
		for _, n := range nacks { // a full one is as much as a datagram holds
			_ = h.WriteControl(&wire.HopControl{Nacks: []*wire.Nack{n}})
			r.e.metrics.nacksSent.Add(1)
		}
	}
	return next
}

// A peer may ask for as many numbers as a lossy line of high rate needs, and after a change of parent for more at once; it may not
// spend this uplink at will.
const (
	repairRate  = 1000 // a second
	repairBurst = 4096
)

// budget allows repairRate repairs a second, repairBurst at once. It belongs to one goroutine.
type budget struct {
	left float64
	at   time.Time
}

func (b *budget) take(now time.Time) bool {
	if b.at.IsZero() {
		b.left = repairBurst
	} else {
		b.left = min(b.left+now.Sub(b.at).Seconds()*repairRate, repairBurst)
	}
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// nacked sends the peer again what he asks for and this one has. What is missing here too reaches him when it comes, as
// everything new does.
func (e *Engine) nacked(h Hop, n *wire.Nack) {
	s := (*e.streams.Load())[wire.StreamID(n.Stream)]
	hs := e.hop(h.Peer())
	if s == nil || hs == nil || hs.Hop != h || len(n.Numbers) > 4*nackNumbers || !s.room.serves(h.Peer()) {
		return
	}
	now, most := time.Now(), min(len(n.Numbers), resendBatch)
	buf, pkts := make([]byte, most*wire.MaxPacket), make([][]byte, 0, most)
	for numbers := range slices.Chunk(n.Numbers, resendBatch) {
		pkts = pkts[:0]
		for i, number := range numbers {
			if !hs.repairs.take(now) {
				break
			}
			b := buf[i*wire.MaxPacket : (i+1)*wire.MaxPacket]
			size, state := s.store.Get(number, b)
			if state != relay.StateUnconfirmed && state != relay.StateConfirmed || e.keepsBack(s.kind, b[:size]) {
				continue // what was kept back is missing because it was not sent
			}
			pkts = append(pkts, b[:size])
		}
		_, _ = h.WritePackets(pkts)
		e.metrics.resent.Add(uint64(len(pkts)))
	}
}
