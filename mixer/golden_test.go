package mixer

import (
	"encoding/binary"
	"flag"
	"math"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write testdata anew")

// What a listener and a talker hear of three participants, one of them at the left and too loud for the limiter, as 16-bit PCM. Other
// processors round sums otherwise, so the last bits may differ.
func TestGolden(t *testing.T) {
	const file, ticks = "testdata/mix.pcm", 6
	r := newRoom(t, Config{})
	r.join(1, 2, 3)
	r.m.AddListener(4, 2, 32000)
	r.sources[1], r.sources[2], r.sources[3] = tone(310, 0.4), tone(470, 0.9), during(3, 9, tone(890, 0.05))
	r.m.Adjust(2, 1, -0.5)
	r.run(ticks)
	var got []byte
	for _, id := range []ID{2, 4} {
		for i, x := range r.got[id] {
			if i%3 == 0 { // every third sample is enough to see any change by
				got = binary.LittleEndian.AppendUint16(got, uint16(int16(math.Round(float64(x)*32767))))
			}
		}
	}
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d octets, not %d", len(got), len(want))
	}
	for i := 0; i < len(got); i += 2 {
		a, b := int16(binary.LittleEndian.Uint16(got[i:])), int16(binary.LittleEndian.Uint16(want[i:]))
		if d := int(a) - int(b); d > 1 || d < -1 {
			t.Fatalf("sample %d is %d, not %d", i/2, a, b)
		}
	}
}
