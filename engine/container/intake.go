package container

import (
	"bytes"
	"fmt"
	"time"

	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/wire"
)

const (
	// driftLimit is how far a track's timestamps may be from its source's wall clock before a file follows the latter.
	driftLimit = 20 * time.Millisecond
	// opusPreSkip is libopus's look-ahead in samples of 48 kHz, which nearly every sender has.
	opusPreSkip = 312
)

// Source is a stream of RTP packets that a track is made of.
type Source struct {
	Codec     string // "opus", "red", "vp8", "vp9", "h264", "av1"
	ClockRate uint32 // Hz
	Channels  uint32
}

// Video reports whether it is one of pictures.
func (s Source) Video() bool { return s.Codec != codec.Opus && s.Codec != codec.RED }

// Packet is an RTP packet of a Source, on its way to a file.
type Packet struct {
	Number    uint64 // in the stream, without wraps: what is missing leaves a hole
	Timestamp uint32
	Marker    bool
	WallUs    int64     // the source's wall clock at Timestamp, in microseconds since 1970; 0 unknown
	Arrived   time.Time // when the packet came, or would have come if it had come live
	Payload   []byte
}

// Place says where a frame belongs.
type Place struct {
	Timestamp int64 // RTP timestamp of the track, without wraps
	WallUs    int64 // the source's wall clock; 0 unknown
	Arrived   time.Time
}

// Put gives a place of the same track, from before the source's clock was known, its wall clock. rate is the track's, in Hz.
func (p *Place) Put(q *Place, rate uint32) {
	if p.WallUs != 0 && q.WallUs == 0 {
		q.WallUs = p.WallUs + ClockTime(q.Timestamp-p.Timestamp, rate).Microseconds()
	}
}

// Intake makes frames of the packets of a Source, and says when each belongs into a file. It knows the time only from its caller, and
// belongs to one goroutine.
type Intake struct {
	// Track is a file's header of it, complete once Ready. It follows what key frames say.
	Track Track
	Ready bool
	Begun bool  // a packet has come
	Clock Place // of the first packet with the source's clock

	source    Source
	frames    *codec.Depacketizer
	number    uint64 // of the newest packet
	timestamp int64  // of it, without wraps
	frameAt   Place  // of the frame that is being put together
	line      Timeline
}

// Timeline gives the frames of a track their times in a file. They go by timestamps, and by the source's clock where these have drifted
// away from it. The zero value begins with the first frame.
type Timeline struct {
	placed   bool // base is set
	base     time.Duration
	baseTick int64
}

// NewIntake returns an Intake whose track has the number id. It fails for a codec that no file can hold.
func NewIntake(id int, s Source) (*Intake, error) {
	d, err := codec.NewDepacketizer(s.Codec)
	if err != nil {
		return nil, fmt.Errorf("container: %w", err)
	}
	t := &Intake{source: s, frames: d, Track: Track{ID: id, Kind: wire.KindVideo, Codec: s.Codec, ClockRate: s.ClockRate}}
	if !s.Video() {
		t.Track.Kind, t.Track.Codec = wire.KindAudio, codec.Opus // of RED its primary block is kept
		t.Track.Channels = 2
		if s.Channels == 1 {
			t.Track.Channels = 1
		}
		t.Track.PreSkip = opusPreSkip
	}
	return t, nil
}

// Change lets the track go on with another source, or with one whose numbers and timestamps begin anew.
func (t *Intake) Change(s Source) {
	if d, err := codec.NewDepacketizer(s.Codec); err == nil {
		t.frames = d
	}
	t.source, t.Begun, t.line = s, false, Timeline{}
}

// Push takes the source's next packet, and returns the frame that it completes, valid until the next call, where it belongs, and how
// many packets are missing before it. A number that is not above the last one's is taken for a repetition.
func (t *Intake) Push(p *Packet) (f Frame, at Place, missing uint64, ok bool) {
	hole := false
	switch {
	case !t.Begun:
		t.Begun, t.timestamp = true, int64(p.Timestamp)
	case p.Number <= t.number:
		return f, at, 0, false // again, from a refreshed backlog
	default:
		missing = p.Number - t.number - 1
		hole = missing > 0
		t.timestamp += int64(int32(p.Timestamp - uint32(t.timestamp)))
	}
	t.number = p.Number
	now := Place{Timestamp: t.timestamp, WallUs: p.WallUs, Arrived: p.Arrived}
	if t.Clock.WallUs == 0 {
		t.Clock = now
	}
	if now.Timestamp != t.frameAt.Timestamp || t.frameAt.Arrived.IsZero() {
		t.frameAt = now
	}
	data, key, ok := t.frames.Push(p.Payload, p.Timestamp, p.Marker, hole)
	if !ok {
		return f, at, missing, false
	}
	t.describe(data, key)
	return Frame{Track: t.Track.ID, Data: data, Key: key}, t.frameAt, missing, t.Ready
}

// describe completes the header by a first frame, and keeps it true by later ones.
func (t *Intake) describe(data []byte, key bool) {
	if !t.source.Video() {
		t.Ready = true
		return
	}
	if !key {
		return
	}
	width, height, ok := codec.Dimensions(t.source.Codec, data)
	if !ok {
		return
	}
	private := codec.DecoderConfig(t.source.Codec, data)
	if private == nil && t.source.Codec == codec.H264 {
		return // no decoder could begin without
	}
	t.Track.Width, t.Track.Height, t.Ready = width, height, true
	if !bytes.Equal(private, t.Track.Private) {
		t.Track.Private = bytes.Clone(private)
	}
}

// Time returns a frame's time in the one file that the track is written to: see Timeline.
func (t *Intake) Time(where time.Duration, timestamp int64, exact bool) time.Duration {
	return t.line.Time(where, timestamp, t.source.ClockRate, exact)
}

// Time returns a frame's time. where is where the frame belongs by the clock, from the file's beginning; exact says that this is the
// source's clock, and not arrivals, which jitter. timestamp is the frame's, without wraps, in units of rate Hz.
func (l *Timeline) Time(where time.Duration, timestamp int64, rate uint32, exact bool) time.Duration {
	where = max(0, where)
	if !l.placed {
		l.placed, l.base, l.baseTick = true, where, timestamp
	}
	at := l.base + ClockTime(timestamp-l.baseTick, rate)
	if off := where - at; exact && (off > driftLimit || off < -driftLimit) {
		l.base, l.baseTick, at = where, timestamp, where
	}
	return max(0, at)
}

// ClockTime converts units of a clock of rate Hz to a duration.
func ClockTime(ticks int64, rate uint32) time.Duration {
	r := int64(max(1, rate))
	return time.Duration(ticks/r)*time.Second + time.Duration(ticks%r)*time.Second/time.Duration(r)
}
