package node

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/container"
	"github.com/castd/castd/engine/wire"
)

const (
	// waitForPackets is how long a file that begins waits for announced streams of which nothing has come.
	waitForPackets = time.Second
	// waitForClock is how long it waits for the origin's clock of each track.
	waitForClock = 1500 * time.Millisecond
	// waitForKey is how long it waits for the first key frame of video that does come.
	waitForKey = 5 * time.Second
	// askForKey is when it asks for one.
	askForKey = 500 * time.Millisecond
	askAgain  = 3 * time.Second
	// earlyFrames bounds the frames that are kept until a file begins. The oldest is dropped first.
	earlyFrames = 2048
)

// recorder makes a file of packets. It knows the time only from its caller, and belongs to one goroutine.
//
// It follows one slot. Until all streams of that slot have shown what a file's header needs, frames are kept; then the file
// is begun. The place of a frame is the origin's wall clock where that is known for all tracks, which keeps audio and video
// together, else the time of its arrival. Between packets a track goes by its RTP timestamps alone.
type recorder struct {
	format  Format
	out     *recordOutput
	newest  func() []*engine.StreamState // the room's streams
	refresh func(wire.StreamID)          // asks for a key frame

	since  time.Time                             // streams that ended before are of the past
	live   map[wire.StreamID]*engine.StreamState // newest state of all streams that are live
	gone   map[wire.StreamID]*engine.StreamState // of those that have ended since; what is kept of them may still come
	tracks []*inTrack
	byID   map[wire.StreamID]*inTrack
	began  time.Time // when the first packet came
	ended  time.Time // when all that was followed was said to have ended; zero while it goes on
	early  []earlyFrame
	asked  time.Time // when a key frame was

	file   fileWriter // nil until it begins
	origin int64      // place of the file's beginning, in microseconds
	byWall bool       // places are the origin's wall clock

	packets, frames, lost uint64
}

// fileWriter writes frames to a container.
type fileWriter interface {
	write(f *container.Frame) error
	close() error
}

type earlyFrame struct {
	track *inTrack
	frame container.Frame
	place container.Place
}

func newRecorder(out *recordOutput, format Format, newest func() []*engine.StreamState) (*recorder, error) {
	switch format {
	case FormatOgg, FormatWebM, FormatMatroska, FormatIVF, FormatNone:
	default:
		return nil, engine.NewUserError(engine.CodeBadMedia, fmt.Sprintf("%q is not a format to record in: use ogg, webm, mkv or ivf", format))
	}
	return &recorder{
		format: format,
		out:    out,
		newest: newest,
		live:   make(map[wire.StreamID]*engine.StreamState),
		gone:   make(map[wire.StreamID]*engine.StreamState),
		byID:   make(map[wire.StreamID]*inTrack),
	}, nil
}

// streams takes the room's streams as they are now.
func (r *recorder) streams(all []*engine.StreamState, now time.Time) {
	clear(r.live)
	clear(r.gone)
	going, over := false, false
	for _, s := range all {
		switch {
		case s.Live:
			r.live[s.ID] = s
			going = going || len(r.tracks) == 0 && r.wanted(s)
		case !s.EndedAt.Before(r.since):
			r.gone[s.ID] = s
			over = over || r.wanted(s)
		}
	}
	for _, t := range r.tracks {
		going = going || r.live[t.state.ID] != nil
		over = true
	}
	switch {
	case going || !over:
		r.ended = time.Time{}
	case r.ended.IsZero():
		r.ended = now
	}
}

// over reports whether all that was followed has ended.
func (r *recorder) over(now time.Time) bool {
	return !r.ended.IsZero() && now.Sub(r.ended) >= endGrace
}

// wanted reports whether the format has a place for a stream.
func (r *recorder) wanted(s *engine.StreamState) bool {
	switch s.Kind {
	case wire.KindAudio:
		return r.format != FormatIVF && (s.Codec == codec.Opus || s.Codec == codec.RED)
	case wire.KindVideo:
		return r.format != FormatOgg
	case wire.KindRecord:
	}
	return false
}

// packet takes a packet of any stream.
func (r *recorder) packet(p *recordPacket) error {
	if r.live[p.stream.ID] == nil && r.gone[p.stream.ID] == nil && r.byID[p.stream.ID] == nil {
		r.streams(r.newest(), p.came) // packets may be faster than the news of their stream
	}
	if len(r.tracks) == 0 {
		if err := r.follow(p.came); err != nil {
			return err
		}
	}
	t := r.byID[p.stream.ID]
	if t == nil {
		if t = r.takeOver(p.stream); t == nil {
			return nil
		}
	}
	r.packets++
	f, at, missing, ok := t.Push(&p.Packet)
	r.lost += missing
	if !ok || r.format == FormatNone {
		return nil
	}
	r.frames++
	if r.file == nil {
		f.Data = append([]byte(nil), f.Data...)
		if len(r.early) == earlyFrames {
			r.early = r.early[1:]
		}
		r.early = append(r.early, earlyFrame{t, f, at})
		return r.begin(p.came)
	}
	r.write(t, &f, at)
	return nil
}

// follow chooses the slot that has been live longest, and makes tracks of its streams. Where none is live, that is one that ended
// while this peer joined.
func (r *recorder) follow(now time.Time) error {
	from := r.live
	best := r.eldest(from)
	if best == nil {
		from = r.gone
		best = r.eldest(from)
	}
	if best == nil {
		return nil
	}
	taken := make(map[wire.Kind]bool)
	for _, s := range slices.SortedFunc(maps.Values(from), older) {
		if s.Device != best.Device || s.Slot != best.Slot || !r.wanted(s) || taken[s.Kind] {
			continue
		}
		taken[s.Kind] = true
		if (r.format == FormatWebM || r.format == FormatIVF) && s.Codec == codec.H264 {
			return engine.NewUserError(engine.CodeBadMedia, fmt.Sprintf("the room sends H264, which %s cannot hold: write to a file ending in .mkv", r.format))
		}
		t, err := newInTrack(len(r.tracks)+1, s)
		if err != nil {
			return err
		}
		r.tracks = append(r.tracks, t)
		r.byID[s.ID] = t
	}
	r.began = now
	return nil
}

// older orders streams by when they became live, then by id, so that all peers choose alike.
func older(a, b *engine.StreamState) int {
	return cmp.Or(cmp.Compare(a.StartedMs, b.StartedMs), cmp.Compare(a.ID, b.ID))
}

// eldest returns the oldest of the streams that the format has a place for.
func (r *recorder) eldest(from map[wire.StreamID]*engine.StreamState) (best *engine.StreamState) {
	for _, s := range from {
		if r.wanted(s) && (best == nil || older(s, best) < 0) {
			best = s
		}
	}
	return best
}

// takeOver lets a stream go on with the track of one that has ended, if that fits.
func (r *recorder) takeOver(s *engine.StreamState) *inTrack {
	for _, t := range r.tracks {
		if t.state.Kind == s.Kind && t.state.Codec == s.Codec && r.live[t.state.ID] == nil && r.live[s.ID] != nil {
			delete(r.byID, t.state.ID)
			t.change(s)
			r.byID[s.ID] = t
			r.ended = time.Time{}
			return t
		}
	}
	return nil
}

// tick looks whether a file that waits should begin, and asks for the key frames that it waits for.
func (r *recorder) tick(now time.Time) error {
	if r.file != nil || r.format == FormatNone {
		return nil
	}
	for _, t := range r.tracks {
		if t.Begun && !t.Ready && now.Sub(r.began) >= askForKey && now.Sub(r.asked) >= askAgain {
			r.asked = now
			r.refresh(t.state.ID)
		}
	}
	if len(r.early) == 0 {
		return nil
	}
	return r.begin(now)
}

// begin begins the file if all its tracks are known, or if it has waited long enough.
func (r *recorder) begin(now time.Time) error {
	waited := now.Sub(r.began)
	var tracks []container.Track
	for _, t := range r.tracks {
		switch {
		case t.Ready && (t.Clock.WallUs != 0 || waited >= waitForClock):
			tracks = append(tracks, t.Track)
		case t.Ready:
			return nil
		case !t.Begun && waited < waitForPackets, t.Begun && waited < waitForKey:
			return nil
		}
	}
	if len(tracks) == 0 {
		return nil // of what comes nothing can be written yet
	}
	file, err := r.open(tracks)
	if err != nil {
		if r.out.told {
			return nil // the disk: again with the next frame
		}
		return err
	}
	r.file = file
	early := r.early
	r.early = nil
	r.byWall = !slices.ContainsFunc(r.tracks, func(t *inTrack) bool { return t.Ready && t.Clock.WallUs == 0 })
	for i := range early {
		early[i].track.Clock.Put(&early[i].place, early[i].track.state.ClockRate)
	}
	slices.SortStableFunc(early, func(a, b earlyFrame) int { return cmp.Compare(r.us(a.place), r.us(b.place)) })
	r.origin = r.us(early[0].place)
	for i := range early {
		r.write(early[i].track, &early[i].frame, early[i].place)
	}
	return nil
}

func (r *recorder) open(tracks []container.Track) (fileWriter, error) {
	if r.format == FormatOgg {
		w, err := container.NewOggWriter(r.out, int(tracks[0].Channels), tracks[0].PreSkip, rand.Uint32())
		if err != nil {
			return nil, fmt.Errorf("begin recording: %w", err)
		}
		return &oggFile{w}, nil
	}
	if r.format == FormatIVF {
		w, err := container.NewIVFWriter(r.out, tracks[0])
		if err != nil {
			return nil, fmt.Errorf("begin recording: %w", err)
		}
		return &ivfFile{w}, nil
	}
	w, err := container.NewMatroskaWriter(r.out, r.format == FormatWebM, tracks)
	if err != nil {
		return nil, fmt.Errorf("begin recording: %w", err)
	}
	return &matroskaFile{w}, nil
}

// us returns a place in microseconds of the clock that the file goes by.
func (r *recorder) us(p container.Place) int64 {
	if r.byWall && p.WallUs != 0 {
		return p.WallUs
	}
	return p.Arrived.UnixMicro()
}

// write gives a frame its time. Errors of the disk have been told by then, and the file goes on when there is room again.
func (r *recorder) write(t *inTrack, f *container.Frame, at container.Place) {
	f.Time = t.Time(time.Duration(r.us(at)-r.origin)*time.Microsecond, at.Timestamp, r.byWall && at.WallUs != 0)
	if err := r.file.write(f); err != nil {
		r.lost++
	}
}

func (r *recorder) close() error {
	if r.file == nil && len(r.early) > 0 {
		if err := r.begin(r.began.Add(waitForKey)); err != nil {
			return err
		}
	}
	if r.file == nil {
		return nil
	}
	if err := r.file.close(); err != nil && !r.out.told {
		return err
	}
	return nil
}
