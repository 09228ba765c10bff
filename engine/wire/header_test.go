package wire

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"
)

func TestHeaderRoundTrip(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	flip := func() bool { return rnd.IntN(2) == 0 }
	for range 20000 {
		h := Header{
			Kind: Kind(rnd.IntN(3)), Marker: flip(), FrameStart: flip(), FrameEnd: flip(),
			Incarnation: uint16(rnd.Uint32()), Stream: StreamID(rnd.Uint64()), Number: rnd.Uint64() & MaxNumber, Timestamp: rnd.Uint32(),
		}
		switch h.Kind {
		case KindAudio:
			h.Level, h.Voice = uint8(rnd.IntN(128)), flip()
			if h.Level == 127 && h.Voice {
				h.Level = LevelUnknown
				h.Voice = false
			}
		case KindVideo:
			h.KeyFrame, h.Discardable, h.LayerSync = flip(), flip(), flip()
			h.Spatial, h.Temporal = uint8(rnd.IntN(4)), uint8(rnd.IntN(8))
		}
		for range rnd.IntN(3) {
			h.Ext = AppendExtension(h.Ext, byte(rnd.IntN(256)), make([]byte, rnd.IntN(120)))
		}
		b := h.Append([]byte("before"))[len("before"):]
		got, n, err := ParseHeader(append(b, "payload"...))
		if err != nil || n != h.Size() || n != len(b) {
			t.Fatalf("%+v: %d octets, %v", h, n, err)
		}
		if !reflect.DeepEqual(got, h) {
			t.Fatalf("got  %+v\nwant %+v", got, h)
		}
	}
}

// What Append makes of values that do not fit.
func TestHeaderNormalises(t *testing.T) {
	for _, c := range []struct{ in, want Header }{
		{Header{Level: 200}, Header{Level: 127}},
		{Header{Level: 127, Voice: true}, Header{Level: 126, Voice: true}},
		{Header{Level: LevelUnknown, Voice: true}, Header{Level: LevelUnknown}},
		{Header{KeyFrame: true, Temporal: 7}, Header{}}, // audio has no layers
		{Header{Kind: KindVideo, Level: 3, Voice: true, Spatial: 5, Temporal: 9}, Header{Kind: KindVideo, Spatial: 1, Temporal: 1}},
		{Header{Kind: KindRecord, Level: 3, KeyFrame: true}, Header{Kind: KindRecord}},
		{Header{Kind: KindExcerpt, Level: 3, KeyFrame: true}, Header{Kind: KindExcerpt}},
		{Header{Number: MaxNumber + 6}, Header{Number: 5}},
	} {
		got, _, err := ParseHeader(c.in.Append(nil))
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%+v became %+v, %v", c.in, got, err)
		}
	}
}

func TestParseHeaderRefuses(t *testing.T) {
	h := Header{Kind: KindVideo, Ext: AppendExtension(nil, 1, []byte{2, 3})}
	good := h.Append(nil)
	for i := range good {
		if _, _, err := ParseHeader(good[:i]); err == nil {
			t.Errorf("parses when cut to %d octets", i)
		}
	}
	change := func(at int, v byte) []byte {
		b := bytes.Clone(good)
		b[at] = v
		return b
	}
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"version 0":       {change(0, 0x10), ErrVersion},
		"version 2":       {change(0, 0x90), ErrVersion},
		"no extensions":   {change(HeaderSize, 0), ErrExtensions},
		"long extensions": {change(HeaderSize, 200), ErrExtensions},
		"long element":    {change(HeaderSize+2, 3), ErrExtensions},
		"half an element": {append(good[:HeaderSize:HeaderSize], 1, 9), ErrExtensions},
	} {
		if _, _, err := ParseHeader(c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestExtensions(t *testing.T) {
	ext := AppendExtension(nil, ExtOrientation, []byte{1})
	ext = AppendExtension(ext, 200, []byte("from a newer castd"))
	ext = AppendExtension(ext, ExtDependencyDescriptor, []byte{2, 3})
	ext = AppendExtension(ext, ExtDiscontinuity, nil)
	if got := AppendExtension(ext, 9, make([]byte, 250)); !bytes.Equal(got, ext) {
		t.Error("an element went over the end of the block")
	}
	if got := AppendExtension(nil, 9, make([]byte, 256)); got != nil {
		t.Error("an element of 256 octets was appended")
	}
	in := Header{Ext: ext}
	h, _, err := ParseHeader(in.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[byte][]byte{ExtOrientation: {1}, ExtDependencyDescriptor: {2, 3}, ExtDiscontinuity: {}, 9: nil} {
		if got := h.Extension(id); !bytes.Equal(got, want) || (got == nil) != (want == nil) {
			t.Errorf("extension %d is %v, want %v", id, got, want)
		}
	}
	broken := Header{Ext: []byte{1, 5, 0}} // never parsed, built by hand
	if broken.Extension(1) != nil {
		t.Error("read beyond the block")
	}
}

func TestHeaderDoesNotAllocate(t *testing.T) {
	h := Header{Kind: KindVideo, Ext: AppendExtension(nil, 1, []byte{2})}
	buf := make([]byte, 0, 100)
	if n := testing.AllocsPerRun(1000, func() {
		got, _, err := ParseHeader(h.Append(buf))
		if err != nil || got.Extension(1) == nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParseHeader(f *testing.F) {
	for _, h := range []Header{
		{Level: 30}, {Kind: KindVideo, Ext: AppendExtension(nil, 1, []byte{2})}, {Kind: KindRecord, Number: MaxNumber},
	} {
		f.Add(h.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := ParseHeader(b)
		if err != nil {
			return
		}
		if n != h.Size() || n > len(b) || h.Number > MaxNumber {
			t.Fatalf("%d octets of %d: %+v", n, len(b), h)
		}
		for id := range 256 {
			_ = h.Extension(byte(id))
		}
		again, m, err := ParseHeader(h.Append(nil))
		if err != nil || m != n || !reflect.DeepEqual(again, h) {
			t.Fatalf("does not survive: %+v, %+v, %v", h, again, err)
		}
	})
}
