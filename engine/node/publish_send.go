package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/container"
	"github.com/castd/castd/engine/wire"
)

// timed is a frame with its place in what is sent, where a file that follows another goes on. A frame that is nil carries the
// reader's last word.
type timed struct {
	frame   *container.Frame
	track   *outTrack
	packets *codec.Packetizer // from this frame on; nil: as before
	at      time.Duration
	err     error // nil at a clean end
}

// maxBad bounds how many files that cannot be sent are passed over, one after the other.
const maxBad = 1000

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
	round := &fileRound{file: file, tracks: s.tracks}
	go func() { hand(timed{err: s.readAll(ctx, round, o, hand)}) }()
	return frames
}

// readAll hands on the frames of a file and of all that follow it, and returns the error that ended that; nil at a clean end.
func (s *fileSender) readAll(ctx context.Context, round *fileRound, o *PublishOptions, hand func(timed) bool) error {
	var offset time.Duration
	for bad := 0; ; {
		var err error
		end := offset
		if round != nil {
			end, err = round.read(offset, hand)
		}
		if ctx.Err() != nil {
			return nil
		}
		if bad++; end > offset {
			bad = 0
		}
		switch {
		case err != nil:
			if err = mediaError(o.Source, err); o.Next == nil || o.Skip == nil || !o.Skip(err) || bad > maxBad {
				return err
			}
		case o.Next == nil:
			return nil
		case bad > 0 && round != nil && o.Skip == nil:
			return nil // a file without frames, again and again, would keep this busy for nothing
		}
		offset = end
		next, err := o.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return mediaError(o.Source, err)
		}
		if round, err = s.following(next); err != nil {
			if err = mediaError(o.Source, err); o.Skip == nil || !o.Skip(err) || bad > maxBad {
				return err
			}
			round = nil
		}
	}
}

// fileRound is one file of those that are sent from a slot. It belongs to the reader's goroutine.
type fileRound struct {
	file    container.Demuxer
	tracks  map[int]*outTrack         // by container.Track.ID
	packets map[int]*codec.Packetizer // of tracks whose decoder configuration differs from the file's before; used up by its first frame
}

// read hands on the frames of the chosen tracks, and returns where the file ends.
func (f *fileRound) read(offset time.Duration, hand func(timed) bool) (end time.Duration, err error) {
	var first time.Duration
	begun := false
	latest := make(map[int]time.Duration)
	for end = offset; ; {
		frame, err := f.file.Next()
		if errors.Is(err, io.EOF) {
			return end, nil
		}
		if err != nil {
			return end, err
		}
		t := f.tracks[frame.Track]
		if t == nil {
			continue
		}
		if before, ok := latest[frame.Track]; ok && t.codec == codec.H264 && frame.Time < before {
			return end, reordered(f.file.Tracks(), frame.Track)
		}
		latest[frame.Track] = frame.Time
		if !begun {
			first, begun = frame.Time, true
		}
		at := offset + frame.Time - first
		length := frame.Duration
		if t.codec == codec.Opus {
			length = codec.OpusDuration(frame.Data)
		}
		end = max(end, at+length)
		if !hand(timed{frame: frame, track: t, packets: f.packets[frame.Track], at: at}) {
			return end, nil
		}
		delete(f.packets, frame.Track)
	}
}

// reordered says that a track turned out to have B-frames.
func reordered(tracks []container.Track, id int) error {
	tracks = slices.Clone(tracks)
	for i := range tracks {
		if tracks[i].ID == id {
			tracks[i].Reordered = true
		}
	}
	return &UnplayableError{Tracks: tracks}
}

// following opens a file that goes on where another ended: it must have the same kinds of tracks, in the same codecs.
func (s *fileSender) following(r io.Reader) (*fileRound, error) {
	file, err := container.Open(r)
	if err != nil {
		return nil, err
	}
	chosen, err := chooseTracks(file.Tracks())
	if err != nil {
		return nil, err
	}
	next := &fileRound{file: file, tracks: make(map[int]*outTrack), packets: make(map[int]*codec.Packetizer)}
	for _, t := range chosen {
		for _, out := range s.tracks {
			if out.kind == t.Kind && out.codec == t.Codec {
				next.tracks[t.ID] = out
			}
		}
		out := next.tracks[t.ID]
		if out == nil {
			break
		}
		if (t.Codec == codec.H264 || t.Codec == codec.AV1) && !bytes.Equal(t.Private, out.private) {
			if next.packets[t.ID], err = codec.NewPacketizer(t.Codec, 0, t.Private); err != nil {
				return nil, err
			}
			out.private = t.Private
		}
	}
	if len(next.tracks) != len(chosen) || len(chosen) != len(s.tracks) {
		return nil, fmt.Errorf("a file that follows another must have the same kinds of tracks in the same codecs: this one holds %s", container.Contents(file.Tracks()))
	}
	return next, nil
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
	track := t.track
	if t.packets != nil {
		track.packets = t.packets
	}
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
	if now := time.Now(); now.Sub(s.reported) >= reportEvery {
		s.report(StateSending)
	}
	return nil
}
