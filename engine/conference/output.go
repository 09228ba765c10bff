package conference

import (
	"cmp"
	"slices"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/mixer"
)

// deliver hands out what a tick has made.
func (t *table) deliver(out *mixer.Output) {
	if out.Parked {
		return
	}
	t.advance(out)
	send := func(payload []byte, level uint8, to []mixer.ID) {
		p := &engine.MediaPacket{
			Sequence: t.sent, Timestamp: out.Timestamp, Marker: out.Marker, Payload: payload, Level: level,
		}
		for _, id := range to {
			if id == audience {
				t.everything(p)
			} else if s := t.seat(id); s != nil {
				s.config.Hear(p)
			}
		}
	}
	for i := range out.Packets {
		p := &out.Packets[i]
		send(slices.Clone(p.Payload), p.Level, p.Listeners)
	}
	if s := t.seat(out.Forward); s != nil && s.forwarded != nil {
		send(s.forwarded, s.level, out.Forwarded)
		s.forwarded = nil
	}
}

// tell tells everybody who is there and who talks, when that has changed.
func (t *table) tell(number uint64, out *mixer.Output) {
	same := slices.EqualFunc(t.talkers, out.Talkers, func(id mixer.ID, o mixer.Talker) bool { return id == o.ID })
	if same && !out.Changed && !t.changed || number-t.told < tellTicks && t.told != 0 {
		t.changed = t.changed || out.Changed
		return
	}
	t.told, t.changed, t.talkers = number, false, t.talkers[:0]
	for _, o := range out.Talkers {
		t.talkers = append(t.talkers, o.ID)
	}
	state := &engine.CallState{Participants: []engine.CallParticipant{}}
	for _, s := range t.seats {
		if s.config.Announces {
			continue
		}
		_, talking := slices.BinarySearch(t.talkers, s.id)
		state.Participants = append(state.Participants, engine.CallParticipant{Participant: s.config.Participant, Name: s.config.Name, Talking: talking})
	}
	slices.SortFunc(state.Participants, func(a, b engine.CallParticipant) int { return cmp.Compare(a.Participant, b.Participant) })
	if len(out.Dominant) > 0 {
		if s := t.seat(out.Dominant[0]); s != nil {
			state.Dominant = s.config.Participant
		}
	}
	t.state = state
	for _, s := range t.seats {
		if s.config.Tell != nil {
			s.config.Tell(state)
		}
	}
}

// heard is somebody who is heard.
type heard struct {
	id          mixer.ID
	participant string
	still       bool
}

// Talks implements engine.Mix.
func (t *table) Talks(f func(participant string, on bool, at time.Time)) {
	t.service.call(func() { t.talks = f })
}

// talk says who begins to be heard and who is heard no longer. It allocates nothing.
func (t *table) talk(out *mixer.Output) {
	if t.talks == nil {
		return
	}
	for i := range t.heard {
		t.heard[i].still = false
	}
	for _, o := range out.Talkers {
		if i := slices.IndexFunc(t.heard, func(h heard) bool { return h.id == o.ID }); i >= 0 {
			t.heard[i].still = true
			continue
		}
		if s := t.seat(o.ID); s != nil {
			t.heard = append(t.heard, heard{o.ID, s.config.Participant, true})
			t.talks(s.config.Participant, true, t.now)
		}
	}
	t.heard = slices.DeleteFunc(t.heard, func(h heard) bool {
		if !h.still {
			t.talks(h.participant, false, t.now)
		}
		return !h.still
	})
}

// advance numbers the packets of a tick as the mixer does. Where a standby was brought to other numbers nothing was lost, and its own go on.
func (t *table) advance(out *mixer.Output) {
	step := int64(out.Number - t.number)
	t.number = out.Number
	if step < 1 || step > 10 {
		step = 1
	}
	if out.Forward != 0 && len(out.Packets) == 0 {
		step = t.passed.step(out.Forward, t.seat(out.Forward))
	} else {
		t.passed = passed{}
	}
	t.sent += step
}

// passed is whose packets are all that the table sends. They go on being numbered as he numbers them: where he pauses none is missing.
type passed struct {
	id       mixer.ID // 0: nobody's
	sequence int64    // of the last packet
	some     bool     // there was one
}

// step returns by how much the number of this tick's packet, if there is one, is above that of the last.
func (p *passed) step(id mixer.ID, s *seat) int64 {
	if p.id != id {
		*p = passed{id: id}
	}
	if s == nil || s.forwarded == nil {
		return 0
	}
	step := s.sequence - p.sequence
	if !p.some || step < 1 || step > 10 {
		step = 1
	}
	p.sequence, p.some = s.sequence, true
	return step
}
