package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/container"
	"github.com/castd/castd/engine/wire"
)

// timed is a frame with its place in what is sent, where a file that is sent again goes on. A frame that is nil carries the
// reader's last word.
type timed struct {
	frame *container.Frame
	at    time.Duration
	err   error // nil at a clean end
}

// read reads ahead in a goroutine of its own, so that input that stalls does not hold up an end. The channel holds 32 frames;
// the reader waits while it is full. After the last word, or when ctx has ended, the goroutine is gone.
func (s *fileSender) read(ctx context.Context, file container.Demuxer, o *PublishOptions) <-chan timed {
	frames := make(chan timed, readAhead)
	hand := func(t timed) bool {
		select {
		case frames <- t:
			return true
		case <-ctx.Done():
			return false
		}
	}
	go func() {
		var offset time.Duration
		for {
			end, err := s.round(file, offset, hand)
			if err == nil && o.Again != nil && end > offset && ctx.Err() == nil {
				offset = end
				if file, err = s.reopen(o); err == nil {
					continue
				}
			}
			if err != nil {
				err = mediaError(o.Source, err)
			}
			hand(timed{err: err})
			return
		}
	}()
	return frames
}

// round hands on the frames of the chosen tracks of one reading, and returns where it ends.
func (s *fileSender) round(file container.Demuxer, offset time.Duration, hand func(timed) bool) (end time.Duration, err error) {
	var first time.Duration
	begun := false
	for end = offset; ; {
		f, err := file.Next()
		if errors.Is(err, io.EOF) {
			return end, nil
		}
		if err != nil {
			return end, err
		}
		t := s.tracks[f.Track]
		if t == nil {
			continue
		}
		if !begun {
			first, begun = f.Time, true
		}
		at := offset + f.Time - first
		length := f.Duration
		if t.codec == codec.Opus {
			length = codec.OpusDuration(f.Data)
		}
		end = max(end, at+length)
		if !hand(timed{frame: f, at: at}) {
			return end, nil
		}
	}
}

// reopen opens the file again; its tracks must still be the same.
func (s *fileSender) reopen(o *PublishOptions) (container.Demuxer, error) {
	r, err := o.Again()
	if err != nil {
		return nil, err
	}
	file, err := container.Open(r)
	if err != nil {
		return nil, err
	}
	chosen := chooseTracks(file.Tracks())
	for _, t := range chosen {
		if old := s.tracks[t.ID]; old == nil || old.codec != t.Codec {
			return nil, fmt.Errorf("the file's tracks changed while it was sent")
		}
	}
	if len(chosen) != len(s.tracks) {
		return nil, fmt.Errorf("the file's tracks changed while it was sent")
	}
	return file, nil
}

// send paces frames until the last word, which it returns.
func (s *fileSender) send(ctx context.Context, frames <-chan timed) error {
	s.start = time.Now()
	for {
		var t timed
		select {
		case t = <-frames:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.pub.Done():
			return s.wait(ctx, 0)
		}
		if t.frame == nil {
			return t.err
		}
		if err := s.frame(ctx, &t); err != nil {
			return err
		}
	}
}

// frame sends a frame when it is due.
func (s *fileSender) frame(ctx context.Context, t *timed) error {
	due := s.start.Add(t.at)
	if early := time.Until(due); early > 0 {
		if err := s.wait(ctx, early); err != nil {
			return err
		}
	} else if late := -early; late > lateBy {
		s.start = s.start.Add(late)
		due = due.Add(late)
		for _, track := range s.tracks {
			track.nextClock = t.at
		}
	}
	track := s.tracks[t.frame.Track]
	payloads, err := track.packets.Packetize(t.frame.Data, t.frame.Discardable)
	timestamp, ok := track.timestamp(t.at, t.frame.Data)
	if err != nil || !ok {
		return nil // a frame that no decoder would take; the file as such is sound
	}
	for i, p := range payloads {
		if i > 0 && i%frameBurst == 0 {
			if err := s.wait(ctx, time.Millisecond); err != nil {
				return err
			}
		}
		packet := engine.MediaPacket{
			Sequence:  track.sequence,
			Timestamp: timestamp,
			Marker:    p.Marker,
			Payload:   p.Data,
			Level:     wire.LevelUnknown,
		}
		track.sequence++
		if err := s.pub.Write(track.label, &packet); err != nil {
			return fmt.Errorf("send packet: %w", err)
		}
		if t.at >= track.nextClock {
			// Not before there is a packet: it is what ties the source's timestamps to the stream's.
			s.pub.Clock(track.label, timestamp, due.UnixMicro())
			track.nextClock = t.at + clockEvery
		}
		s.done.Packets++
		s.done.Bytes += uint64(len(p.Data))
	}
	s.done.Sent = max(s.done.Sent, t.at)
	return nil
}
