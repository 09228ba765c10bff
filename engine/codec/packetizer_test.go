package codec

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// source makes frames of a codec as a container would hold them; the bodies are random.
type source struct {
	codec string
	rng   *rand.Rand
}

func (s source) body(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(s.rng.Uint32()) | 1 // no zeros: no start codes, no zero at the end of NAL units
	}
	return b
}

func (s source) frame(key bool, size int) []byte {
	b := s.body(size)
	switch s.codec {
	case VP8:
		b[0] |= 1
		if key {
			b[0] &^= 1
		}
	case VP9:
		copy(b, []byte{0x86, 0x3f})
		if key {
			copy(b, []byte{0x82, 0x49, 0x83, 0x42, 0, 0, 0, 0, 0})
		}
	case H264:
		unit := func(kind byte, b []byte) []byte {
			return append(binary.BigEndian.AppendUint32(nil, uint32(len(b)+1)), append([]byte{kind}, b...)...)
		}
		b[0] |= 0x80
		if !key {
			return append(unit(0x06, s.body(9)), unit(0x41, b)...)
		}
		rest := s.body(size/2 + 1)
		return slices.Concat(unit(0x67, s.body(20)), unit(0x68, s.body(4)), unit(0x65, b), unit(0x65, rest))
	case AV1:
		obu := func(kind byte, b []byte) []byte { return append(appendLEB128([]byte{kind<<3 | 2}, len(b)), b...) }
		b[0] = 0x30
		if key {
			b[0] = 0x10
			return slices.Concat(obu(obuSequenceHeader, s.body(11)), obu(obuMetadata, s.body(3)), obu(obuFrame, b))
		}
		if s.rng.IntN(2) == 0 {
			return slices.Concat(obu(obuFrameHeader, b[:8]), obu(4, b[8:]), obu(4, s.body(40)), obu(4, s.body(7)))
		}
		return obu(obuFrame, b)
	case Opus:
		b[0] = 0x78
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	for _, codec := range []string{Opus, VP8, VP9, H264, AV1} {
		for _, limit := range []int{64, 100, DefaultLimit} {
			s := source{codec, rand.New(rand.NewPCG(1, uint64(limit)))}
			p, err := NewPacketizer(codec, limit, avcC(codec))
			if err != nil {
				t.Fatal(err)
			}
			d, err := NewDepacketizer(codec)
			if err != nil {
				t.Fatal(err)
			}
			in := NewInspector(codec)
			for i := range 200 {
				key := i%20 == 0
				size := 16 + s.rng.IntN(4*limit)
				if codec == Opus {
					size = min(size, limit)
				}
				frame := s.frame(key, size)
				payloads, err := p.Packetize(frame, false)
				if err != nil {
					t.Fatal(err)
				}
				for j, payload := range payloads {
					last := j == len(payloads)-1
					if len(payload.Data) > limit || payload.Marker != (last && codec != Opus) {
						t.Fatalf("%s: payload %d of %d: %d octets, marker %v", codec, j, len(payloads), len(payload.Data), payload.Marker)
					}
					f := in.Inspect(uint32(i), payload.Data, payload.Marker, nil)
					want := Frame{Start: j == 0, End: last, Key: key || codec == Opus}
					if codec == H264 && !key { // the SEI comes first
						want.Start = j == 1
					}
					if f != want {
						t.Fatalf("%s: frame %d, payload %d: %+v, want %+v", codec, i, j, f, want)
					}
					got, gotKey, ok := d.Push(payload.Data, uint32(i), payload.Marker, false)
					if ok != last || ok && (!bytes.Equal(got, frame) || gotKey != want.Key) {
						t.Fatalf("%s, limit %d: frame %d came out differently (whole: %v, key: %v)", codec, limit, i, ok, gotKey)
					}
				}
			}
		}
	}
}

// avcC tells that H264 frames have lengths of four octets; no parameter sets.
func avcC(codec string) []byte {
	if codec != H264 {
		return nil
	}
	return []byte{1, 0x42, 0xc0, 0x1e, 0xff, 0xe0, 0}
}

// What comes out beside holes is what went in, begins after each hole with a key frame, and nothing whole is held back.
func TestHoles(t *testing.T) {
	for _, codec := range []string{VP8, VP9, H264, AV1} {
		for _, keepGoing := range []bool{false, true} {
			s := source{codec, rand.New(rand.NewPCG(2, 3))}
			p, _ := NewPacketizer(codec, 200, avcC(codec))
			d, _ := NewDepacketizer(codec)
			d.KeepGoing = keepGoing
			hole, delivered, needKey := false, 0, true
			for i := range 3000 {
				frame := s.frame(i%10 == 0, 16+s.rng.IntN(1000))
				payloads, err := p.Packetize(frame, false)
				if err != nil {
					t.Fatal(err)
				}
				whole := !hole
				for _, payload := range payloads {
					if s.rng.IntN(40) == 0 {
						hole, whole = true, false
						needKey = needKey || !keepGoing
						continue
					}
					got, key, ok := d.Push(payload.Data, uint32(i), payload.Marker, hole)
					hole = false
					if !ok {
						continue
					}
					delivered++
					if !bytes.Equal(got, frame) && (codec != H264 && codec != AV1 || whole) {
						t.Fatalf("%s: frame %d came out differently", codec, i)
					}
					if key != (i%10 == 0) || needKey && !key {
						t.Fatalf("%s: frame %d: key %v after a hole: %v", codec, i, key, needKey)
					}
					needKey = false
				}
			}
			least := 600
			if keepGoing {
				least = 2000
			}
			if delivered < least {
				t.Errorf("%s, keep going %v: %d frames of 3000", codec, keepGoing, delivered)
			}
			if d.Dropped() == 0 {
				t.Errorf("%s: nothing counted as dropped", codec)
			}
		}
	}
}

func TestHoleInDiscardableFrame(t *testing.T) {
	d, _ := NewDepacketizer(VP8)
	push := func(payload string, ts uint32, marker, hole bool) bool {
		_, _, ok := d.Push(octets(t, payload), ts, marker, hole)
		return ok
	}
	if !push("10 00", 1, true, false) || push("30 01", 2, false, false) || push("20 01", 2, true, true) {
		t.Fatal("key frame, then a damaged frame")
	}
	if !push("10 01", 3, true, false) {
		t.Error("a hole in a discardable frame cost the next frame")
	}
	if push("10 01", 4, true, true) || push("10 01", 5, true, false) || !push("10 00", 6, true, false) {
		t.Error("a hole of unknown frames should cost all up to the key frame")
	}
}

func TestLostMarker(t *testing.T) {
	d, _ := NewDepacketizer(VP8)
	for i, c := range []struct {
		payload      string
		ts           uint32
		marker, hole bool
		want         bool
	}{
		{"10 00", 1, true, false, true},
		{"10 01", 2, false, false, false}, // its last packet is lost
		{"10 01", 3, true, true, false},
		{"10 00", 4, false, false, false}, {"00 00", 4, true, false, true},
		{"00 00", 4, true, false, false}, // twice
		{"10 00", 5, true, false, true},
	} {
		if _, _, ok := d.Push(octets(t, c.payload), c.ts, c.marker, c.hole); ok != c.want {
			t.Errorf("packet %d: %v", i, ok)
		}
	}
}

func TestParameterSetsAreRepeated(t *testing.T) {
	private := slices.Concat([]byte{1, 0x42, 0xc0, 0x1e, 0xff, 0xe1}, []byte{0, 3, 0x67, 0x42, 0xc0}, []byte{1, 0, 2, 0x68, 0xce})
	p, err := NewPacketizer(H264, 0, private)
	if err != nil {
		t.Fatal(err)
	}
	payloads, err := p.Packetize([]byte{0, 0, 0, 2, 0x65, 0x88}, false)
	if err != nil || len(payloads) != 2 || !bytes.Equal(payloads[0].Data, octets(t, "78 0003 6742c0 0002 68ce")) {
		t.Errorf("H264: %v, %v", payloads, err)
	}
	if payloads, _ = p.Packetize([]byte{0, 0, 0, 2, 0x41, 0x88}, false); len(payloads) != 1 {
		t.Errorf("H264, no key frame: %v", payloads)
	}
	// Sets that do not fit one packet go in several; none is left out.
	p, _ = NewPacketizer(H264, 64, nil)
	long := append([]byte{0, 0, 1, 0x67}, bytes.Repeat([]byte{7}, 61)...)
	long = append(long, 0, 0, 0, 1, 0x68, 0xce, 0, 0, 1, 0x65, 0x88, 0, 0, 0)
	if payloads, err = p.Packetize(long, false); err != nil || len(payloads) != 3 || !bytes.Equal(payloads[1].Data, []byte{0x68, 0xce}) {
		t.Errorf("H264, long sets: %v, %v", payloads, err)
	}

	p, err = NewPacketizer(AV1, 0, []byte{0x81, 0, 0, 0, 0x0a, 1, 0x55})
	if err != nil {
		t.Fatal(err)
	}
	payloads, err = p.Packetize([]byte{0x12, 0, 0x32, 2, 0x10, 0x77}, false)
	if err != nil || len(payloads) != 1 || !bytes.Equal(payloads[0].Data, octets(t, "28 02 0855 30 1077")) {
		t.Errorf("AV1: %v, %v", payloads, err)
	}
}

func TestPacketizerRefuses(t *testing.T) {
	if _, err := NewPacketizer("theora", 0, nil); err == nil {
		t.Error("unknown codec")
	}
	if _, err := NewPacketizer(VP8, 10, nil); err == nil {
		t.Error("no room")
	}
	if _, err := NewPacketizer(H264, 0, []byte{1, 2}); err == nil {
		t.Error("cut configuration")
	}
	if _, err := NewDepacketizer("theora"); err == nil {
		t.Error("unknown codec")
	}
	for _, c := range []struct {
		codec string
		frame []byte
	}{
		{VP8, nil}, {VP8, make([]byte, MaxFrame+1)}, {H264, []byte{1, 2, 3}}, {AV1, []byte{0xff, 1}}, {AV1, []byte{0x32, 9, 1}},
	} {
		p, _ := NewPacketizer(c.codec, 0, nil)
		if _, err := p.Packetize(c.frame, false); err == nil {
			t.Errorf("%s: packetized %d octets", c.codec, len(c.frame))
		}
	}
}

func TestREDPrimary(t *testing.T) {
	d, _ := NewDepacketizer(RED)
	for payload, want := range map[string]string{
		"6f 0102":                         "0102",
		"ef 000c02 6f aabb 0102":          "0102",
		"ef 000c01 ef 000c01 6f aa bb 01": "01",
		"ef 000cff 6f aabb":               "",
		"ef 00":                           "",
		"":                                "",
	} {
		got, _, ok := d.Push(octets(t, payload), 1, false, false)
		if fmt.Sprintf("%x", got) != want && want != "" || ok != (want != "") {
			t.Errorf("%s: %x, %v", payload, got, ok)
		}
	}
}

func FuzzDepacketize(f *testing.F) {
	f.Add(0, octets(f, "0004 10001122 0003 000102"))
	f.Add(2, octets(f, "0003 7c8588 0003 7c4588"))
	f.Add(3, octets(f, "0006 6802 0a0b 3010 0002 9010"))
	names := []string{VP8, VP9, H264, AV1, RED, Opus}
	f.Fuzz(func(t *testing.T, which int, script []byte) {
		d, _ := NewDepacketizer(names[uint(which)%uint(len(names))])
		for len(script) >= 2 {
			control, n := script[0], min(int(script[1]), len(script)-2)
			frame, _, ok := d.Push(script[2:2+n], uint32(control>>4), control&1 == 0, control&2 != 0)
			if ok && len(frame) == 0 {
				t.Fatal("empty frame")
			}
			script = script[2+n:]
		}
	})
}

// Whatever is packetized comes out as a frame that packetizes the same way again.
func FuzzPacketize(f *testing.F) {
	for i, name := range []string{VP8, VP9, H264, AV1} {
		f.Add(i, source{name, rand.New(rand.NewPCG(7, 8))}.frame(true, 300))
	}
	f.Fuzz(func(t *testing.T, which int, frame []byte) {
		name := []string{VP8, VP9, H264, AV1}[uint(which)%4]
		p, _ := NewPacketizer(name, 100, avcC(name))
		Dimensions(name, frame)
		DecoderConfig(name, frame)
		KeyFrame(name, frame)
		payloads, err := p.Packetize(frame, false)
		if err != nil {
			return
		}
		d, _ := NewDepacketizer(name)
		d.waiting = false
		var out []byte
		for _, payload := range payloads {
			if len(payload.Data) > 100 {
				t.Fatalf("payload of %d octets", len(payload.Data))
			}
			if got, _, ok := d.Push(payload.Data, 1, payload.Marker, false); ok {
				out = bytes.Clone(got)
			}
		}
		if (name == VP8 || name == VP9) && !bytes.Equal(out, frame) {
			t.Fatalf("%x came out as %x", frame, out)
		}
	})
}
