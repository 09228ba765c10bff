package codec

import (
	"encoding/hex"
	"strings"
	"testing"
)

func octets(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestInspect(t *testing.T) {
	for _, c := range []struct {
		name, codec, payload, dep string
		marker                    bool
		want                      Frame
	}{
		{"opus", Opus, "78 01", "", false, Frame{Start: true, End: true, Key: true}},
		{"red", RED, "6f 00", "", false, Frame{Start: true, End: true, Key: true}},
		{"nothing", VP8, "", "", true, Frame{}},
		{"unknown codec", "theora", "00", "", true, Frame{}},

		{"vp8 key, plain descriptor", VP8, "10 00", "", false, Frame{Start: true, Key: true}},
		{"vp8 inter", VP8, "10 01", "", true, Frame{Start: true, End: true}},
		{"vp8 discardable", VP8, "30 01", "", false, Frame{Start: true, Discardable: true}},
		{"vp8 middle", VP8, "00 00", "", false, Frame{}},
		{"vp8 second partition", VP8, "11 00", "", false, Frame{}},
		{"vp8 seven-bit id", VP8, "90 80 11 00", "", false, Frame{Start: true, Key: true}},
		{"vp8 all fields", VP8, "90 f0 81 23 07 60 01", "", true, Frame{Start: true, End: true, Temporal: 1, LayerSync: true}},
		{"vp8 key index without layers", VP8, "90 10 e0 00", "", false, Frame{Start: true, Key: true}},
		{"vp8 cut in the descriptor", VP8, "90 f0 81 23 07", "", true, Frame{}},
		{"vp8 nothing behind the descriptor", VP8, "90 80 81 23", "", true, Frame{}},

		// Uncompressed headers: frame_marker 10, profile 00, existing 0, type 0 key 1 inter, shown 1, resilient 0.
		{"vp9 key", VP9, "8c 81 23 82 49 83 42 00 00 00 00 00", "", true, Frame{Start: true, End: true, Key: true}},
		{"vp9 inter", VP9, "c8 81 23 86 10", "", false, Frame{Start: true}},
		{"vp9 inter that refreshes nothing", VP9, "cc 81 23 86 00 00", "", true, Frame{Start: true, End: true, Discardable: true}},
		{"vp9 intra-only is no key frame", VP9, "88 81 23 84 89 30 68 5f e0", "", false, Frame{Start: true}},
		{"vp9 middle", VP9, "c0 81 23 86 10", "", false, Frame{}},
		{"vp9 layers", VP9, "e8 81 23 52 07 86 10", "", false, Frame{Start: true, Temporal: 2, Spatial: 1, LayerSync: true}},
		{"vp9 upper layer of a key picture", VP9, "a8 81 23 02 07 86 10 00 00", "", false, Frame{Start: true, Key: true, Spatial: 1}},
		{"vp9 flexible with differences", VP9, "f8 05 20 03 04 86 10", "", false, Frame{Start: true, Temporal: 1}},
		{"vp9 four differences", VP9, "f8 05 20 03 03 03 04 86 10", "", false, Frame{}},
		{"vp9 structure", VP9, "8a 05 18 0140 00f0 01 04 01 82 49 83 42 00 00 00 00 00", "", false, Frame{Start: true, Key: true}},
		{"vp9 cut structure", VP9, "8a 05 18 ff 00", "", false, Frame{}},

		{"h264 idr", H264, "65 88", "", true, Frame{Start: true, End: true, Key: true}},
		{"h264 second slice of an idr", H264, "65 40", "", true, Frame{End: true, Key: true}},
		{"h264 slice", H264, "41 9a", "", false, Frame{Start: true}},
		{"h264 slice without references to it", H264, "01 9a", "", false, Frame{Start: true, Discardable: true}},
		{"h264 sps", H264, "67 42 c0", "", false, Frame{Start: true, Key: true}},
		{"h264 pps", H264, "68 ce", "", false, Frame{Start: true}},
		{"h264 delimiter", H264, "09 10", "", false, Frame{}},
		{"h264 stap of sps, pps, idr", H264, "78 0002 6742 0002 68ce 0002 6588", "", true, Frame{Start: true, End: true, Key: true}},
		{"h264 stap of delimiter and slice", H264, "18 0002 0910 0002 019a", "", true, Frame{Start: true, End: true, Discardable: true}},
		{"h264 stap cut", H264, "78 0009 67", "", true, Frame{End: true}},
		{"h264 fragment, first", H264, "7c 85 88", "", false, Frame{Start: true, Key: true}},
		{"h264 fragment, last", H264, "7c 45 88", "", true, Frame{End: true, Key: true}},
		{"h264 fragment of nothing", H264, "7c 85", "", true, Frame{}},
		{"h264 type without meaning", H264, "1f 00", "", true, Frame{}},

		{"av1 sequence header", AV1, "18 0a 0b 00", "", false, Frame{Start: true, Key: true}},
		{"av1 key frame", AV1, "10 30 10", "", true, Frame{Start: true, End: true, Key: true}},
		{"av1 inter frame", AV1, "10 30 30", "", true, Frame{Start: true, End: true}},
		{"av1 layers in the obu", AV1, "10 34 50 30", "", true, Frame{Start: true, End: true, Temporal: 2, Spatial: 2}},
		{"av1 continuation", AV1, "90 30 10", "", false, Frame{}},
		{"av1 tile group", AV1, "10 20 10", "", false, Frame{}},
		{"av1 descriptor, first packet", AV1, "90 30", "80 0001", false, Frame{Start: true}},
		{"av1 descriptor, last packet, no marker", AV1, "90 30", "40 0001", false, Frame{End: true}},
	} {
		got := Inspect(c.codec, octets(t, c.payload), c.marker, octets(t, c.dep))
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// packet is one packet of an Inspector's script: S, E, K, D, L as expected flags.
type packet struct {
	ts      uint32
	payload string
	marker  bool
	dep     string
	want    string
}

func flags(f Frame) string {
	s := ""
	for i, set := range []bool{f.Start, f.End, f.Key, f.Discardable, f.LayerSync} {
		if set {
			s += "SEKDL"[i : i+1]
		}
	}
	return s
}

func TestInspector(t *testing.T) {
	for name, c := range map[string]struct {
		codec   string
		packets []packet
	}{
		"vp8: all packets of a key frame are told as such": {VP8, []packet{
			{1, "10 00", false, "", "SK"}, {1, "00 01", false, "", "K"}, {1, "00 01", true, "", "EK"},
			{2, "10 01", false, "", "S"}, {2, "00 00", true, "", "E"},
		}},
		"vp8: padding says nothing": {VP8, []packet{
			{1, "10 00", false, "", "SK"}, {1, "", false, "", ""}, {1, "00 01", true, "", "EK"},
		}},
		"vp8: packets of two frames change places": {VP8, []packet{
			{1, "10 00", false, "", "SK"}, {2, "10 01", true, "", "SE"}, {1, "00 01", true, "", "EK"},
		}},
		"vp9: what only the header shows": {VP9, []packet{
			{1, "88 81 23 82 49 83 42 00 00 00 00 00", false, "", "SK"}, {1, "84 81 23 86 00 00", true, "", "EK"},
			{2, "c8 81 24 86 00 00", false, "", "SD"}, {2, "c4 81 24 ff", true, "", "ED"},
			{3, "88 81 25 84 89 30 68 5f e0", false, "", "S"}, {3, "84 81 25 84", true, "", "E"},
		}},
		"vp9: each spatial layer is a frame": {VP9, []packet{
			{1, "ac 81 23 00 07 82 49 83 42 00 00 00 00 00", false, "", "SEK"},
			{1, "e8 81 23 02 07 86 00 00", false, "", "SD"}, {1, "e4 81 23 02 07 11", true, "", "ED"},
		}},
		"h264: a group begins with its parameter sets": {H264, []packet{
			{1, "09 10", false, "", ""}, {1, "67 42", false, "", "SK"}, {1, "68 ce", false, "", "K"}, {1, "06 05", false, "", "K"},
			{1, "7c 85 88", false, "", "K"}, {1, "7c 45 88", true, "", "EK"},
			{2, "09 10", false, "", ""}, {2, "5c 81 9a", false, "", "S"}, {2, "5c 41 9a", true, "", "E"},
			{3, "01 9a", false, "", "SD"}, {3, "01 40", true, "", "ED"},
		}},
		"h264: the first packet of a frame is lost": {H264, []packet{
			{1, "41 9a", true, "", "SE"}, {2, "5c 01 9a", false, "", ""}, {2, "5c 41 9a", false, "", ""}, {2, "41 40", true, "", "E"},
		}},
		"h264: two first slices": {H264, []packet{
			{1, "41 9a", false, "", "S"}, {1, "41 9a", true, "", "E"},
		}},
		"av1 by timestamps": {AV1, []packet{
			{1, "68 02 0a0b 30 10", false, "", "SK"}, {1, "90 10", true, "", "EK"},
			{2, "10 30 30", false, "", "S"}, {2, "10 30 30", true, "", "E"},
		}},
		// template_id_offset 0, one decode target, template layers: 0 then temporal 1, end; indications: switch, discardable.
		"av1 by descriptors": {AV1, []packet{
			{1, "18 0a0b", false, "80 0001 800079", "SK"}, {1, "90 30", true, "40 0001", "EK"},
			{2, "10 30 30", true, "c1 0002", "SED"}, {3, "10 30 30", true, "c0 0003", "SE"},
			{4, "10 30 30", true, "c1 0004 26", "SE"},
			{5, "10 30 30", true, "c5 0005", "SE"},
		}},
	} {
		in := NewInspector(c.codec)
		for i, p := range c.packets {
			if got := flags(in.Inspect(p.ts, octets(t, p.payload), p.marker, octets(t, p.dep))); got != p.want {
				t.Errorf("%s: packet %d: %q, want %q", name, i, got, p.want)
			}
		}
	}
}

func TestInspectAllocatesNothing(t *testing.T) {
	dep := octets(t, "80 0001 800079")
	for _, codec := range []string{Opus, VP8, VP9, H264, AV1} {
		in := NewInspector(codec)
		payload := octets(t, "78 0002 6742 0002 68ce 0002 6588")
		ts := uint32(0)
		if n := testing.AllocsPerRun(100, func() {
			ts++
			in.Inspect(ts, payload, true, dep)
			Inspect(codec, payload, false, nil)
		}); n != 0 {
			t.Errorf("%s: %v allocations", codec, n)
		}
	}
}

func FuzzInspect(f *testing.F) {
	for _, s := range []string{"90f0812307600100", "f80520030486100000", "7800026742000268ce00026588", "6802 0a0b 3010", "8a051802001401824983420000000000"} {
		f.Add(octets(f, s), octets(f, "800001800079"), uint32(1), true)
	}
	f.Fuzz(func(t *testing.T, payload, dep []byte, ts uint32, marker bool) {
		for _, codec := range []string{Opus, RED, VP8, VP9, H264, AV1} {
			in := NewInspector(codec)
			for i := range uint32(3) {
				got := in.Inspect(ts+i/2, payload, marker, dep)
				if got.Spatial > 3 || got.Temporal > 7 {
					t.Fatalf("%s: %+v does not fit the origin header", codec, got)
				}
				if got.Key && got.Discardable {
					t.Fatalf("%s: discardable key frame", codec)
				}
			}
			Inspect(codec, payload, marker, dep)
		}
	})
}
