package jitter

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func FuzzTOC(f *testing.F) {
	f.Add(payload(0, 960, true))
	f.Add([]byte{0xff, 0xc2, 10, 1, 2, 3})
	f.Fuzz(func(t *testing.T, p []byte) {
		got, err := parseTOC(p)
		if err != nil {
			return
		}
		if got.duration < Rate/400 || got.duration > maxFrame || got.duration%got.frame != 0 {
			t.Errorf("%x: %+v", p, got)
		}
		count, first, length, ok := frames(p)
		if !ok || count < 1 || first < 1 || first+length > len(p) {
			t.Errorf("%x: %d frames, the first %d octets at %d", p, count, length, first)
		}
	})
}

func FuzzRED(f *testing.F) {
	f.Add([]byte{0x80 | 111, 0x0f, 0, 3, 111, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, p []byte) {
		r, err := parseRED(p)
		if err != nil {
			return
		}
		total := len(r.primary)
		for _, b := range r.blocks[:r.n] {
			total += len(b.payload)
			if len(b.payload) == 0 || b.back <= 0 || b.back >= 1<<14 {
				t.Errorf("%x: block %+v", p, b)
			}
		}
		if len(r.primary) == 0 || total > len(p) {
			t.Errorf("%x: %+v", p, r)
		}
	})
}

// FuzzBuffer reads what happens from its input: packets of any kind, pulls, skips, and times that pass.
func FuzzBuffer(f *testing.F) {
	f.Add([]byte("\x00\x01\x00\x01\x00\x01\x20\x00\x30\x00"), false)
	f.Add([]byte("\x00\x01\x40\x05\x10\x07\x20\x00\x80\x10\x30\x00\xc0\x09\xff\xff\xe0\x00"), true)
	wave := sine(300)
	f.Fuzz(func(t *testing.T, in []byte, stereo bool) { drive(t, in, stereo, wave) })
}

// TestAnything drives a buffer with inputs that are longer than what a fuzzer comes to.
func TestAnything(t *testing.T) {
	wave := sine(300)
	seeds := uint64(60)
	if testing.Short() {
		seeds = 6
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 0))
		in := make([]byte, 4000)
		for i := range in {
			in[i] = byte(r.Uint32())
		}
		for i := 0; seed%2 == 0 && i < len(in); i += 2 { // mostly packets and pulls
			if in[i] >= 0x90 && r.Float64() < 0.9 {
				in[i] &= 0x7f
			}
		}
		drive(t, in, seed%3 == 0, wave)
	}
}

// drive does to a buffer what the octets say, two for each step.
func drive(t *testing.T, in []byte, stereo bool, wave func(int64) float64) {
	c := Config{Channels: 1, MaxPackets: 32, Output: 5}
	if stereo {
		c.Channels = 2
	}
	d := &fakeDecoder{wave: wave, channels: c.Channels}
	b := New(c, d)
	pcm := make([]float32, maxFrame*c.Channels)
	now := time.Unix(0, 0)
	var seq uint16
	var ts uint32
	var at int64
	output := c.Output
	for len(in) >= 2 {
		op, arg := in[0], int64(in[1])
		in = in[2:]
		switch op >> 4 {
		default:
			length := []int64{480, 960, 1920, 2880}[op&3]
			seq, ts, at = seq+1, ts+uint32(length), at+length
			p := Packet{Arrival: now.Add(-time.Duration(arg) * ms), SSRC: 1, Sequence: seq, Timestamp: ts}
			p.Payload = payload(at, length, op&4 != 0)
			if op&8 != 0 {
				p.Payload = dtxPayload()
			}
			b.Push(p)
		case 8: // loss
			seq, ts, at = seq+uint16(arg), ts+960*uint32(arg), at+960*arg
		case 9: // a jump, or what overtakes
			seq += uint16(int16(int8(op<<4)) * int16(arg))
			ts += uint32(int32(int8(arg)) << (op & 15))
		case 10: // anything
			n := min(len(in), int(arg))
			b.Push(Packet{Arrival: now, SSRC: 1, Sequence: seq, Timestamp: ts, Payload: in[:n], RED: op&1 != 0})
			in = in[n:]
		case 11:
			p := append([]byte{0x80 | 111, byte(960 >> 6), byte(960 << 2 & 0xff), 3, 111}, garbage()...)
			b.Push(Packet{Arrival: now, SSRC: 1 + uint32(arg>>6), Sequence: seq, Timestamp: ts, Payload: append(p, payload(at, 960, true)...), RED: true})
		case 12:
			n := []int{480, 960, int(arg) + 1, maxFrame}[op&3]
			var frame Frame
			if op&4 != 0 {
				frame, _ = b.Forward(now, n)
			} else {
				frame = b.Skip(now, n)
			}
			if frame.Map.Output != output {
				t.Fatalf("output at %d instead of %d", frame.Map.Output, output)
			}
			output += int64(n)
			now = now.Add(duration(int64(n)))
		case 13:
			now = now.Add(time.Duration(arg) << (op & 15) * ms / 4)
		case 14:
			if op&1 == 0 {
				b.Lead()
			} else {
				b.Follow(Map{Output: output - arg, Timestamp: ts - uint32(op&14)*960, Known: true})
			}
		case 15:
			b.Approach(Map{Output: output - arg, Timestamp: ts - uint32(op&15)*480, Known: true})
		case 0, 1, 2, 3:
			n := []int{960, 480, int(arg) + 1, maxFrame}[op&3]
			frame := pcm[:n*c.Channels]
			for i := range frame {
				frame[i] = 7
			}
			got := b.Pull(now, frame)
			if got.Map.Output != output {
				t.Fatalf("output at %d instead of %d", got.Map.Output, output)
			}
			for i, x := range frame {
				if x > 1 || x < -1 || math.IsNaN(float64(x)) {
					t.Fatalf("sample %d is %v", i, x)
				}
			}
			output += int64(n)
			now = now.Add(duration(int64(n)))
		}
		if long, n := b.Buffered(); n > 32 || long > 4*time.Second || b.tape.len() > 4*maxFrame || len(b.tape.buf) > 1<<17 {
			t.Fatalf("%v and %d packets wait, %d samples, %d on the tape", long, n, b.tape.len(), len(b.tape.buf))
		}
	}
}
