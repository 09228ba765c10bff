package recording

import (
	"time"

	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/container"
	"github.com/castd/castd/plugins/sdk"
)

const (
	// fillAfter is how long sound may be missing until it counts as silence that is written as it passes. What comes later than this has
	// lost its place.
	fillAfter = 2 * time.Second
	// maxHole is what is filled with silence between two packets of a track that is one of several; a longer one stays a hole.
	maxHole = time.Minute
	// fillFrom is the least hole that is filled.
	fillFrom = 5 * time.Millisecond
)

// track is a stream of the room as it is recorded.
type track struct {
	stream sdk.Stream
	in     *container.Intake
	clock  *clock
	ticks  clock // by timestamps, while the publisher's wall clock is not known
	video  bool
	came   time.Time // when the newest packet did

	main laneState // in the room's file
	own  *lane     // its own file; nil where there is none
}

// laneState is a track's state in a file.
type laneState struct {
	line  container.Timeline
	begun bool          // it has a track there
	keyed bool          // a key frame was written there
	end   time.Duration // of the sound that was written
	last  []byte        // the first octet of the newest Opus packet
	at    time.Duration // of the newest picture
}

// lane is a file of one track.
type lane struct {
	segment *segment
	state   laneState
}

func sourceOf(s *sdk.Stream) container.Source {
	source := container.Source{Codec: s.Codec, ClockRate: s.ClockRate, Channels: s.Channels}
	if s.Kind == "audio" {
		source.Codec, source.ClockRate = codec.Opus, codec.AudioClock // castd unpacks RED
	}
	return source
}

// took notes when a packet came that came live, whose frame belongs at p.
func (t *track) took(p *container.Place, arrived int64) {
	if p.WallUs == 0 {
		t.ticks.take(t.tickTime(p), arrived)
	}
}

// tickTime is the time that the timestamp is on the stream's own clock, in microseconds.
func (t *track) tickTime(p *container.Place) int64 {
	return container.ClockTime(p.Timestamp, t.in.Track.ClockRate).Microseconds()
}

// place returns where a frame belongs on this machine's clock, and whether its publisher's clock says so.
func (t *track) place(p *container.Place) (us int64, exact bool) {
	switch {
	case p.WallUs != 0 && t.clock.known:
		return p.WallUs + t.clock.offset, true
	case t.ticks.known:
		return t.tickTime(p) + t.ticks.offset, true
	}
	return p.Arrived.UnixMicro(), false
}

// writeTo writes a frame to a file. us is where it belongs on this machine's clock: pictures do where that is exact, sound goes by its
// timestamps, so that one packet follows the other. Before sound that does not follow what came before it puts silence. It reports false
// where the frame has no place any more.
func (t *track) writeTo(s *segment, l *laneState, f *container.Frame, timestamp, us int64, exact bool) (bool, error) {
	where := time.Duration(us-s.origin) * time.Microsecond
	f.Time = l.line.Time(where, timestamp, t.in.Track.ClockRate, exact)
	if t.video {
		if exact {
			f.Time = max(0, where)
		}
		if !l.keyed && !f.Key {
			return false, nil
		}
		if l.keyed && f.Time <= l.at {
			f.Time = l.at + time.Millisecond
		}
		if err := s.write(f, f.Time); err != nil {
			return false, err
		}
		l.keyed, l.at = true, f.Time
		return true, nil
	}
	d := codec.OpusDuration(f.Data)
	if d == 0 || l.keyed && f.Time < l.end-d/2 {
		return false, nil
	}
	if l.keyed && f.Time < l.end {
		f.Time = l.end
	}
	if l.keyed && f.Time-l.end >= fillFrom && f.Time-l.end <= maxHole {
		if err := t.silence(s, l, f.Track, f.Time); err != nil {
			return false, err
		}
	}
	if err := s.write(f, f.Time+d); err != nil {
		return false, err
	}
	l.keyed, l.end, l.last = true, f.Time+d, append(l.last[:0], f.Data[0])
	return true, nil
}

// silence writes what asks a decoder for concealment, up to a time.
func (t *track) silence(s *segment, l *laneState, number int, until time.Duration) error {
	if s.ogg != nil {
		if err := s.ogg.Fill(until); err != nil {
			return err
		}
		l.end, s.last = max(l.end, until), max(s.last, until)
		return nil
	}
	for {
		packet, d := container.Concealment(l.last, until-l.end)
		if d == 0 {
			return nil
		}
		if err := s.write(&container.Frame{Track: number, Time: l.end, Data: packet, Key: true}, l.end+d); err != nil {
			return err
		}
		l.end += d
	}
}
