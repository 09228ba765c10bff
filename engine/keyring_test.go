package engine

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/castd/castd/engine/seal"
	"github.com/castd/castd/engine/wire"
)

func testKey(generation uint32, b byte) seal.RoomKey {
	return seal.RoomKey{Generation: generation, Key: [seal.RoomKeySize]byte{b}}
}

func TestKeyring(t *testing.T) {
	id := wire.NewRoomID(make([]byte, 32), "club")
	now := time.Unix(1_900_000_000, 0)
	public := publicRing(id)
	if public.newest() == nil || !public.accepts(0) || public.accepts(1) {
		t.Error("a public room has one generation")
	}
	k := &keyring{}
	if k.newest() != nil || k.accepts(0) || !k.accepts(5) {
		t.Error("a private room without a key waits for one, and has no generation 0")
	}
	add := func(key seal.RoomKey) {
		t.Helper()
		next, err := k.with(id, key, now)
		if err != nil {
			t.Fatal(err)
		}
		k = next
	}
	add(testKey(5, 1))
	add(testKey(7, 2))
	if k.current != 7 || k.before().Generation != 5 || !k.accepts(5) || !k.accepts(8) || k.accepts(6) {
		t.Errorf("%+v", k)
	}
	if k.without(now.Add(oldKeyLife-1)) != k {
		t.Error("an old key is gone too early")
	}
	now = now.Add(oldKeyLife)
	if k = k.without(now); k.accepts(5) || k.before() != nil || k.newest().Generation != 7 {
		t.Errorf("%+v", k)
	}
	add(testKey(7, 3)) // another of that generation takes its place
	if len(k.keys) != 1 || k.newest().Key[0] != 3 || !k.keys[0].until.IsZero() {
		t.Errorf("%+v", k)
	}
	add(testKey(6, 4)) // an older one for what is on its way
	if k.current != 7 || k.get(6).until.IsZero() || !k.get(7).until.IsZero() {
		t.Errorf("%+v", k)
	}
}

// Whatever keys come in whatever order: the newest one stays, all others end, and none is there twice.
func TestKeyringKeepsTheNewest(t *testing.T) {
	id := wire.NewRoomID(make([]byte, 32), "club")
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		now := time.Unix(1_900_000_000, 0)
		k, highest := &keyring{}, uint32(0)
		for range 30 {
			now = now.Add(time.Duration(rnd.IntN(8)) * time.Second)
			g := uint32(1 + rnd.IntN(12))
			next, err := k.with(id, testKey(g, byte(rnd.IntN(3))), now)
			if err != nil {
				t.Fatal(err)
			}
			k, highest = next.without(now), max(highest, g)
			seen := make(map[uint32]bool)
			for _, o := range k.keys {
				if seen[o.Generation] || o.gossip == nil || (o.Generation == k.current) != o.until.IsZero() {
					t.Fatalf("seed %d: %+v", seed, k.keys)
				}
				seen[o.Generation] = true
			}
			if k.current != highest || k.newest() == nil || !k.accepts(highest+1) {
				t.Fatalf("seed %d: current %d of %d", seed, k.current, highest)
			}
		}
		if k = k.without(now.Add(time.Hour)); len(k.keys) != 1 {
			t.Fatalf("seed %d: %d keys an hour later", seed, len(k.keys))
		}
	}
}
