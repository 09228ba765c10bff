package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/wire"
)

// OpusOptions say from where an OpusWriter sends. The zero value sends stereo from the slot "main".
type OpusOptions struct {
	// Slot distinguishes several that one publisher sends from; "" is "main".
	Slot string
	// Name is shown to others as the speaker's; "" shows none.
	Name string
	// Mono says that all packets have one channel.
	Mono bool
}

// OpusWriter sends Opus packets into a room as they are made: a microphone, a synthesizer, a mixer. It is safe for concurrent use.
type OpusWriter struct {
	pub engine.Publication // constant

	mu       sync.Mutex // guards what follows
	sequence int64
	clock    opusClock
	start    time.Time     // when media time zero was due
	at       time.Duration // media time of the next packet
	told     time.Duration // media time of the next clock record
}

// errNotOpus says that a packet is none.
var errNotOpus = errors.New("node: not an Opus packet")

// OpenOpus opens a slot for Opus packets. It ends with Close, or when ctx does.
func (r *Room) OpenOpus(ctx context.Context, o OpusOptions) (*OpusWriter, error) {
	return openOpus(ctx, r.media, o)
}

func openOpus(ctx context.Context, m engine.Media, o OpusOptions) (*OpusWriter, error) {
	stream := engine.StreamConfig{
		Label: audioLabel, Kind: wire.KindAudio, Codec: codec.Opus, ClockRate: codec.AudioClock, Channels: 2,
		Fmtp: "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1",
	}
	if o.Mono {
		stream.Channels, stream.Fmtp = 1, "minptime=10;useinbandfec=1"
	}
	pub, err := m.Publish(ctx, engine.SlotConfig{Slot: o.Slot, Name: o.Name, Streams: []engine.StreamConfig{stream}})
	if err != nil {
		return nil, err
	}
	return &OpusWriter{pub: pub}, nil
}

// WritePacket sends one packet at once; it never blocks, so the pace is the caller's. Packets follow each other without a gap, each as
// long as it says itself; whoever pauses for more than half a second is heard to pause.
func (w *OpusWriter) WritePacket(packet []byte) error {
	duration := codec.OpusDuration(packet)
	if duration == 0 {
		return errNotOpus
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if w.start.IsZero() {
		w.start = now
	}
	if late := now.Sub(w.start.Add(w.at)); late > lateBy {
		w.at += late
		w.told = w.at
	}
	timestamp := uint32(w.clock.next(w.at, ticks(duration, codec.AudioClock)))
	p := engine.MediaPacket{Sequence: w.sequence, Timestamp: timestamp, Payload: packet, Level: wire.LevelUnknown}
	if err := w.pub.Write(audioLabel, &p); err != nil {
		return err
	}
	w.sequence++
	if w.at >= w.told {
		w.pub.Clock(audioLabel, timestamp, w.start.Add(w.at).UnixMicro())
		w.told = w.at + clockEvery
	}
	w.at += duration
	return nil
}

// Receivers returns how many peers and local sinks are served.
func (w *OpusWriter) Receivers() int { return w.pub.Receivers() }

// Done is closed when nothing more can be sent: after Close, or because somebody with the right to do so ended it.
func (w *OpusWriter) Done() <-chan struct{} { return w.pub.Done() }

// Close ends the slot. What was written may still be on its way: the Node's Close lets it arrive.
func (w *OpusWriter) Close() error { return w.pub.End() }
