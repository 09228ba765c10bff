package relay

import (
	"fmt"
	"testing"

	"github.com/castd/castd/engine/wire"
)

func benchmarkForward(b *testing.B, kind wire.Kind, size, children int) {
	s := NewStore(Config{Kind: kind})
	var queues []*Queue
	for range children {
		queues = append(queues, NewQueue(0))
	}
	h := wire.Header{Kind: kind, Stream: 1, FrameStart: true, KeyFrame: true}
	pkt := h.Append(make([]byte, 0, size))[:size]
	items := make([]Item, 64)
	buf := make([]byte, wire.MaxPacket)
	b.ReportAllocs()
	for n := uint64(0); b.Loop(); n++ {
		h.Number = n
		h.Append(pkt[:0])
		it := s.Item(&h, size, s.Put(&h, pkt, false))
		for _, q := range queues {
			q.Push(it)
		}
		if n%16 != 15 {
			continue
		}
		for _, q := range queues {
			for _, it := range items[:q.Pop(items)] {
				it.Store.Read(it, buf)
			}
		}
	}
}

// One packet put, pushed to all children, popped and copied for each.
func BenchmarkForward(b *testing.B) {
	for _, children := range []int{8, 64} {
		b.Run(fmt.Sprintf("audio/%d", children), func(b *testing.B) { benchmarkForward(b, wire.KindAudio, 100, children) })
		b.Run(fmt.Sprintf("video/%d", children), func(b *testing.B) { benchmarkForward(b, wire.KindVideo, 1200, children) })
	}
}

func BenchmarkPut(b *testing.B) {
	s := NewStore(Config{Kind: wire.KindVideo})
	h := wire.Header{Kind: wire.KindVideo, Stream: 1}
	pkt := h.Append(make([]byte, 0, 1200))[:1200]
	b.ReportAllocs()
	for n := uint64(0); b.Loop(); n++ {
		h.Number = n
		h.Append(pkt[:0])
		s.Put(&h, pkt, false)
	}
}

func BenchmarkGet(b *testing.B) {
	s := NewStore(Config{Kind: wire.KindVideo})
	h := wire.Header{Kind: wire.KindVideo, Stream: 1}
	pkt := h.Append(make([]byte, 0, 1200))[:1200]
	s.Put(&h, pkt, false)
	buf := make([]byte, wire.MaxPacket)
	b.ReportAllocs()
	for b.Loop() {
		s.Get(0, buf)
	}
}

func TestStoreNoAllocations(t *testing.T) {
	for _, kind := range []wire.Kind{wire.KindAudio, wire.KindVideo, wire.KindRecord} {
		s := NewStore(Config{Kind: kind, Ring: 256})
		h := wire.Header{Kind: kind, Stream: 1, FrameStart: true}
		pkt := make([]byte, 1200)
		var buf [wire.MaxPacket]byte
		n := uint64(0)
		step := func() {
			h.Number, h.KeyFrame = n, n%100 == 0
			pkt = h.Append(pkt[:0])[:100+int(n*37%1100)]
			s.Put(&h, pkt, false)
			s.Confirm(n, wire.HashPacket(pkt))
			s.Get(n, buf[:])
			n++
		}
		for range 5000 {
			step()
		}
		if allocs := testing.AllocsPerRun(2000, step); allocs != 0 {
			t.Errorf("%v: %v allocations per packet", kind, allocs)
		}
	}
}

// BenchmarkConfirm measures what a packet of a picture of six costs from its arrival until it is confirmed: with a hash of its own, and
// with one for the picture.
func BenchmarkConfirm(b *testing.B) {
	const packets = 6
	for _, whole := range []bool{false, true} {
		name := "packet"
		if whole {
			name = "picture"
		}
		b.Run(name, func(b *testing.B) {
			s := NewStore(Config{Kind: wire.KindVideo})
			h := wire.Header{Kind: wire.KindVideo, Stream: 1}
			pkt := make([]byte, 1200)
			var hashes []wire.Hash
			b.ReportAllocs()
			for n := uint64(0); b.Loop(); n++ {
				h.Number, h.KeyFrame, h.FrameStart = n, n%(50*packets) == 0, n%packets == 0
				pkt = h.Append(pkt[:0])[:1200]
				s.Put(&h, pkt, false)
				if hashes = append(hashes, wire.HashPacket(pkt)); len(hashes) < packets {
					continue
				}
				if whole {
					s.ConfirmPicture(n-packets+1, packets, wire.HashPicture(hashes))
				} else {
					for i, hash := range hashes {
						s.Confirm(n-packets+1+uint64(i), hash)
					}
				}
				hashes = hashes[:0]
			}
		})
	}
}
