package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/container"
	"github.com/castd/castd/engine/wire"
)

// Format says how Record writes.
type Format string

// Formats of recordings.
const (
	FormatOgg      Format = "ogg"  // Opus in Ogg: audio only
	FormatWebM     Format = "webm" // audio and video; no H264
	FormatMatroska Format = "mkv"  // audio and video
	FormatIVF      Format = "ivf"  // VP8, VP9 or AV1: video only
	FormatNone     Format = "none" // listens, and writes nothing
)

const (
	// recordQueue bounds the packets that wait for the disk: about 8 s of 4 Mbit/s. What does not fit is dropped and counted,
	// and is a hole like any other loss.
	recordQueue = 4096
	// recordTick is how often the recorder looks at the time.
	recordTick = 100 * time.Millisecond
	// syncEvery is how often a file is made safe from the end of the machine.
	syncEvery = time.Second
	// endGrace is how long packets may still come after their stream was said to have ended.
	endGrace = 500 * time.Millisecond
)

// RecordOptions say what Record writes, and until when.
type RecordOptions struct {
	Format Format
	// For ends the recording after this time; 0 does not.
	For time.Duration
	// UntilEnd ends it when what it followed has ended.
	UntilEnd bool
	// Since is from when on streams are followed: one that ended before is of the past. Who joins a room first gives the moment at which
	// he began, because what is live then may end while he joins. Zero means the time of the call.
	Since time.Time
	// Joined is called when nothing that comes from then on is missed; nil for nobody.
	Joined func()
	// Failed is told of the first write that fails; nil for nobody. The recording goes on: there may be room again.
	Failed func(error)
	// Log gets a summary; nil discards it.
	Log *slog.Logger
}

// Record joins the room's audience and writes what comes to w: the slot of the stage that has been live longest, and when that
// ends the next one. A file's tracks are fixed when it begins, by what the first slot announced. Every write is whole: whenever
// the process ends, what was written is a playable file. If w can Sync, that is called once a second.
//
// Everybody in the room is told that this peer records, for as long as it does; not so with FormatNone, which keeps nothing.
//
// It returns nil when ctx ends, when the options say so, and an error when the room cannot be recorded.
func Record(ctx context.Context, m engine.Media, w io.Writer, o RecordOptions) error {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	out := &recordOutput{w: w, failed: o.Failed}
	in := newRecordSink(recordQueue)
	rec, err := newRecorder(out, o.Format, in.streams)
	if err != nil {
		return err
	}
	if rec.since = o.Since; rec.since.IsZero() {
		rec.since = time.Now()
	}
	sub, err := m.Subscribe(in, engine.SinkOptions{Backlog: o.Format != FormatNone})
	if err != nil {
		return fmt.Errorf("listen to room: %w", err)
	}
	defer sub.Close()
	rec.refresh = sub.Refresh
	if recorder, ok := m.(engine.Recorder); ok && o.Format != FormatNone {
		if err := recorder.Recording(ctx, true); err != nil {
			return fmt.Errorf("tell the room of the recording: %w", err)
		}
		defer func() { _ = recorder.Recording(context.WithoutCancel(ctx), false) }() // a room that has ended needs no word
	}
	if o.Joined != nil {
		o.Joined()
	}

	err = record(ctx, in, rec, out, &o)
	out.waitSync()
	o.Log.Info("recording ended", "format", o.Format, "packets", rec.packets, "frames", rec.frames, "lost", rec.lost,
		"dropped", in.dropped.Load())
	return err
}

// record runs the recorder until it is to end.
func record(ctx context.Context, in *recordSink, rec *recorder, out *recordOutput, o *RecordOptions) error {
	var limit <-chan time.Time
	if o.For > 0 {
		t := time.NewTimer(o.For)
		defer t.Stop()
		limit = t.C
	}
	ticker := time.NewTicker(recordTick)
	defer ticker.Stop()
	for {
		var err error
		select {
		case p := <-in.packets:
			err = rec.packet(&p)
		case <-in.changed:
			err = catchUp(in, rec) // what was sent before the change comes first
			rec.streams(in.streams(), time.Now())
		case now := <-ticker.C:
			if err = rec.tick(now); err == nil && o.UntilEnd && rec.over(now) {
				return rec.close()
			}
			out.sync(now)
		case <-limit:
			return finish(in, rec)
		case <-ctx.Done():
			return finish(in, rec)
		}
		if err != nil {
			_ = rec.close() // err is the one to tell
			return err
		}
	}
}

// catchUp takes what waits.
func catchUp(in *recordSink, rec *recorder) error {
	for n := len(in.packets); n > 0; n-- {
		p := <-in.packets
		if err := rec.packet(&p); err != nil {
			return err
		}
	}
	return nil
}

func finish(in *recordSink, rec *recorder) error {
	return errors.Join(catchUp(in, rec), rec.close())
}

// recordPacket is a packet on its way from the room to the recorder.
type recordPacket struct {
	container.Packet
	stream *engine.StreamState
	came   time.Time
}

// recordSink takes packets from the room's goroutine. It never blocks.
type recordSink struct {
	packets chan recordPacket // 4096; a packet that does not fit is dropped
	changed chan struct{}     // 1: states has changed
	states  atomic.Pointer[[]*engine.StreamState]
	dropped atomic.Uint64
}

var _ engine.Sink = (*recordSink)(nil)

func newRecordSink(queue int) *recordSink {
	s := &recordSink{packets: make(chan recordPacket, queue), changed: make(chan struct{}, 1)}
	s.states.Store(new([]*engine.StreamState))
	return s
}

func (s *recordSink) streams() []*engine.StreamState { return *s.states.Load() }

// Streams implements engine.Sink.
func (s *recordSink) Streams(all []*engine.StreamState) {
	s.states.Store(&all)
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// WritePacket implements engine.Sink.
func (s *recordSink) WritePacket(p *engine.Packet) {
	if p.Header.Kind == wire.KindRecord {
		return
	}
	now := time.Now()
	r := recordPacket{
		Packet: container.Packet{
			Number:    p.Header.Number,
			Timestamp: p.Header.Timestamp,
			Marker:    p.Header.Marker,
			WallUs:    p.WallUs,
			Arrived:   now,
			Payload:   append([]byte(nil), p.Payload...),
		},
		stream: p.Stream,
		came:   now,
	}
	if p.Backlog && p.Stream.ClockRate > 0 {
		behind := int64(int32(p.LiveTimestamp - p.Header.Timestamp))
		r.Arrived = r.Arrived.Add(-time.Duration(behind * int64(time.Second) / int64(p.Stream.ClockRate)))
	}
	select {
	case s.packets <- r:
	default:
		s.dropped.Add(1)
	}
}
