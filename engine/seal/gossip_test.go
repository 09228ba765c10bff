package seal

import (
	"bytes"
	"errors"
	"testing"

	"github.com/castd/castd/engine/wire"
)

func gossipKey(t testing.TB, room wire.RoomID, key RoomKey) *GossipKey {
	t.Helper()
	k, err := NewGossipKey(room, key)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestGossip(t *testing.T) {
	room, other := wire.NewRoomID(make([]byte, 32), "a"), wire.NewRoomID(make([]byte, 32), "b")
	key := RoomKey{Generation: 7, Key: [RoomKeySize]byte{1}}
	k := gossipKey(t, room, key)
	env := []byte("\nenvelope")
	b := k.Seal([NonceSize]byte{9}, env)
	if g, ok := GossipGeneration(b); !ok || g != 7 || len(b) != len(env)+GossipOverhead || bytes.Contains(b, env) {
		t.Fatalf("generation %d, %v, %d octets", g, ok, len(b))
	}
	if got, err := k.Open(b); err != nil || !bytes.Equal(got, env) {
		t.Errorf("%q, %v", got, err)
	}
	for name, o := range map[string]*GossipKey{
		"another room":       gossipKey(t, other, key),
		"another key":        gossipKey(t, room, RoomKey{Generation: 7}),
		"another generation": gossipKey(t, room, RoomKey{Generation: 8, Key: key.Key}),
	} {
		if _, err := o.Open(b); !errors.Is(err, ErrOpen) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range b {
		b[i] ^= 1
		if _, err := k.Open(b); !errors.Is(err, ErrOpen) {
			t.Fatalf("octet %d changed: %v", i, err)
		}
		b[i] ^= 1
	}
	if _, ok := GossipGeneration(env); ok {
		t.Error("an envelope looks sealed")
	}
}

func TestCommitment(t *testing.T) {
	room, other := wire.NewRoomID(make([]byte, 32), "a"), wire.NewRoomID(make([]byte, 32), "b")
	k := RoomKey{Generation: 1, Key: [RoomKeySize]byte{2}}
	c := k.Commitment(room)
	for name, o := range map[string][]byte{
		"room":       k.Commitment(other),
		"generation": RoomKey{Generation: 2, Key: k.Key}.Commitment(room),
		"key":        RoomKey{Generation: 1}.Commitment(room),
	} {
		if bytes.Equal(c, o) {
			t.Errorf("another %s has the same commitment", name)
		}
	}
	if !bytes.Equal(c, k.Commitment(room)) || len(c) != 32 {
		t.Error("a commitment is not what follows from the key")
	}
}

func FuzzGossip(f *testing.F) {
	room := wire.NewRoomID(make([]byte, 32), "a")
	k := gossipKey(f, room, RoomKey{Generation: 1})
	f.Add(k.Seal([NonceSize]byte{}, []byte("x")), byte(0))
	f.Fuzz(func(t *testing.T, b []byte, flip byte) {
		if env, err := k.Open(b); err == nil && len(env)+GossipOverhead != len(b) {
			t.Fatal("opened to another length")
		}
		_, _ = GossipGeneration(b)
	})
}
