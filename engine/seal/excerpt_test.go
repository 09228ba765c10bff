package seal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/wire"
)

const testExcerpts = wire.StreamID(0xFEDD)

// Excerpts vouch for all sound and nothing else, and are the same whoever makes them.
func TestExcerptsVouchForSound(t *testing.T) {
	device := testDevice(1)
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		n := NewNotary(device, testRecord, 0, 7, 1, 3)
		want, skips := make(map[[2]uint64]bool), 0
		for range 1 + rnd.IntN(300) {
			key := [2]uint64{1 + rnd.Uint64N(4), rnd.Uint64N(1000)}
			if n.Add(wire.StreamID(key[0]), key[1], binary.BigEndian.AppendUint64(nil, key[1])); key[0]%2 == 1 {
				want[key] = true
			}
		}
		for i := range rnd.Uint64N(40) {
			if n.Skip(wire.StreamID(i%5), 2*i, 2*i); i%5%2 == 1 {
				skips++
			}
		}
		n.Clock(1, 2, 3)
		if err := n.Announce(make([]byte, 500)); err != nil {
			t.Fatal(err)
		}
		for i, pkt := range n.Build(5) {
			x, err := Excerpt(pkt, testExcerpts)
			if err != nil {
				t.Fatal(err)
			}
			h, _, err := wire.ParseHeader(x)
			if err != nil || h.Kind != wire.KindExcerpt || h.Stream != testExcerpts || h.Number != 7+uint64(i) || h.Timestamp != 5 {
				t.Fatalf("seed %d: header %+v, %v", seed, h, err)
			}
			m, err := VerifyExcerpt(publicKey(device), testRecord, x)
			if err != nil {
				t.Fatalf("seed %d: excerpt %d: %v", seed, i, err)
			}
			if len(m.Announce) != 0 || len(m.Clocks) != 0 {
				t.Errorf("seed %d: an excerpt tells of more than sound: %v", seed, m)
			}
			skips -= len(m.Skips)
			for _, r := range m.Runs {
				for j := range len(r.Hashes) / wire.HashSize {
					key := [2]uint64{r.Stream, r.First + uint64(j)}
					if !want[key] {
						t.Fatalf("seed %d: %v is not sound, or comes twice", seed, key)
					}
					delete(want, key)
				}
			}
		}
		if len(want) != 0 || skips != 0 {
			t.Fatalf("seed %d: left out: %d hashes, %d skips", seed, len(want), skips)
		}
	}
}

func TestVerifyExcerptRefuses(t *testing.T) {
	device := testDevice(1)
	n := NewNotary(device, testRecord, 2, 50, 5)
	n.Add(5, 10, []byte("x"))
	n.Add(6, 10, []byte("y"))
	pkt := n.Build(7)[0]
	x, err := Excerpt(pkt, testExcerpts)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(pkt []byte) error {
		_, err := VerifyExcerpt(publicKey(device), testRecord, pkt)
		return err
	}
	if err := verify(x); err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyExcerpt(publicKey(testDevice(2)), testRecord, x); !errors.Is(err, ErrManifestSignature) {
		t.Errorf("another device: %v", err)
	}
	if _, err := VerifyExcerpt(publicKey(device), testRecord+1, x); !errors.Is(err, ErrManifestSignature) {
		t.Errorf("of another record stream: %v", err)
	}
	if err := verify(pkt); !errors.Is(err, ErrManifest) {
		t.Errorf("a record packet: %v", err)
	}
	if _, err := VerifyManifest(publicKey(device), x); !errors.Is(err, ErrManifest) {
		t.Errorf("an excerpt as a record packet: %v", err)
	}
	for i := range x {
		bad := bytes.Clone(x)
		bad[i] ^= 1
		// The stream's own id says only where the excerpt belongs: what it vouches for names streams itself.
		if err := verify(bad); err == nil && (i < 4 || i >= 12) {
			t.Fatalf("verifies with octet %d changed", i)
		}
		if verify(x[:i]) == nil {
			t.Fatalf("verifies when cut to %d octets", i)
		}
	}
	if verify(append(x, 0)) == nil {
		t.Error("verifies with an octet more")
	}
}

// Whatever is valid has a valid excerpt: a publisher must not be able to make an honest peer that passes one on look like a forger.
func TestManifestMustHaveExcerpt(t *testing.T) {
	device := testDevice(1)
	whole, err := proto.Marshal(&wire.Manifest{Runs: []*wire.Run{{Stream: 5, First: 1, Hashes: make([]byte, wire.HashSize)}}})
	if err != nil {
		t.Fatal(err)
	}
	half, err := proto.Marshal(&wire.Manifest{Runs: []*wire.Run{{Stream: 5, First: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	h := wire.Header{Kind: wire.KindRecord, Stream: testRecord}
	for name, c := range map[string]struct {
		sound, rest []byte
		valid       bool
	}{
		"all of it sound": {whole, nil, true},
		"no sound":        {nil, whole, true},
		"within a field":  {whole[:3], whole[3:], false},
		"nonsense first":  {half, whole, false},
	} {
		if _, err := VerifyManifest(publicKey(device), sign(device, h.Append(nil), c.sound, c.rest)); (err == nil) != c.valid {
			t.Errorf("%s: %v", name, err)
		}
	}
	reserved := h.Append(nil)
	reserved[1] = 0xA5 // of a later version, perhaps
	x, err := Excerpt(sign(device, reserved, whole, whole), testExcerpts)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyExcerpt(publicKey(device), testRecord, x); err != nil {
		t.Errorf("with a reserved octet: %v", err)
	}
}
