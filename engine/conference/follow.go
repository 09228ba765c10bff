package conference

import (
	"math"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/mixer"
	"github.com/castd/castd/mixer/jitter"
)

// A standby mixes what its primary mixes, on the same ticks: the primary's maps say which sample of whom it played on which tick. The ticks
// of a table are those of the Service moved by table.shift, so that the standby runs each of them a little after the primary's map of
// it could have come: who is farther from the standby than from the primary is in time all the same. Until a map has come it keeps
// jitter buffers, and makes nothing.

const (
	// mapTicks is how often a map is made while nothing moves against the ticks: ten times a second.
	mapTicks = 5
	// followLag is how many ticks after the soonest map of a tick the standby runs it.
	followLag = 1
	// lagWindow is how long the soonest map counts: clocks drift.
	lagWindow = 5 * time.Second
	// leaderless is how long after the last map a standby whose primary may have died plays by its own buffers again.
	leaderless = 500 * time.Millisecond
)

// follower is what a table has of the primary that it follows.
type follower struct {
	on      bool      // another peer's mixer is the primary
	aligned bool      // a map has come
	heard   time.Time // when the last one did
	led     bool      // buffers play by its maps
	keeps   bool      // until a map has come, the table goes on as it was
	offset  int64     // by how many ticks the primary's timeline is above the table's, which is its own where that was so
	// ahead is by how many ticks the primary's are above those of the Service, as the soonest map of this window and the one before tells.
	ahead, before float64
	since         time.Time // the window
}

// note takes a map that came at a time, as the Service counts ticks, and returns by how many ticks the table should be above these.
func (f *follower) note(tick uint64, at float64, now time.Time) float64 {
	ahead := float64(tick) - at
	switch {
	case !f.aligned:
		f.ahead, f.before, f.since = ahead, ahead, now
	case now.Sub(f.since) >= lagWindow:
		f.before, f.ahead, f.since = f.ahead, ahead, now
	default:
		f.ahead = max(f.ahead, ahead)
	}
	f.aligned, f.heard, f.led = true, now, true
	return max(f.ahead, f.before) - followLag
}

// Maps implements engine.Mix.
func (t *table) Maps(f func(*engine.PlayoutMap)) { t.service.call(func() { t.maps = f }) }

// Follow implements engine.Mix.
func (t *table) Follow(m *engine.PlayoutMap) {
	now := time.Now()
	if m == nil {
		t.service.call(func() {
			t.follower = follower{on: true, keeps: t.started}
			t.above.Store(nil)
		})
		return
	}
	t.service.post(func() { t.follow(m, now) })
}

// Lead implements engine.Mix.
func (t *table) Lead() {
	t.service.call(func() {
		t.follower = follower{}
		t.above.Store(nil)
		t.unled()
	})
}

// Ahead implements engine.Mix.
func (t *table) Ahead() (uint32, bool) {
	if above := t.above.Load(); above != nil {
		return uint32(*above) * mixer.FrameSamples, true
	}
	return 0, false
}

// unled lets the buffers go their own way.
func (t *table) unled() {
	t.follower.led = false
	for _, s := range t.seats {
		s.buffer.Lead()
	}
}

// follow brings the table to where its primary is.
func (t *table) follow(m *engine.PlayoutMap, now time.Time) {
	f := &t.follower
	if !f.on || m.Tick > maxTick {
		return
	}
	first := !f.aligned
	want := f.note(m.Tick, float64(now.Sub(t.service.clock.origin))/float64(tickLength), now)
	if first {
		if f.keeps {
			f.offset = int64(math.Floor(want)) - t.shift
		}
		above := f.offset
		t.above.Store(&above)
	}
	tick := uint64(int64(m.Tick) - f.offset) // on the table's own timeline
	want -= float64(f.offset)
	// A step back, or ahead, is heard: no chance in when maps come makes one.
	if off := want - float64(t.shift); first || off < -0.25 || off >= 1.25 {
		t.shift = int64(math.Floor(want))
	}
	if t.started && tick+restartTicks < t.ticked && !t.restart() {
		return
	}
	if !t.started {
		return // the next map finds it
	}
	ids := mixer.Map{Tick: tick, Number: m.Number}
	for _, in := range m.Inputs {
		s := t.find(in.Participant)
		if s == nil {
			continue
		}
		if !math.IsNaN(in.Gain) {
			ids.Inputs = append(ids.Inputs, mixer.Position{ID: s.id, Timestamp: in.Timestamp, Gain: in.Gain})
		}
		if s.ticked {
			at := jitter.Map{
				Known: true, Timestamp: in.Timestamp, Output: s.output + int64(tick-t.ticked)*mixer.FrameSamples, // either may be the later one
			}
			if f.keeps {
				s.buffer.Approach(at) // it is heard
			} else {
				s.buffer.Follow(at)
			}
		}
	}
	t.mixer.Follow(ids)
	t.number = m.Number + t.ticked - tick // what its own packets are numbered by goes on
}

// restartTicks is how far back a primary may be without being another one, or having slept: a mixer does not go back.
const restartTicks = 100

// restart begins to mix anew. It reports false where that is not possible.
func (t *table) restart() bool {
	m, err := newMixer(t.everything != nil)
	if err != nil {
		return false
	}
	t.mixer.Close()
	m.Hold(audience, t.held)
	t.mixer, t.started = m, false
	for _, s := range t.seats {
		t.enter(s)
		s.ticked = false
	}
	return true
}

// maxTick bounds the ticks of a primary's map: 180,000 years.
const maxTick = 1 << 48

// waits says that no map has come yet.
func (f *follower) waits() bool { return f.on && !f.aligned && !f.keeps }

// place returns which tick the table runs on one of the Service's. It runs none while it does not know, or was ahead.
func (t *table) place(n uint64, now time.Time) (uint64, bool) {
	f := &t.follower
	if f.waits() {
		return 0, false
	}
	if f.led && now.Sub(f.heard) >= leaderless {
		t.unled()
	}
	at := int64(n) + t.shift
	if at < 0 || t.started && uint64(at) <= t.ticked {
		return 0, false
	}
	return uint64(at), true
}

// wait lets time pass for those who send while the table does not know on which tick it is. Where it was ahead they play nothing.
func (t *table) wait(now time.Time) {
	if !t.follower.waits() {
		return
	}
	t.arrived.Store(false)
	for _, s := range t.seats {
		s.take()
		s.buffer.Skip(now, mixer.FrameSamples)
	}
}

// chart makes a map of what the tick has played, when one is due: when something has moved against the ticks, or some have passed.
func (t *table) chart(out *mixer.Output) {
	if t.maps == nil || t.follower.on || out.Parked {
		return
	}
	moved := out.Marker
	for _, s := range t.seats {
		if s.played.Known {
			moved = moved || s.played.Timestamp-s.charted != uint32(out.Tick-t.charted)*mixer.FrameSamples
		}
	}
	if !moved && out.Tick-t.charted < mapTicks {
		return
	}
	t.charted = out.Tick
	m := &engine.PlayoutMap{Tick: out.Tick, Number: out.Number}
	for _, s := range t.seats {
		if !s.played.Known {
			continue
		}
		s.charted = s.played.Timestamp
		if len(m.Inputs) == engine.MaxPlayoutInputs {
			continue
		}
		gain := 0.0
		for _, at := range out.Map.Inputs {
			if at.ID == s.id {
				gain = at.Gain
			}
		}
		m.Inputs = append(m.Inputs, engine.PlayoutPosition{Participant: s.config.Participant, Timestamp: s.played.Timestamp, Gain: gain})
	}
	t.maps(m)
}
