package node

import (
	"fmt"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/container"
	"github.com/castd/castd/engine/wire"
)

// driftLimit is how far a track's timestamps may be from the origin's wall clock before the file follows the latter.
const driftLimit = 40 * time.Millisecond

// place says where a frame belongs.
type place struct {
	timestamp int64 // RTP timestamp of the track, without wraps
	wallUs    int64 // origin's wall clock; 0 unknown
	arrived   time.Time
}

// put gives a place of the same track, from before the origin's clock was known, its wall clock.
func (p *place) put(q *place, rate uint32) {
	if p.wallUs != 0 && q.wallUs == 0 {
		q.wallUs = p.wallUs + clockTime(q.timestamp-p.timestamp, rate).Microseconds()
	}
}

// inTrack is a track of a recording and the stream that it follows.
type inTrack struct {
	header container.Track
	state  *engine.StreamState
	ready  bool // header is complete
	begun  bool // a packet has come

	frames    *codec.Depacketizer
	number    uint64 // of the newest packet
	timestamp int64  // of it, without wraps
	frameAt   place  // of the frame that is being put together
	clock     place  // of the first packet with the origin's clock

	placed   bool // base is set
	base     time.Duration
	baseTick int64
}

func newInTrack(id int, s *engine.StreamState) (*inTrack, error) {
	d, err := codec.NewDepacketizer(s.Codec)
	if err != nil {
		return nil, engine.NewUserError(engine.CodeBadMedia, fmt.Sprintf("the room sends %s, which castd cannot write to a file", s.Codec))
	}
	t := &inTrack{state: s, frames: d}
	t.header = container.Track{ID: id, Kind: s.Kind, Codec: s.Codec, ClockRate: s.ClockRate}
	if s.Kind == wire.KindAudio {
		t.header.Codec = codec.Opus // of RED its primary block is kept
		t.header.Channels = 2
		if s.Channels == 1 {
			t.header.Channels = 1
		}
		t.header.PreSkip = opusPreSkip
	}
	return t, nil
}

// change lets the track go on with another stream.
func (t *inTrack) change(s *engine.StreamState) {
	if d, err := codec.NewDepacketizer(s.Codec); err == nil {
		t.frames = d
	}
	t.state, t.begun, t.placed = s, false, false
}

// push takes the stream's next packet, and returns the frame that it completes, valid until the next call, and how many packets
// are missing before it.
func (t *inTrack) push(p *recordPacket) (f container.Frame, at place, missing uint64, ok bool) {
	hole := false
	switch {
	case !t.begun:
		t.begun, t.timestamp = true, int64(p.timestamp)
	case p.number <= t.number:
		return f, at, 0, false // again, from a refreshed backlog
	default:
		missing = p.number - t.number - 1
		hole = missing > 0
		t.timestamp += int64(int32(p.timestamp - uint32(t.timestamp)))
	}
	t.number = p.number
	now := place{timestamp: t.timestamp, wallUs: p.wallUs, arrived: p.placed}
	if t.clock.wallUs == 0 {
		t.clock = now
	}
	if now.timestamp != t.frameAt.timestamp || t.frameAt.arrived.IsZero() {
		t.frameAt = now
	}
	data, key, ok := t.frames.Push(p.payload, p.timestamp, p.marker, hole)
	if !ok {
		return f, at, missing, false
	}
	if !t.ready {
		t.describe(data, key)
	}
	return container.Frame{Track: t.header.ID, Data: data, Key: key}, t.frameAt, missing, t.ready
}

// describe completes the header by a first frame.
func (t *inTrack) describe(data []byte, key bool) {
	if t.state.Kind == wire.KindAudio {
		t.ready = true
		return
	}
	width, height, ok := codec.Dimensions(t.state.Codec, data)
	if !key || !ok {
		return
	}
	private := codec.DecoderConfig(t.state.Codec, data)
	if private == nil && t.state.Codec == codec.H264 {
		return // no decoder could begin without
	}
	t.header.Width, t.header.Height, t.header.Private, t.ready = width, height, append([]byte(nil), private...), true
}

// time returns a frame's time in the file. placeUs is where it belongs, in microseconds from the file's beginning; exact says
// that this is by the origin's clock, and not by arrivals, which jitter.
func (t *inTrack) time(placeUs, timestamp int64, exact bool) time.Duration {
	where := max(0, time.Duration(placeUs)*time.Microsecond)
	if !t.placed {
		t.placed, t.base, t.baseTick = true, where, timestamp
	}
	at := t.base + clockTime(timestamp-t.baseTick, t.state.ClockRate)
	if off := where - at; exact && (off > driftLimit || off < -driftLimit) {
		t.base, t.baseTick, at = where, timestamp, where
	}
	return max(0, at)
}

// clockTime converts units of a clock to a duration; ticks is the reverse.
func clockTime(ticks int64, rate uint32) time.Duration {
	r := int64(max(1, rate))
	return time.Duration(ticks/r)*time.Second + time.Duration(ticks%r)*time.Second/time.Duration(r)
}

// oggFile writes the audio track of a recording.
type oggFile struct{ w *container.OggWriter }

func (o *oggFile) write(f *container.Frame) error { return o.w.WritePacket(f.Data, f.Time) }
func (o *oggFile) close() error                   { return o.w.Close() }

// matroskaFile writes all tracks of a recording.
type matroskaFile struct{ w *container.MatroskaWriter }

func (m *matroskaFile) write(f *container.Frame) error { return m.w.WriteFrame(f) }
func (m *matroskaFile) close() error                   { return m.w.Close() }

// ivfFile writes the video track of a recording. It has nothing to close.
type ivfFile struct{ w *container.IVFWriter }

func (v *ivfFile) write(f *container.Frame) error { return v.w.WriteFrame(f) }
func (v *ivfFile) close() error                   { return nil }
