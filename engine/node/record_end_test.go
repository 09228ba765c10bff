package node

import (
	"bytes"
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/wire"
)

// Who joins in the last moments of a stream hears of it when it is over, or hears of it and gets nothing any more: with UntilEnd that
// is the end. What ended before is of the past.
func TestRecordEndsWithAStreamThatEndsWhileJoining(t *testing.T) {
	tests := []struct {
		name                    string
		subscribed, ended, late time.Duration // after Since: when the sink came, the stream ended, the last of it came; late 0: nothing does
		ends                    bool
		frames                  int
	}{
		{"nothing came", 0, 50 * time.Millisecond, 0, true, 0},
		{"ended before the sink was there", 80 * time.Millisecond, 50 * time.Millisecond, 0, true, 0},
		{"what is kept of it came after its end", 80 * time.Millisecond, 50 * time.Millisecond, 200 * time.Millisecond, true, 20},
		{"ended before", 0, -time.Second, 0, false, 0},
		{"ended before, and what is kept of it came", 0, -time.Second, 100 * time.Millisecond, false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			synctest.Test(t, func(t *testing.T) {
				m := newFakeMedia()
				since := time.Now().Add(2 * time.Second)
				pub, err := m.Publish(t.Context(), engine.SlotConfig{Streams: []engine.StreamConfig{
					{Label: "audio", Kind: wire.KindAudio, Codec: codec.Opus, ClockRate: 48000, Channels: 2}}})
				if err != nil {
					t.Fatal(err)
				}
				end := time.AfterFunc(time.Until(since.Add(tt.ended)), func() { _ = pub.Close() })
				defer end.Stop()
				time.Sleep(time.Until(since.Add(tt.subscribed)))
				ctx, cancel := context.WithCancel(t.Context())
				done := startRecord(ctx, m, &out, RecordOptions{Format: FormatOgg, UntilEnd: true, Since: since})
				if tt.late > 0 {
					time.Sleep(time.Until(since.Add(tt.late)))
					for i := range 20 {
						_ = pub.Write("audio", &engine.MediaPacket{Sequence: int64(i), Timestamp: uint32(i * 960), Payload: []byte{0x78, byte(i), 1, 2}})
					}
				}
				time.Sleep(3 * time.Second)
				select {
				case err = <-done:
					if !tt.ends {
						t.Error("ended, although what it waits for is yet to come")
					}
				default:
					if tt.ends {
						t.Error("waits on")
					}
					cancel()
					err = <-done
				}
				cancel()
				if err != nil {
					t.Fatal(err)
				}
			})
			if tt.frames == 0 {
				if out.Len() > 0 {
					t.Errorf("%d octets of a stream of the past", out.Len())
				}
				return
			}
			if _, got := framesOf(t, out.Bytes()); len(got[wire.KindAudio]) != tt.frames {
				t.Errorf("%d frames, want %d", len(got[wire.KindAudio]), tt.frames)
			}
		})
	}
}

// While another slot is live, the end of one of which nothing came ends nothing.
func TestRecordWaitsForTheSlotThatIsLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newFakeMedia()
		audio := engine.SlotConfig{Streams: []engine.StreamConfig{{Label: "audio", Kind: wire.KindAudio, Codec: codec.Opus, ClockRate: 48000, Channels: 2}}}
		first, _ := m.Publish(t.Context(), audio)
		second, _ := m.Publish(t.Context(), audio)
		done := startRecord(t.Context(), m, io.Discard, RecordOptions{Format: FormatOgg, UntilEnd: true})
		_ = first.Close()
		time.Sleep(2 * time.Second)
		select {
		case <-done:
			t.Fatal("ended")
		default:
		}
		_ = second.Close()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}
