package codec

import (
	"bytes"
	"testing"
)

// Parameter sets that libx264 made for pictures of 160x120.
const (
	spsBaseline = "6742c00ad902847e5c0440000003004000000783c48992"
	spsHigh     = "6764000aacb20508fcb80880000003008000000f07891324"                       // -bf 0
	spsBFrames  = "6764000aacd942847e5c0440000003004000000783c4896580"                     // -bf 3
	spsHRD      = "674d400deca1423f2e0220000003002000000303cc04003d08000f425259403c50a658" // -bf 2 with a reference decoder
	ppsAny      = "68ebe3cb22c0"
)

func TestH264Reorders(t *testing.T) {
	config := func(sps ...string) []byte {
		var sets []unit
		for _, s := range sps {
			sets = append(sets, octets(t, s))
		}
		return avcConfig(append(sets, octets(t, ppsAny)))
	}
	for _, c := range []struct {
		name             string
		private          []byte
		reordered, known bool
	}{
		{"baseline", config(spsBaseline), false, true},
		{"high without B-frames", config(spsHigh), false, true},
		{"high with B-frames", config(spsBFrames), true, true},
		{"main with a reference decoder", config(spsHRD), true, true},
		{"two sets", config(spsBaseline, spsBFrames), true, true},
		{"no usability information", config("6764000aacd942847e40"), false, false},
		{"nothing", nil, false, false},
		{"cut", config(spsBFrames)[:12], false, false},
	} {
		if reordered, known := H264Reorders(c.private); reordered != c.reordered || known != c.known {
			t.Errorf("%s: %v, known %v", c.name, reordered, known)
		}
	}
}

func TestHasBSlices(t *testing.T) {
	for _, c := range []struct {
		frame string
		want  bool
	}{
		{"00000002" + "419a", false},              // first_mb 0, slice_type 5 (P)
		{"00000002" + "019e", true},               // slice_type 6 (B)
		{"00000002" + "01a8", true},               // slice_type 1 (B)
		{"00000002" + "6588", false},              // IDR, slice_type 7 (I)
		{"00000002" + "0601", false},              // no slice
		{"00000001" + "41", false},                // too short
		{"00000002" + "419a" + "0000ffff", false}, // malformed
		{"", false},
	} {
		if got := HasBSlices(octets(t, c.frame), 4); got != c.want {
			t.Errorf("%s: %v", c.frame, got)
		}
	}
}

func TestFromAnnexB(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"00000001" + "0910" + "00000001" + "6742" + "000001" + "68ce00" + "000001" + "6588", "00000002" + "6742" + "00000002" + "68ce" + "00000002" + "6588"},
		{"ffff", ""},
		{"000001", ""},
		{"000001" + "0910", ""},
	} {
		if got := FromAnnexB(octets(t, c.in)); !bytes.Equal(got, octets(t, c.want)) {
			t.Errorf("%s: %x, want %s", c.in, got, c.want)
		}
	}
}

// Units that go through start codes come out again, and nothing makes the parsers of parameter sets and slices fail.
func FuzzH264(f *testing.F) {
	for _, s := range []string{spsBaseline, spsHigh, spsBFrames, spsHRD} {
		f.Add(avcConfig([]unit{octets(f, s), octets(f, ppsAny)}))
		f.Add(append([]byte{0, 0, 1}, octets(f, s)...))
	}
	f.Add([]byte{0, 0, 0, 2, 0x41, 0x9a})
	f.Fuzz(func(t *testing.T, b []byte) {
		H264Reorders(b)
		UnitLengths(b)
		for lengths := 1; lengths <= 4; lengths++ {
			HasBSlices(b, lengths)
		}
		frame := FromAnnexB(b)
		if units, ok := splitAVC(frame, 4); ok != (len(frame) > 0) || len(frame) > 4*len(b)/3+4*len(units) {
			t.Fatalf("%x became %x", b, frame)
		}
		DecoderConfig(H264, frame)
	})
}
