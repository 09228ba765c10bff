package conference

import (
	"sync"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/mixer"
	"github.com/castd/castd/mixer/jitter"
	"github.com/castd/castd/mixer/opus"
)

// seat is a participant at a table.
type seat struct {
	// constant
	table   *table
	config  engine.SeatConfig
	id      mixer.ID
	decoder *opus.Decoder
	closed  sync.Once

	inbox inbox

	// owned by the Service's goroutine
	buffer    *jitter.Buffer
	forwarded []byte // his packet of this tick, where it is passed on
	level     uint8  // of it
	sequence  int64  // and its number
	gone      bool
	output    int64 // of the buffer's timeline at the last tick
	ticked    bool  // there was one
	held      bool  // he is on hold
	deaf      bool  // he hears nothing
	wishes    map[string]float32
	played    jitter.Map // of the last tick, unknown where it was not wanted
	charted   uint32     // timestamp in the last map
}

var _ engine.MixSeat = (*seat)(nil)

// channels returns how many of them something is worth.
func channels(stereo bool) int {
	if stereo {
		return 2
	}
	return 1
}

// newSeat makes a seat that nobody sits at yet. tick is the next one.
func newSeat(t *table, c engine.SeatConfig, id mixer.ID, tick uint64) (*seat, error) {
	decoder, err := opus.NewDecoder(channels(c.SendsStereo))
	if err != nil {
		return nil, err
	}
	config := jitter.DefaultConfig()
	config.Channels, config.Output = decoder.Channels(), int64(tick)*mixer.FrameSamples
	return &seat{table: t, config: c, id: id, decoder: decoder, buffer: jitter.New(config, decoder)}, nil
}

// Write implements engine.Seat.
func (s *seat) Write(p *engine.MediaPacket) {
	s.inbox.push(p, time.Now())
	if !s.table.arrived.Load() {
		s.table.arrived.Store(true)
	}
	s.table.service.rouse()
}

// take puts what has come into the jitter buffer and tells the mixer of it.
func (s *seat) take() {
	s.inbox.drain(func(a *arrived) {
		p := &a.packet
		known := p.Level != wire.LevelUnknown
		frame := a.payload
		if s.config.RED {
			frame = jitter.Primary(frame)
		}
		s.table.mixer.Heard(s.id, mixer.Header{Level: p.Level, Known: known, Passable: passable(frame)})
		s.buffer.Push(jitter.Packet{
			Arrival: a.at, SSRC: 1, Sequence: uint16(p.Sequence), Timestamp: p.Timestamp, RED: s.config.RED, Payload: a.payload,
			Level: jitter.Level{Known: known, Minus: p.Level, Voice: p.Voice},
		})
	})
}

// play moves the buffer on by a tick and gives the mixer what it wants of it. pcm has room for a frame.
func (s *seat) play(w mixer.Want, now time.Time, pcm []float32) {
	n := s.decoder.Channels()
	frame := pcm[:n*mixer.FrameSamples]
	s.played = jitter.Map{}
	switch {
	case w.Forward:
		f, packet := s.buffer.Forward(now, mixer.FrameSamples)
		s.plays(f)
		s.played = f.Map
		if packet == nil {
			return
		}
		s.forwarded, s.sequence = append([]byte(nil), packet...), f.Sequence // others keep it
		if s.level = wire.LevelUnknown; f.Level.Known {
			s.level = f.Level.Minus
		}
		if !w.Decode {
			return
		}
		// The mixer is about to mix again, and lets its encoders begin with this sound. Nobody hears it.
		if got, err := s.decoder.Decode(packet, frame); err == nil && got == mixer.FrameSamples {
			s.table.mixer.Feed(s.id, frame, n, f.Map.Timestamp)
		}
	case w.Decode:
		f := s.buffer.Pull(now, frame)
		s.plays(f)
		s.played = f.Map
		s.table.mixer.Feed(s.id, frame, n, f.Map.Timestamp)
	default:
		s.plays(s.buffer.Skip(now, mixer.FrameSamples))
	}
}

// Next implements mixer.Sound, for an announcement. Mixer and table are the Service's goroutine's.
func (s *seat) Next(pcm []float32) bool {
	s.plays(s.buffer.Pull(s.table.now, pcm))
	return true
}

// plays tells the mixer how loud the packet says it is that plays in this tick. Of what was made up in place of a packet nothing is known.
func (s *seat) plays(f jitter.Frame) {
	s.output, s.ticked = f.Map.Output, true
	if f.Level.Known && f.Kind != jitter.Concealed && f.Kind != jitter.Silence {
		s.table.mixer.Playing(s.id, f.Level.Minus)
	}
}

// Loss implements engine.Seat.
func (s *seat) Loss(percent float64) {
	s.table.service.post(func() { s.table.mixer.Loss(s.id, percent) })
}

// Wish implements engine.Seat. A wish for somebody who is not there is for nobody.
func (s *seat) Wish(participant string, gain float32) {
	s.table.service.post(func() {
		if s.gone {
			return
		}
		if s.wishes == nil {
			s.wishes = make(map[string]float32)
		}
		if _, known := s.wishes[participant]; known || len(s.wishes) < maxSeats {
			s.wishes[participant] = gain
		}
		s.wish(participant, gain)
	})
}

// wish has the mixer do that.
func (s *seat) wish(participant string, gain float32) {
	if other := s.table.find(participant); other != nil && other != s {
		s.table.mixer.Wish(s.id, other.id, gain)
	}
}

// Deaf implements engine.MixSeat.
func (s *seat) Deaf(on bool) {
	s.table.service.call(func() {
		if s.gone || s.deaf == on || s.config.Announces {
			return
		}
		if s.deaf = on; on {
			s.table.mixer.RemoveListener(s.id)
		} else {
			s.table.listen(s)
			for participant, gain := range s.wishes { // in any order
				s.wish(participant, gain)
			}
		}
		s.table.service.rouse()
	})
}

// Tone implements engine.MixSeat.
func (s *seat) Tone(tone engine.Tone) { s.table.play(tone, s.id) }

// Hold implements engine.MixSeat.
func (s *seat) Hold(on bool) {
	s.table.service.call(func() {
		if !s.gone {
			s.held = on
			s.table.hold(s.id, on)
		}
	})
}

// Close implements engine.Seat.
func (s *seat) Close() {
	s.closed.Do(func() { s.table.service.call(func() { s.table.remove(s) }) })
}
