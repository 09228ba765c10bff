package conference

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/mixer"
	"github.com/castd/castd/mixer/opus"
)

const (
	// maxSeats bounds the participants of a room.
	maxSeats = 1000
	// audience is the listener that stands for all who do not take part.
	audience mixer.ID = 1
	// bitrate of what is heard, for one channel, in bits a second.
	bitrate = 32000
	// tellTicks is how often the state is told at most: five times a second.
	tellTicks = 10
)

// table is the conference of one room. Its fields but the constants belong to the Service's goroutine.
type table struct {
	// constant
	service    *Service
	everything func(*engine.MediaPacket) // nil: nobody but participants hears it
	closed     sync.Once

	arrived atomic.Bool           // there may be something in the inbox of a seat; anybody's
	above   atomic.Pointer[int64] // follower.offset once a map has come, of a table that follows

	mixer   *mixer.Mixer
	seats   []*seat // by id
	last    mixer.ID
	pcm     []float32
	state   *engine.CallState                               // that was told last
	talkers []mixer.ID                                      // in it
	heard   []heard                                         // who was heard in the last tick, by id
	talks   func(participant string, on bool, at time.Time) // nil: nobody wants to know
	changed bool                                            // it is out of date
	told    uint64                                          // tick

	held     bool      // who only listen are on hold
	shift    int64     // of its ticks against the Service's
	ticked   uint64    // the last tick
	now      time.Time // when it began
	started  bool      // there was one
	sent     int64     // number of the last packets
	number   uint64    // that the mixer gave them
	follower follower
	maps     func(*engine.PlayoutMap) // nil: nobody wants any
	charted  uint64                   // tick of the last
	passed   passed
}

var _ engine.Mix = (*table)(nil)

func newTable(s *Service, everything func(*engine.MediaPacket)) (*table, error) {
	m, err := newMixer(everything != nil)
	if err != nil {
		return nil, err
	}
	return &table{
		service: s, everything: everything, mixer: m, last: audience, pcm: make([]float32, 2*mixer.FrameSamples), state: &engine.CallState{},
	}, nil
}

// fewTalkers is how many are heard at once in a room of a few.
const fewTalkers = 4

// newMixer makes a mixer that nobody takes part in, for a room with an audience or for a few.
func newMixer(listened bool) (*mixer.Mixer, error) {
	c := mixer.Config{Encoders: encoder}
	if !listened {
		c.Talkers, c.Plain = fewTalkers, true
	}
	m, err := mixer.New(c)
	if err == nil && listened {
		m.AddListener(audience, 1, bitrate)
	}
	return m, err
}

// encoder makes an encoder for package mixer.
func encoder(s mixer.Spec) (mixer.Encoder, error) {
	return opus.NewEncoder(opus.EncoderConfig{Channels: s.Channels, Bitrate: s.Bitrate, Complexity: 4, FEC: s.Loss > 0, Loss: s.Loss})
}

// Join implements engine.Mix.
func (t *table) Join(c engine.SeatConfig) (engine.MixSeat, error) {
	var s *seat
	var err error
	if !t.service.call(func() { s, err = t.add(c) }) {
		return nil, engine.ErrClosed
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// add seats a participant.
func (t *table) add(c engine.SeatConfig) (*seat, error) {
	if !slices.Contains(t.service.tables, t) {
		return nil, engine.ErrClosed
	}
	if len(t.seats) >= maxSeats {
		return nil, engine.NewUserError(engine.CodeFull, "this conference has as many participants as it can: listen to it, or try again later")
	}
	t.last++
	s, err := newSeat(t, c, t.last, t.service.next)
	if err != nil {
		return nil, err
	}
	if !t.enter(s) {
		s.decoder.Close()
		return nil, engine.NewUserError(engine.CodeFull, "this conference plays as much beside its participants as it can: try again later")
	}
	t.seats = append(t.seats, s) // by id, since ids only go up
	t.changed = true
	t.service.rouse()
	return s, nil
}

// enter brings a seat to the mixer. It reports false where that plays too much already.
func (t *table) enter(s *seat) bool {
	if !s.config.Announces {
		t.mixer.AddInput(s.id)
		t.listen(s)
		return true
	}
	to := mixer.ID(0)
	if s.config.To != "" {
		other := t.find(s.config.To)
		if other == nil {
			return true // a standby may not know him yet
		}
		to = other.id
	}
	return t.mixer.Play(s, to)
}

// listen has a seat hear the others.
func (t *table) listen(s *seat) {
	if s.config.Hear != nil && !s.deaf {
		t.mixer.AddListener(s.id, channels(s.config.HearsStereo), bitrate)
	}
	t.mixer.Hold(s.id, s.held)
}

// sounds are what tones sound like.
var sounds = map[engine.Tone]func() *mixer.Tone{
	engine.ToneEnter: mixer.NewEnter, engine.ToneLeave: mixer.NewLeave, engine.ToneAlone: mixer.NewAlone,
	engine.ToneMuted: mixer.NewMuted, engine.ToneUnmuted: mixer.NewUnmuted,
}

// Tone implements engine.Mix.
func (t *table) Tone(tone engine.Tone) { t.play(tone, 0) }

// play has all hear a tone, or one listener.
func (t *table) play(tone engine.Tone, to mixer.ID) {
	sound := sounds[tone]
	if sound == nil {
		return // a newer engine's
	}
	t.service.post(func() {
		t.mixer.Play(sound(), to)
		t.service.rouse()
	})
}

// Hold implements engine.Mix.
func (t *table) Hold(on bool) {
	t.service.call(func() {
		t.held = on
		t.hold(audience, on)
	})
}

// hold has a listener hear music, or the mix again.
func (t *table) hold(id mixer.ID, on bool) {
	t.mixer.Hold(id, on)
	t.service.rouse()
}

// remove takes a participant away.
func (t *table) remove(s *seat) {
	if s.gone {
		return
	}
	s.gone = true
	t.seats = slices.DeleteFunc(t.seats, func(o *seat) bool { return o == s })
	if s.config.Announces {
		t.mixer.Stop(s)
	} else {
		t.mixer.RemoveInput(s.id)
		t.mixer.RemoveListener(s.id)
	}
	s.decoder.Close()
	t.changed = true
	t.service.rouse()
}

// Close implements engine.Mix.
func (t *table) Close() {
	t.closed.Do(func() { t.service.call(t.clear) })
}

// clear ends the table.
func (t *table) clear() {
	for len(t.seats) > 0 {
		t.remove(t.seats[0])
	}
	t.service.tables = slices.DeleteFunc(t.service.tables, func(o *table) bool { return o == t })
	t.mixer.Close()
}

// seat returns the one with an id, or nil.
func (t *table) seat(id mixer.ID) *seat {
	i, ok := slices.BinarySearchFunc(t.seats, id, func(s *seat, id mixer.ID) int { return cmp.Compare(s.id, id) })
	if !ok {
		return nil
	}
	return t.seats[i]
}

// find returns the seat of a participant, or nil.
func (t *table) find(participant string) *seat {
	for _, s := range t.seats {
		if s.config.Participant == participant {
			return s
		}
	}
	return nil
}

// rests reports whether a tick would do nothing.
func (t *table) rests() bool {
	if !t.follower.waits() && (!t.mixer.Parked() || t.changed || len(t.talkers) > 0) {
		return false
	}
	return !t.arrived.Load()
}

// tick mixes 20 ms. n is the Service's tick, and now is when they begin.
func (t *table) tick(n uint64, now time.Time) {
	number, ok := t.place(n, now)
	if !ok {
		t.wait(now)
		return
	}
	t.ticked, t.started = number, true
	t.now = now
	t.arrived.Store(false) // before the inboxes are looked at
	for _, s := range t.seats {
		s.take()
	}
	wants := t.mixer.Select(number)
	for _, s := range t.seats { // both are by id
		if s.config.Announces {
			continue // the mixer asks for what it plays
		}
		var w mixer.Want
		if len(wants) > 0 && wants[0].ID == s.id {
			w, wants = wants[0], wants[1:]
		}
		s.play(w, now, t.pcm)
	}
	out := t.mixer.Mix()
	t.chart(&out)
	t.deliver(&out)
	t.talk(&out)
	t.tell(number, &out)
}
