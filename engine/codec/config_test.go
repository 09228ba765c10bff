package codec

import (
	"bytes"
	"slices"
	"testing"
	"time"
)

func TestDimensions(t *testing.T) {
	lengths := func(units ...string) (b []byte) {
		for _, u := range units {
			o := octets(t, u)
			b = slices.Concat(b, []byte{0, 0, 0, byte(len(o))}, o)
		}
		return b
	}
	for _, c := range []struct {
		name, codec   string
		key           []byte
		width, height int
		ok            bool
	}{
		{"vp8", VP8, octets(t, "10 02 00 9d 01 2a 80 02 e0 41"), 640, 480, true},
		{"vp8 inter frame", VP8, octets(t, "11 02 00 9d 01 2a 80 02 e0 41"), 0, 0, false},
		// 4:2:0 limited range: colour space 001, range 0; width 640-1, height 480-1.
		{"vp9", VP9, octets(t, "82 49 83 42 20 27 f0 1d f0"), 640, 480, true},
		// x264 baseline, 320x240, and high with cropping, 1920x1080.
		{"h264 baseline", H264, lengths("67 42c00d da0507e8 40000003 00400000 07a3c50a a8", "68 ce3c80"), 320, 240, true},
		{"h264 high", H264, lengths("67 640028 acd940780227e5c0440000030004000003 00c83c60c658", "68 ebe3cb22c0"), 1920, 1080, true},
		{"h264 without sets", H264, lengths("65 88"), 0, 0, false},
		{"nothing", AV1, nil, 0, 0, false},
	} {
		w, h, ok := Dimensions(c.codec, c.key)
		if ok != c.ok || ok && (w != c.width || h != c.height) {
			t.Errorf("%s: %dx%d, %v", c.name, w, h, ok)
		}
	}
}

func TestDecoderConfigOfH264(t *testing.T) {
	key := octets(t, "00000004 6742c00d 00000002 68ce 00000002 6588")
	got := DecoderConfig(H264, key)
	if want := octets(t, "01 42c00d ff e1 0004 6742c00d 01 0002 68ce"); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
	c, ok := parseAVCConfig(got)
	if !ok || c.lengths != 4 || len(c.sets) != 2 {
		t.Errorf("does not read its own: %+v", c)
	}
	if DecoderConfig(H264, octets(t, "00000002 6588")) != nil || DecoderConfig(VP8, key) != nil {
		t.Error("a configuration from nowhere")
	}
}

func TestOpusDuration(t *testing.T) {
	for packet, want := range map[string]time.Duration{
		"":      0,
		"00":    10 * time.Millisecond,
		"18":    60 * time.Millisecond,
		"60":    10 * time.Millisecond,
		"78":    20 * time.Millisecond,
		"80":    2500 * time.Microsecond,
		"f8":    20 * time.Millisecond,
		"f9":    40 * time.Millisecond,
		"fb 03": 60 * time.Millisecond,
		"fb 83": 60 * time.Millisecond,
		"fb 06": 120 * time.Millisecond,
		"fb 07": 0,
		"fb 00": 0,
		"fb":    0,
		"83 30": 120 * time.Millisecond,
	} {
		if got := OpusDuration(octets(t, packet)); got != want {
			t.Errorf("%s: %v, want %v", packet, got, want)
		}
	}
}

func TestOpusHead(t *testing.T) {
	channels, skip, ok := ParseOpusHead(OpusHead(2, 312))
	if channels != 2 || skip != 312 || !ok {
		t.Errorf("%d, %d, %v", channels, skip, ok)
	}
	if _, _, ok := ParseOpusHead(OpusHead(2, 312)[:18]); ok {
		t.Error("cut head accepted")
	}
}
