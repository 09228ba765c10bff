package seal

import (
	"math/rand/v2"
	"testing"

	"github.com/castd/castd/engine/wire"
)

// filmed returns a packet of a picture, and its hash.
func filmed(number uint64, start, end bool) ([]byte, wire.Hash) {
	h := wire.Header{Kind: wire.KindVideo, Stream: 6, Number: number, FrameStart: start, FrameEnd: end}
	pkt := h.Append(nil)
	return pkt, wire.HashPacket(pkt)
}

// covered returns what a notary's next manifests say of the packets of a stream.
func covered(t *testing.T, n *Notary) (out []Covered, hashes []wire.Hash) {
	t.Helper()
	for _, m := range verifyAll(t, testDevice(1), n.Build(1)) {
		for _, r := range m.Runs {
			for c, hash := range Hashes(r) {
				out, hashes = append(out, c), append(hashes, hash)
			}
		}
	}
	return out, hashes
}

// The packets of a picture have one hash, and those of two pictures two; a part of one that is vouched for by itself counts as one.
func TestPicturesHaveOneHash(t *testing.T) {
	n := NewNotary(testDevice(1), testRecord, 0, 0)
	var own []wire.Hash
	add := func(number uint64, start, end bool) {
		pkt, hash := filmed(number, start, end)
		own = append(own, hash)
		n.Add(6, number, pkt)
	}
	add(12, false, true)
	add(10, true, false) // they may come in any order
	add(11, false, false)
	add(13, true, true)
	add(14, true, false)
	add(16, false, true) // 15 is lost
	got, hashes := covered(t, n)
	want := []Covered{{10, 3}, {13, 1}, {14, 1}, {16, 1}}
	if len(got) != len(want) {
		t.Fatalf("%v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%v, want %v", got, want)
		}
	}
	if hashes[0] != wire.HashPicture([]wire.Hash{own[1], own[2], own[0]}) || hashes[1] != own[3] {
		t.Error("other hashes")
	}
	n.Singly(true)
	for i := range uint64(4) {
		add(20+i, i == 0, i == 3)
	}
	if got, hashes := covered(t, n); len(got) != 4 || hashes[2] != own[len(own)-2] {
		t.Errorf("one by one: %v", got)
	}
	n.Singly(false)
	for i := range uint64(4) {
		add(30+i, i == 0, i == 3)
	}
	if got, _ := covered(t, n); len(got) != 1 || got[0] != (Covered{30, 4}) {
		t.Errorf("together again: %v", got)
	}
}

// Whatever pictures there are, each packet is vouched for once, and none together with one of another picture.
func TestPicturesAreVouchedForOnce(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 4))
		n := NewNotary(testDevice(1), testRecord, 0, 0)
		for range 5 {
			picture, number := make(map[uint64]int), uint64(rnd.IntN(1000))
			own := make(map[uint64]wire.Hash)
			for i := range rnd.IntN(40) {
				size := 1 + rnd.IntN(3*wire.MaxPicture)
				for k := range size {
					if rnd.IntN(50) > 0 {
						var pkt []byte
						pkt, own[number] = filmed(number, k == 0, k == size-1)
						picture[number] = i
						n.Add(6, number, pkt)
					}
					number++
				}
			}
			got, hashes := covered(t, n)
			for i, c := range got {
				var list []wire.Hash
				for k := range uint64(c.Packets) {
					if at, ok := picture[c.First+k]; !ok || at != picture[c.First] {
						t.Fatalf("seed %d: %+v covers what it must not", seed, c)
					}
					list = append(list, own[c.First+k])
				}
				hash := list[0]
				if len(list) > 1 {
					hash = wire.HashPicture(list)
				}
				if hash != hashes[i] {
					t.Fatalf("seed %d: %+v has another hash", seed, c)
				}
				for k := range uint64(c.Packets) {
					delete(picture, c.First+k)
				}
			}
			if len(picture) > 0 {
				t.Fatalf("seed %d: %d packets are left out", seed, len(picture))
			}
		}
	}
}
