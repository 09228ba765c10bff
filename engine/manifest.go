package engine

import (
	"time"

	"github.com/castd/castd/engine/wire"
)

// run builds manifests while there is something to vouch for, and repeats announce and clocks.
func (p *publication) run() {
	timer := time.NewTimer(factsEvery)
	defer timer.Stop()
	for {
		select {
		case <-p.room.ctx.Done():
			p.end(ErrClosed)
			return
		case <-p.done:
			return
		case <-p.kick:
			for wait := p.unvouched(); wait > 0; wait = p.unvouched() { // mostly a packet takes its manifest along before
				select {
				case <-time.After(wait):
				case <-p.done:
					return
				case <-p.room.ctx.Done():
					p.end(ErrClosed)
					return
				}
			}
		case <-timer.C:
		}
		now := time.Now()
		p.mu.Lock()
		waited := !p.closedAt.IsZero() && now.Sub(p.closedAt) >= slotLife
		if !p.ended {
			p.flush(now)
		}
		p.mu.Unlock()
		if waited {
			p.finish(nil)
			return
		}
		timer.Reset(factsEvery)
	}
}

// unvouched returns how long a manifest may still be waited for.
func (p *publication) unvouched() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unvouchedAt.IsZero() {
		return 0
	}
	return p.every - time.Since(p.unvouchedAt)
}

// flush sends what has gathered: hashes, skips, and the repeated facts where they are due. The caller holds p.mu, or is alone.
func (p *publication) flush(now time.Time) {
	for _, label := range sortedKeys(p.streams) {
		ps := p.streams[label]
		for _, n := range sortedKeys(ps.holes) {
			if now.Sub(ps.holes[n]) >= holeLife {
				p.notary.Skip(ps.s.id, n, n)
				ps.s.store.Skip(n, n)
				delete(ps.holes, n)
			}
		}
	}
	facts := now.Sub(p.factsAt) >= factsEvery
	if facts {
		p.factsAt = now
		if now.Sub(p.signedAt) >= announceLife/2 {
			if err := p.sign(now, false); err != nil {
				p.room.e.log.Error("cannot sign announce", "err", err)
			} else {
				env := p.announce
				p.room.tell(func() { _, _ = p.room.roster.ApplyEnvelope(env, time.Now()) })
			}
		}
		for _, label := range sortedKeys(p.streams) {
			if ps := p.streams[label]; ps.clock != nil {
				p.notary.Clock(ps.s.id, ps.clock.timestamp, ps.clock.unixUs)
				ps.s.clock.Store(ps.clock)
			}
		}
	}
	if now.Sub(p.announcedAt) >= announceEvery || now.Before(p.freshTo) {
		p.announcedAt = now
		if err := p.notary.Announce(p.announce); err != nil {
			p.room.e.log.Error("announce is too large", "err", err)
		}
	}
	p.send(now)
}

// send builds the record packets and puts them on their way.
func (p *publication) send(now time.Time) {
	p.sentAt, p.unvouchedAt = now, time.Time{}
	p.notary.Singly(now.Before(p.singlyTo))
	for _, pkt := range p.notary.Build(uint32(now.UnixMilli())) {
		h, _, err := wire.ParseHeader(pkt)
		if err != nil {
			panic("engine: internal error: record packet has no header")
		}
		p.manifests.put(&h, pkt, true, "", now)
	}
}
