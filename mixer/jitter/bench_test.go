package jitter

import (
	"testing"
	"time"
)

// still is a decoder that costs nothing.
type still struct{}

func (still) Decode(_ []byte, pcm []float32) (int, error)    { return len(pcm), nil }
func (still) DecodeFEC(_ []byte, pcm []float32) (int, error) { return len(pcm), nil }
func (still) Conceal(pcm []float32) (int, error)             { return len(pcm), nil }
func (still) Reset()                                         {}

// steady pushes and pulls as long as it is called.
type steady struct {
	b    *Buffer
	now  time.Time
	i    int
	skip bool
	lose bool
	p    [2]Packet
	pcm  []float32
}

func newSteady(skip, lose bool) *steady {
	s := &steady{b: New(DefaultConfig(), still{}), now: epoch, skip: skip, lose: lose, pcm: make([]float32, 960)}
	s.p[0] = Packet{Payload: payload(0, 960, lose)}
	s.p[1] = Packet{Payload: append([]byte{0x80 | 111, 960 >> 6, 960 << 2 & 0xff, 40, 111}, append(payload(0, 960, false), payload(0, 960, true)...)...), RED: true}
	for range 1000 {
		s.step()
	}
	return s
}

func (s *steady) step() {
	p := s.p[0]
	if s.lose {
		p = s.p[s.i&1]
	}
	p.Arrival, p.Sequence, p.Timestamp = s.now, uint16(s.i), uint32(s.i)*960
	if !s.lose || s.i%7 != 0 && s.i%50 > 5 {
		s.b.Push(p)
	}
	if s.skip {
		s.b.Skip(s.now, 960)
	} else {
		s.b.Pull(s.now, s.pcm)
	}
	s.i++
	s.now = s.now.Add(20 * ms)
}

func TestAllocations(t *testing.T) {
	for _, tt := range []struct {
		name       string
		skip, lose bool
	}{{"clean", false, false}, {"lossy", false, true}, {"skipped", true, true}} {
		s := newSteady(tt.skip, tt.lose)
		if n := testing.AllocsPerRun(1000, s.step); n != 0 {
			t.Errorf("%s: %v allocations for each frame", tt.name, n)
		}
	}
}

// BenchmarkFrame pushes a packet and pulls a frame, without what decoding costs.
func BenchmarkFrame(b *testing.B) {
	for _, bb := range []struct {
		name       string
		skip, lose bool
	}{{"clean", false, false}, {"lossy", false, true}, {"skipped", true, false}} {
		b.Run(bb.name, func(b *testing.B) {
			s := newSteady(bb.skip, bb.lose)
			b.ReportAllocs()
			for b.Loop() {
				s.step()
			}
		})
	}
}
