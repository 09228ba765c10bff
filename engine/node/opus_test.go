package node

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine/wire"
)

func TestOpusWriter(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	var out bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		m := newFakeMedia()
		done := startRecord(t.Context(), m, &out, RecordOptions{Format: FormatOgg, UntilEnd: true})
		w, err := openOpus(t.Context(), m, OpusOptions{Slot: "desk", Name: "Ann"})
		if err != nil {
			t.Fatal(err)
		}
		if n := w.Receivers(); n != 1 {
			t.Errorf("%d receivers", n)
		}
		for _, bad := range [][]byte{nil, {3}, bytes.Repeat([]byte{0xff}, 4000)} {
			if err := w.WritePacket(bad); err == nil {
				t.Errorf("% x was taken for Opus", bad[:min(len(bad), 4)])
			}
		}
		for i := range 200 {
			if i == 100 {
				time.Sleep(3 * time.Second) // a pause
			}
			if err := w.WritePacket(opus(r, 40)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		<-w.Done()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if n := len(m.clocks["audio"]); n < 4 || n > 6 {
			t.Errorf("%d clock records", n)
		}
		if c := m.configs[0]; c.Slot != "desk" || c.Name != "Ann" || c.Streams[0].Channels != 2 {
			t.Errorf("slot %+v", c)
		}
		for i, p := range m.packets["audio"] {
			want := uint32(i * 960)
			if i >= 100 {
				want += 3 * 48000
			}
			if p.Sequence != int64(i) || p.Timestamp-m.packets["audio"][0].Timestamp != want {
				t.Fatalf("packet %d: sequence %d, timestamp %d, want %d", i, p.Sequence, p.Timestamp, want)
			}
		}
	})
	_, got := framesOf(t, out.Bytes())
	audio := got[wire.KindAudio]
	if len(audio) != 225 { // with 25 of 120 ms that fill the pause
		t.Fatalf("%d packets", len(audio))
	}
	if d := audio[224].Time - audio[0].Time; d != 6980*time.Millisecond {
		t.Errorf("the recording of 4 s with a pause of 3 s ends at %v", d)
	}
}
