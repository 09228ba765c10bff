package seal

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/wire"
)

const testRecord = wire.StreamID(0xFEDC)

func verifyAll(t *testing.T, device ed25519.PrivateKey, pkts [][]byte) []*wire.Manifest {
	t.Helper()
	var out []*wire.Manifest
	for i, pkt := range pkts {
		m, err := VerifyManifest(publicKey(device), pkt)
		if err != nil {
			t.Fatalf("packet %d: %v", i, err)
		}
		h, _, err := wire.ParseHeader(pkt)
		if err != nil {
			t.Fatalf("packet %d: %v", i, err)
		}
		if h.Kind != wire.KindRecord || h.Stream != testRecord {
			t.Fatalf("packet %d: header %+v", i, h)
		}
		out = append(out, m)
	}
	return out
}

func TestManifestVouchesForWhatWasSent(t *testing.T) {
	device := testDevice(1)
	n := NewNotary(device, testRecord, 2, 50)
	if pkts := n.Build(0); len(pkts) != 0 {
		t.Fatalf("%d packets about nothing", len(pkts))
	}
	want := make(map[[2]uint64]wire.Hash)
	for i, number := range []uint64{10, 12, 11, 11, 20, 21} { // out of order, twice, with a hole
		pkt := []byte{byte(i)}
		h := n.Add(5, number, pkt)
		if _, ok := want[[2]uint64{5, number}]; !ok {
			want[[2]uint64{5, number}] = h
		}
		if h != wire.HashPacket(pkt) {
			t.Fatal("Add returns another hash than Hash")
		}
	}
	want[[2]uint64{4, 12}] = n.Add(4, 12, []byte("other stream"))
	n.Skip(5, 13, 15)
	n.Skip(5, 16, 19) // goes on where the last ended
	n.Skip(5, 30, 29) // nothing
	n.Skip(4, 20, 20)
	n.Clock(5, 1, 1)
	n.Clock(5, 1000, 1_700_000_000_000_000)
	if err := n.Announce([]byte("announce")); err != nil {
		t.Fatal(err)
	}
	if n.Pending() != 7 {
		t.Errorf("%d pending", n.Pending())
	}
	pkts := n.Build(99)
	ms := verifyAll(t, device, pkts)
	if len(ms) != 1 || n.Pending() != 0 || n.Next() != 51 {
		t.Fatalf("%d packets, %d pending, next %d", len(ms), n.Pending(), n.Next())
	}
	m := ms[0]
	if len(m.Runs) != 3 || m.Runs[0].Stream != 4 || m.Runs[1].First != 10 || len(m.Runs[1].Hashes) != 3*wire.HashSize {
		t.Errorf("runs are %v", m.Runs)
	}
	for _, r := range m.Runs {
		for i := 0; i < len(r.Hashes); i += wire.HashSize {
			key := [2]uint64{r.Stream, r.First + uint64(i/wire.HashSize)}
			if want[key] != wire.Hash(r.Hashes[i:]) {
				t.Errorf("number %v has another hash", key)
			}
			delete(want, key)
		}
	}
	if len(want) > 0 {
		t.Errorf("not vouched for: %v", want)
	}
	if len(m.Skips) != 2 || m.Skips[0].First != 13 || m.Skips[0].Last != 19 {
		t.Errorf("skips are %v", m.Skips)
	}
	if len(m.Clocks) != 1 || m.Clocks[0].Timestamp != 1000 || string(m.Announce) != "announce" {
		t.Errorf("manifest is %v", m)
	}
	n.Add(5, 22, nil)
	second := n.Build(100)
	m = verifyAll(t, device, second)[0]
	if len(m.Announce) != 0 || len(m.Skips) != 0 {
		t.Errorf("second manifest is %v", m)
	}
}

// Whatever is added comes out once, in packets within the bound.
func TestManifestsSplit(t *testing.T) {
	device := testDevice(1)
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		n := NewNotary(device, testRecord, 0, wire.MaxNumber-1000)
		for range 4 {
			want := make(map[[2]uint64]bool)
			skips, clocks := rnd.IntN(80), rnd.IntN(60)
			for range rnd.IntN(400) {
				key := [2]uint64{rnd.Uint64N(3) << 62, wire.MaxNumber - rnd.Uint64N(3000)}
				want[key] = true
				n.Add(wire.StreamID(key[0]), key[1], binary.BigEndian.AppendUint64(nil, key[1]))
			}
			for i := range skips {
				n.Skip(1<<63, wire.MaxNumber-uint64(2*i), wire.MaxNumber-uint64(2*i))
			}
			for i := range clocks {
				n.Clock(wire.StreamID(i), 0xFFFFFFFF, -1)
			}
			announce := make([]byte, rnd.IntN(MaxAnnounce+1))
			if err := n.Announce(announce); err != nil {
				t.Fatal(err)
			}
			pkts := n.Build(0xFFFFFFFF)
			for i, m := range verifyAll(t, device, pkts) {
				if len(pkts[i])-wire.HeaderSize > MaxManifest && len(m.Announce) < MaxManifest-150 || len(pkts[i]) > wire.MaxPacket {
					t.Errorf("seed %d: packet %d has %d octets", seed, i, len(pkts[i]))
				}
				skips, clocks = skips-len(m.Skips), clocks-len(m.Clocks)
				for _, r := range m.Runs {
					for j := range len(r.Hashes) / wire.HashSize {
						key := [2]uint64{r.Stream, r.First + uint64(j)}
						if !want[key] || wire.HashPacket(binary.BigEndian.AppendUint64(nil, key[1])) != wire.Hash(r.Hashes[j*wire.HashSize:]) {
							t.Fatalf("seed %d: %v was not added, or comes twice, or has another hash", seed, key)
						}
						delete(want, key)
					}
				}
			}
			if len(want) != 0 || skips != 0 || clocks != 0 {
				t.Fatalf("seed %d: left out: %d hashes, %d skips, %d clocks", seed, len(want), skips, clocks)
			}
		}
	}
}

func TestNotaryIsBounded(t *testing.T) {
	n := NewNotary(testDevice(1), testRecord, 0, 0)
	for i := range uint64(MaxPending + 3) {
		n.Add(1, i, nil)
		n.Skip(wire.StreamID(i%2), 10*i, 10*i)
		n.Clock(wire.StreamID(i), 0, 0)
	}
	if n.Pending() != MaxPending || n.Dropped() != 3+2*(MaxPending+3-maxFacts) {
		t.Errorf("%d pending, %d dropped", n.Pending(), n.Dropped())
	}
	if err := n.Announce(make([]byte, MaxAnnounce+1)); !errors.Is(err, ErrAnnounce) {
		t.Errorf("too large an announce: %v", err)
	}
}

func TestVerifyManifestRefuses(t *testing.T) {
	device := testDevice(1)
	n := NewNotary(device, testRecord, 2, 50)
	n.Add(5, 10, []byte("x"))
	pkt := n.Build(7)[0]
	if _, err := VerifyManifest(publicKey(testDevice(2)), pkt); !errors.Is(err, ErrManifestSignature) {
		t.Errorf("another device: %v", err)
	}
	if _, err := VerifyManifest(nil, pkt); err == nil {
		t.Error("verified without a key")
	}
	for i := range pkt {
		bad := bytes.Clone(pkt)
		bad[i] ^= 1
		if _, err := VerifyManifest(publicKey(device), bad); err == nil {
			t.Fatalf("verifies with octet %d changed", i)
		}
		if _, err := VerifyManifest(publicKey(device), pkt[:i]); err == nil {
			t.Fatalf("verifies when cut to %d octets", i)
		}
	}
	if _, err := VerifyManifest(publicKey(device), append(pkt, 0)); err == nil {
		t.Error("verifies with an octet more")
	}
	// A signature does not make nonsense true.
	hash := make([]byte, wire.HashSize)
	for name, m := range map[string]*wire.Manifest{
		"half a hash":    {Runs: []*wire.Run{{Stream: 5, First: 1, Hashes: make([]byte, 3*wire.HashSize/2)}}},
		"empty run":      {Runs: []*wire.Run{{Stream: 5, First: 1}}},
		"number":         {Runs: []*wire.Run{{Stream: 5, First: wire.MaxNumber + 1, Hashes: hash}}},
		"end of run":     {Runs: []*wire.Run{{Stream: 5, First: wire.MaxNumber, Hashes: make([]byte, 2*wire.HashSize)}}},
		"overflow":       {Runs: []*wire.Run{{Stream: 5, First: ^uint64(0), Hashes: make([]byte, 2*wire.HashSize)}}},
		"half counted":   {Runs: []*wire.Run{{Stream: 5, First: 1, Hashes: make([]byte, 2*wire.HashSize), Packets: []uint32{2}}}},
		"no packet":      {Runs: []*wire.Run{{Stream: 5, First: 1, Hashes: hash, Packets: []uint32{0}}}},
		"large picture":  {Runs: []*wire.Run{{Stream: 5, First: 1, Hashes: hash, Packets: []uint32{wire.MaxPicture + 1}}}},
		"end of picture": {Runs: []*wire.Run{{Stream: 5, First: wire.MaxNumber - 1, Hashes: hash, Packets: []uint32{3}}}},
		"many runs":      {Runs: repeat(maxRuns+1, &wire.Run{Hashes: hash[:0]})},
		"skip backward":  {Skips: []*wire.Skip{{Stream: 5, First: 3, Last: 2}}},
		"skip too far":   {Skips: []*wire.Skip{{Stream: 5, First: 3, Last: wire.MaxNumber + 1}}},
		"many skips":     {Skips: repeat(maxEntries+1, &wire.Skip{})},
		"many clocks":    {Clocks: repeat(maxEntries+1, &wire.Clock{})},
	} {
		if _, err := VerifyManifest(publicKey(device), signManifest(t, device, m, wire.KindRecord)); !errors.Is(err, ErrManifest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := VerifyManifest(publicKey(device), signManifest(t, device, &wire.Manifest{}, wire.KindAudio)); !errors.Is(err, ErrManifest) {
		t.Errorf("a manifest in an audio stream: %v", err)
	}
	large := signManifest(t, device, &wire.Manifest{Announce: make([]byte, wire.MaxPacket)}, wire.KindRecord)
	if _, err := VerifyManifest(publicKey(device), large); !errors.Is(err, ErrManifest) {
		t.Errorf("a manifest of %d octets: %v", len(large), err)
	}
}

// GREASE: a newer castd's fields are skipped.
func TestManifestWithUnknownFields(t *testing.T) {
	device := testDevice(1)
	m := &wire.Manifest{Runs: []*wire.Run{{Stream: 5, First: 1, Hashes: make([]byte, wire.HashSize)}}}
	grease := protowire.AppendString(protowire.AppendTag(nil, 4242, protowire.BytesType), "new")
	m.ProtoReflect().SetUnknown(grease)
	m.Runs[0].ProtoReflect().SetUnknown(grease)
	got, err := VerifyManifest(publicKey(device), signManifest(t, device, m, wire.KindRecord))
	if err != nil || len(got.Runs) != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

func repeat[T any](n int, v T) (out []T) {
	for range n {
		out = append(out, v)
	}
	return out
}

func signManifest(t testing.TB, device ed25519.PrivateKey, m *wire.Manifest, kind wire.Kind) []byte {
	t.Helper()
	body, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	h := wire.Header{Kind: kind, Stream: testRecord}
	return sign(device, h.Append(nil), nil, body)
}

// FuzzManifest signs whatever comes, so that the checks behind the signature are reached.
func FuzzManifest(f *testing.F) {
	device := testDevice(1)
	n := NewNotary(device, testRecord, 2, 50)
	n.Add(5, 10, []byte("x"))
	for i := range uint64(5) {
		pkt, _ := filmed(20+i, i == 0, i == 4)
		n.Add(6, 20+i, pkt)
	}
	n.Skip(5, 11, 12)
	n.Clock(5, 1, 2)
	good := n.Build(7)[0]
	body := good[wire.HeaderSize+sizeSize : len(good)-ed25519.SignatureSize]
	f.Add(body, []byte(nil))
	f.Add([]byte(nil), body)
	f.Add(body[:3], body[3:])
	f.Add(good, []byte(nil))
	f.Fuzz(func(t *testing.T, sound, rest []byte) {
		if len(sound) > wire.MaxPacket {
			return
		}
		_, _ = VerifyManifest(publicKey(device), sound)
		_, _ = VerifyExcerpt(publicKey(device), testRecord, sound)
		h := wire.Header{Kind: wire.KindRecord, Stream: testRecord}
		pkt := sign(device, h.Append(nil), sound, rest)
		m, err := VerifyManifest(publicKey(device), pkt)
		if err != nil {
			return
		}
		excerpt, err := Excerpt(pkt, testExcerpts)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := VerifyExcerpt(publicKey(device), testRecord, excerpt); err != nil && len(excerpt) <= wire.MaxPacket {
			t.Fatalf("of a valid manifest: %v", err)
		}
		for _, r := range m.Runs {
			next, last := r.First, uint64(0)
			for c := range Hashes(r) {
				if c.First != next || c.Packets < 1 || c.Packets > wire.MaxPicture {
					t.Fatalf("accepted %v: %+v, want %d", r, c, next)
				}
				next, last = c.First+uint64(c.Packets), c.First+uint64(c.Packets)-1
			}
			if next == r.First || next != End(r) || last > wire.MaxNumber {
				t.Fatalf("accepted %v", r)
			}
		}
		for _, s := range m.Skips {
			if s.First > s.Last || s.Last > wire.MaxNumber {
				t.Fatalf("accepted %v", s)
			}
		}
	})
}
