package engine

import (
	"context"
	"time"

	"github.com/castd/castd/engine/uplink"
	"github.com/castd/castd/engine/wire"
)

// A peer that carries more than it can takes no further children, says so by its free slots, and sheds layers of those that are
// there; package uplink decides. It never leaves its own place for that.

const (
	sampleEvery = time.Second
	// lagEvery is how often is looked whether this process gets to run in time.
	lagEvery = 500 * time.Millisecond
	// machineEvery is over what time the idleness of the computer is taken.
	machineEvery = 15 * time.Second
)

// overloadRun watches what this peer bears.
func (e *Engine) overloadRun(ctx context.Context) {
	tick := time.NewTimer(lagEvery)
	defer tick.Stop()
	c := uplink.NewController()
	before := make(map[*child]uint64)
	var worst time.Duration
	due, sampled := time.Now().Add(lagEvery), time.Now()
	var looked time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		worst = max(worst, now.Sub(due))
		due = now.Add(lagEvery)
		tick.Reset(lagEvery)
		if now.Sub(sampled) < sampleEvery {
			continue
		}
		if e.machine != nil && now.Sub(looked) >= machineEvery {
			looked = now
			idle, battery := e.machine.Spare()
			e.busy.Store(uint32(1000 - min(max(idle, 0), 1000)))
			e.battery.Store(battery)
		}
		s := uplink.Sample{Lag: worst, Children: e.sampleChildren(before)}
		sampled, worst = now, 0
		e.mu.Lock()
		slots := e.slots
		e.mu.Unlock()
		v := c.Step(now, slots, s)
		if f := e.forced.Load(); f != nil {
			v = *f
		}
		e.bear(v, c.Overloads())
	}
}

// sampleChildren returns what was measured of each child that is fed; before holds the counters of the last time.
func (e *Engine) sampleChildren(before map[*child]uint64) []uplink.Child {
	var out []uplink.Child
	seen := make(map[*child]bool)
	for _, r := range e.Rooms() {
		for _, c := range r.fan.Load().children {
			d := c.queue.Dropped()
			sum := d.Discardable + d.Video + d.Audio + d.Record
			m := uplink.Child{Dropped: sum - before[c]}
			if h := e.hop(c.peer); h != nil {
				m.LossPermille = h.peerLoss.Load()
			}
			before[c] = sum
			seen[c] = true
			out = append(out, m)
		}
	}
	for c := range before {
		if !seen[c] {
			delete(before, c)
		}
	}
	return out
}

// bear carries a verdict out.
func (e *Engine) bear(v uplink.Verdict, overloads uint64) {
	e.metrics.overloads.Store(overloads)
	if old := e.shed.Swap(int32(v.Shed)); old != int32(v.Shed) || v.Shed > uplink.ShedNothing {
		for _, r := range e.Rooms() {
			for _, c := range r.fan.Load().children { // also of those who came since
				c.queue.Shed(int(v.Shed))
			}
		}
	}
	e.mu.Lock()
	withheld := max(e.slots-v.Slots, 0)
	changed := withheld != e.withheld
	e.withheld = withheld
	e.mu.Unlock()
	if !changed {
		return
	}
	if v.Overloaded {
		e.log.Warn("this peer carries more than it can: it takes fewer children", "slots", v.Slots, "shed", int(v.Shed))
	} else {
		e.log.Info("this peer takes as many children as before again", "slots", v.Slots)
	}
	e.spreadSlots()
}

// slotsLocked returns how many ordinary children this peer takes now.
func (e *Engine) slotsLocked() int { return max(e.slots-e.withheld-e.guests, 0) }

// keepsBack reports whether a packet is not sent while this peer carries more than it can.
func (e *Engine) keepsBack(kind wire.Kind, pkt []byte) bool {
	level := uplink.Shed(e.shed.Load())
	if level == uplink.ShedNothing || kind != wire.KindVideo {
		return false
	}
	h, _, err := wire.ParseHeader(pkt)
	return level >= uplink.ShedVideo || err == nil && h.Discardable
}
