package conference

import (
	"cmp"
	"slices"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/mixer"
)

// deliver hands out what a tick has made.
func (t *table) deliver(out *mixer.Output) {
	if out.Parked {
		return
	}
	t.advance(out.Number)
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

// advance numbers the packets of a tick as the mixer does. Where a standby was brought to other numbers nothing was lost, and its own go on.
func (t *table) advance(number uint64) {
	if step := number - t.number; step >= 1 && step <= 10 {
		t.sent += int64(step)
	} else {
		t.sent++
	}
	t.number = number
}
