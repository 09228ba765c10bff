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

// How long a file's sending waits around its media.
const (
	waitForReceiver = 3 * time.Second // for somebody to send to, before the first packet
	pollReceivers   = 20 * time.Millisecond
	drainRepairs    = time.Second // after the last packet: receivers ask again for what they miss for less than that
	drainEnd        = 500 * time.Millisecond
	lateBy          = 500 * time.Millisecond // input later than this moves the rest of the file; it is not sent in a burst
	frameBurst      = 32                     // packets of a frame that are handed over at once, 1 ms apart
	readAhead       = 32                     // frames
	clockEvery      = time.Second
	reportEvery     = time.Second // while sending
)

// Labels of the streams of a slot that a file opens.
const (
	audioLabel = "audio"
	videoLabel = "video"
)

// States of Progress.
const (
	StateWaiting  = "waiting" // for a first receiver
	StateSending  = "sending"
	StateDraining = "draining" // all is sent, receivers may still ask for repairs
)

// Progress tells how far PublishFile has come.
type Progress struct {
	State     string        `json:"state"`           // StateWaiting, StateSending or StateDraining
	Sent      time.Duration `json:"sent"`            // of media
	Total     time.Duration `json:"total,omitempty"` // of the first file; 0 where that does not tell it
	Packets   uint64        `json:"packets"`
	Bytes     uint64        `json:"bytes"`     // of RTP payload
	Receivers int           `json:"receivers"` // peers and local sinks that are served
	Loss      float64       `json:"loss"`      // share of packets that the next peers did not get at first, as they last reported
}

// PublishOptions say what PublishFile does with a file. The zero value sends it once, from the slot "main".
type PublishOptions struct {
	// Source names the file in errors; "" leaves it out.
	Source string
	// Slot, Participant and Name are those of engine.SlotConfig.
	Slot, Participant, Name string
	// Next returns what goes on without a gap when a file has ended: the same again, or another with tracks of the same kinds in the
	// same codecs. io.EOF ends the sending; nil sends one file. It is called from another goroutine, never concurrently.
	Next func() (io.Reader, error)
	// Skip is told of a file that is cut, damaged or unfit, and says whether to go on with Next; nil ends the sending there. What
	// was good of that file has been handed on. It is called from the goroutine of Next.
	Skip func(error) bool
	// Progress is told of each new state, and about once a second while media are sent; nil for nobody.
	Progress func(Progress)
}

// PublishFile sends a media file from a slot of the room, in real time as its timestamps say: the first Opus track and the
// first video track in a codec that rooms carry. It waits up to 3 s until somebody receives, and stays for repairs when all is
// sent. A file that is cut or damaged is sent up to there; then the error, for people, tells file, place and reason.
//
// It returns when ctx ends, with its cause. A read of r that blocks then is left behind; closing r ends it.
func PublishFile(ctx context.Context, m engine.Media, r io.Reader, o PublishOptions) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	file, s, config, err := firstFile(r, &o)
	if err != nil {
		return err
	}
	pub, err := m.Publish(ctx, config)
	if err != nil {
		return err
	}
	s.pub = pub
	defer pub.End() // nobody comes back to this slot with the rest of the file
	if err := s.await(ctx); err != nil {
		return err
	}
	s.report(StateSending)
	sendErr := s.send(ctx, s.read(ctx, file, &o))
	if sendErr != nil && (ctx.Err() != nil || errors.Is(sendErr, errEnded)) {
		return sendErr
	}
	s.report(StateDraining)
	if err := s.drain(ctx); err != nil {
		return err
	}
	return sendErr
}

// firstFile opens the first file that can be sent.
func firstFile(r io.Reader, o *PublishOptions) (file container.Demuxer, s *fileSender, config engine.SlotConfig, err error) {
	for range maxBad {
		if file, err = container.Open(r); err == nil {
			if s, config, err = newFileSender(file.Tracks(), o); err == nil {
				return file, s, config, nil
			}
		}
		err = mediaError(o.Source, err)
		if o.Next == nil || o.Skip == nil || !o.Skip(err) {
			break
		}
		var end error
		if r, end = o.Next(); errors.Is(end, io.EOF) {
			break // err is why nothing was sent
		} else if end != nil {
			return nil, nil, config, mediaError(o.Source, end)
		}
	}
	return nil, nil, config, err
}

// errEnded says that the publication ended before the file did.
var errEnded = errors.New("the slot was closed")

// fileSender is one file on its way. It belongs to PublishFile's goroutine.
type fileSender struct {
	pub      engine.Publication
	tracks   map[int]*outTrack // by container.Track.ID
	progress func(Progress)
	start    time.Time // when media time zero is due
	done     Progress
	reported time.Time // when progress was told last
}

// outTrack is a track of the file that is sent.
type outTrack struct {
	label     string
	kind      wire.Kind
	codec     string
	private   []byte // decoder configuration of the file that is read; the reader's
	rate      uint32
	packets   *codec.Packetizer
	sequence  int64
	opus      opusClock
	nextClock time.Duration // media time of the next clock record
}

// newFileSender chooses tracks and describes the slot for them.
func newFileSender(tracks []container.Track, o *PublishOptions) (*fileSender, engine.SlotConfig, error) {
	s := &fileSender{tracks: make(map[int]*outTrack), progress: o.Progress}
	config := engine.SlotConfig{Slot: o.Slot, Participant: o.Participant, Name: o.Name}
	chosen, err := chooseTracks(tracks)
	if err != nil {
		return nil, config, mediaError(o.Source, err)
	}
	for _, t := range chosen {
		p, err := codec.NewPacketizer(t.Codec, 0, t.Private)
		if err != nil {
			return nil, config, mediaError(o.Source, err)
		}
		out := &outTrack{label: videoLabel, kind: t.Kind, codec: t.Codec, private: t.Private, rate: codec.VideoClock, packets: p}
		s.done.Total = max(s.done.Total, t.Duration)
		stream := engine.StreamConfig{Kind: t.Kind, Codec: t.Codec, Fmtp: formatParameters(&t)}
		if t.Kind == wire.KindAudio {
			out.label, out.rate, stream.Channels = audioLabel, codec.AudioClock, t.Channels
		}
		stream.Label, stream.ClockRate = out.label, out.rate
		s.tracks[t.ID] = out
		config.Streams = append(config.Streams, stream)
	}
	return s, config, nil
}

func (s *fileSender) report(state string) {
	s.done.State, s.reported = state, time.Now()
	if s.progress == nil {
		return
	}
	s.done.Receivers, s.done.Loss = s.pub.Receivers(), float64(s.pub.Feedback().Fraction)/256
	s.progress(s.done)
}

// await waits for a first receiver, but not for ever: who comes later hears the rest.
func (s *fileSender) await(ctx context.Context) error {
	if s.pub.Receivers() > 0 {
		return nil
	}
	s.report(StateWaiting)
	for limit := time.Now().Add(waitForReceiver); s.pub.Receivers() == 0 && time.Now().Before(limit); {
		if err := s.wait(ctx, pollReceivers); err != nil {
			return err
		}
	}
	return nil
}

// drain lets receivers ask for what they miss, ends the slot, and lets that arrive as well.
func (s *fileSender) drain(ctx context.Context) error {
	if s.pub.Receivers() == 0 {
		return nil
	}
	if err := s.wait(ctx, drainRepairs); err != nil {
		return err
	}
	if err := s.pub.End(); err != nil {
		return fmt.Errorf("end slot: %w", err)
	}
	select {
	case <-ctx.Done():
	case <-time.After(drainEnd):
	}
	return nil
}

// wait returns after d, or earlier with an error when there is nothing left to do.
func (s *fileSender) wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.pub.Done():
		if err := s.pub.Err(); err != nil {
			return err
		}
		return errEnded
	case <-t.C:
		return nil
	}
}
