package relay

import (
	"bytes"
	"testing"

	"github.com/castd/castd/engine/wire"
)

func put(t *testing.T, s *Store, h wire.Header, pkt []byte, want Verdict) {
	t.Helper()
	if got := s.Put(&h, pkt, false); got != want {
		t.Fatalf("Put(%d) = %v, want %v", h.Number, got, want)
	}
}

func confirm(t *testing.T, s *Store, n uint64, pkt []byte, want Confirmation) {
	t.Helper()
	if got := s.Confirm(n, wire.HashPacket(pkt)); got != want {
		t.Fatalf("Confirm(%d) = %v, want %v", n, got, want)
	}
}

func wantPacket(t *testing.T, s *Store, n uint64, pkt []byte, want State) {
	t.Helper()
	var buf [wire.MaxPacket]byte
	size, state := s.Get(n, buf[:])
	if state != want || !bytes.Equal(buf[:size], pkt) {
		t.Fatalf("Get(%d) = %q, %v; want %q, %v", n, buf[:size], state, pkt, want)
	}
}

func TestStoreVariants(t *testing.T) {
	s := NewStore(Config{Kind: wire.KindAudio})
	h, right := testPacket(wire.KindAudio, 7, "right")
	_, wrong := testPacket(wire.KindAudio, 7, "wrong")
	_, third := testPacket(wire.KindAudio, 7, "third")

	put(t, s, h, wrong, New)
	put(t, s, h, wrong, Duplicate)
	put(t, s, h, right, Variant)
	put(t, s, h, third, Full)
	wantPacket(t, s, 7, wrong, StateUnconfirmed)
	var buf [wire.MaxPacket]byte
	if n, _ := s.Read(s.Item(&h, len(right), Variant), buf[:]); !bytes.Equal(buf[:n], right) {
		t.Fatalf("Read of the second variant = %q", buf[:n])
	}
	confirm(t, s, 7, right, Confirmed)
	confirm(t, s, 7, right, Already)
	confirm(t, s, 7, wrong, Already)
	wantPacket(t, s, 7, right, StateConfirmed)
	put(t, s, h, wrong, Conflict)
	put(t, s, h, right, Duplicate)
	if hash, ok := s.Hash(7); !ok || hash != wire.HashPacket(right) {
		t.Fatal("Hash of a confirmed packet is missing or wrong")
	}
}

func TestStoreWrongIsAskedForAgain(t *testing.T) {
	s := NewStore(Config{Kind: wire.KindAudio})
	h, right := testPacket(wire.KindAudio, 7, "right")
	_, wrong := testPacket(wire.KindAudio, 7, "wrong")
	put(t, s, h, wrong, New)
	confirm(t, s, 7, right, Wrong)
	wantPacket(t, s, 7, nil, StateAbsent)
	if _, ok := s.Highest(); ok {
		t.Fatal("a packet that was wrong is still the highest")
	}
	put(t, s, h, wrong, Forged)
	put(t, s, h, right, New)
	wantPacket(t, s, 7, right, StateConfirmed)
}

func TestStoreManifestFirst(t *testing.T) {
	s := NewStore(Config{Kind: wire.KindRecord})
	h, right := testPacket(wire.KindRecord, 3, "right")
	_, wrong := testPacket(wire.KindRecord, 3, "wrong")
	confirm(t, s, 3, right, Absent)
	confirm(t, s, 3, right, Absent)
	wantPacket(t, s, 3, nil, StateAbsent)
	put(t, s, h, wrong, Forged)
	put(t, s, h, right, New)
	wantPacket(t, s, 3, right, StateConfirmed)
	confirm(t, s, 3, right, Already)
}

func TestStoreSkip(t *testing.T) {
	s := NewStore(Config{Kind: wire.KindAudio})
	h5, p5 := testPacket(wire.KindAudio, 5, "five")
	h6, p6 := testPacket(wire.KindAudio, 6, "six")
	h9, p9 := testPacket(wire.KindAudio, 9, "nine")
	put(t, s, h5, p5, New)
	put(t, s, h6, p6, New)
	confirm(t, s, 5, p5, Confirmed)
	s.Skip(4, 8)
	wantPacket(t, s, 5, p5, StateConfirmed)
	wantPacket(t, s, 6, nil, StateSkipped)
	put(t, s, h6, p6, Stale)
	confirm(t, s, 6, p6, Passed)
	put(t, s, h9, p9, New)
	if n, ok := s.Highest(); n != 9 || !ok {
		t.Fatalf("Highest() = %d, %v", n, ok)
	}
	s.Skip(20, 1<<40) // a reserve that a crash left behind
	h, p := testPacket(wire.KindAudio, 1<<40+1, "after")
	put(t, s, h, p, New)
	wantPacket(t, s, 30, nil, StateGone)
}

func TestStoreRing(t *testing.T) {
	s := NewStore(Config{Kind: wire.KindAudio, Ring: 4})
	for n := range uint64(10) {
		h, p := testPacket(wire.KindAudio, n, "x")
		put(t, s, h, p, New)
	}
	h, p := testPacket(wire.KindAudio, 5, "x")
	put(t, s, h, p, Stale)
	wantPacket(t, s, 5, nil, StateGone)
	wantPacket(t, s, 6, func() []byte { _, p := testPacket(wire.KindAudio, 6, "x"); return p }(), StateUnconfirmed)
	if low, _ := s.Lowest(); low != 6 {
		t.Fatalf("Lowest() = %d, want 6", low)
	}
	if c := s.Counters(); c.Evicted != 6 || c.Stale != 1 || c.New != 10 {
		t.Fatalf("counters are %+v", c)
	}
}

func TestStoreKeepsTheGroup(t *testing.T) {
	s := NewStore(Config{Kind: wire.KindVideo, Ring: 8})
	if _, _, ok := s.Group(); ok {
		t.Fatal("an empty store has a group")
	}
	add := func(n uint64, key bool) {
		t.Helper()
		h, p := videoPacket(n, "x")
		if key {
			h, p = keyPacket(n, "x")
		}
		put(t, s, h, p, New)
		confirm(t, s, n, p, Confirmed)
	}
	for n := uint64(100); n < 200; n++ {
		add(n, n == 120)
	}
	if first, last, ok := s.Group(); first != 120 || last != 199 || !ok {
		t.Fatalf("Group() = %d, %d, %v", first, last, ok)
	}
	if low, _ := s.Lowest(); low != 120 {
		t.Fatalf("Lowest() = %d, want the start of the group", low)
	}
	add(200, true)
	add(201, false)
	if first, _, _ := s.Group(); first != 200 {
		t.Fatalf("Group() starts at %d after a new key frame", first)
	}
	if low, _ := s.Lowest(); low != 194 {
		t.Fatalf("Lowest() = %d, want the ring of 8", low)
	}
	if ts, ok := s.Timestamp(200); !ok || ts != 600000 {
		t.Fatalf("Timestamp(200) = %d, %v", ts, ok)
	}
}

// A forged key frame must not cost the group that is there.
func TestStoreForgedKeyFrame(t *testing.T) {
	s := NewStore(Config{Kind: wire.KindVideo, Ring: 4})
	h, p := keyPacket(10, "key")
	put(t, s, h, p, New)
	confirm(t, s, 10, p, Confirmed)
	for n := uint64(11); n < 40; n++ {
		h, p := keyPacket(n, "forged")
		if n%2 == 0 {
			h, p = videoPacket(n, "x")
		}
		s.Put(&h, p, false) // the allowance is four packets
	}
	if first, _, ok := s.Group(); first != 10 || !ok {
		t.Fatalf("Group() starts at %d, %v; forged key frames took it over", first, ok)
	}
	wantPacket(t, s, 10, p, StateConfirmed)
	_, right := videoPacket(11, "right")
	confirm(t, s, 11, right, Wrong)
	h, p = keyPacket(12, "genuine")
	put(t, s, h, p, Variant)
	confirm(t, s, 12, p, Confirmed)
	if first, _, _ := s.Group(); first != 12 {
		t.Fatalf("Group() starts at %d, want the confirmed key frame", first)
	}
}

func TestStoreGroupLargerThanMemory(t *testing.T) {
	const most = 64 << 10
	s := NewStore(Config{Kind: wire.KindVideo, Ring: 16, MaxBytes: most})
	body := string(make([]byte, 1000))
	for n := uint64(1); n < 300; n++ {
		h, p := videoPacket(n, body)
		if n == 1 {
			h, p = keyPacket(n, body)
		}
		put(t, s, h, p, New)
		confirm(t, s, n, p, Confirmed)
		if s.Bytes() > most {
			t.Fatalf("%d octets in use", s.Bytes())
		}
	}
	if _, _, ok := s.Group(); ok {
		t.Fatal("a group whose key frame is gone is still offered")
	}
	if s.Packets() < 16 {
		t.Fatalf("only %d packets are kept", s.Packets())
	}
}

// The backlog of a newcomer comes after live packets.
func TestStoreOlderPacketsLater(t *testing.T) {
	s := NewStore(Config{Kind: wire.KindVideo, Ring: 64})
	for n := uint64(5000); n < 5010; n++ {
		h, p := videoPacket(n, "live")
		put(t, s, h, p, New)
	}
	h, p := keyPacket(4000, "key")
	put(t, s, h, p, New)
	for n := uint64(4001); n < 5000; n++ {
		h, p := videoPacket(n, "backlog")
		put(t, s, h, p, New)
	}
	if first, last, ok := s.Group(); first != 4000 || last != 5009 || !ok {
		t.Fatalf("Group() = %d, %d, %v", first, last, ok)
	}
}

func TestStoreFar(t *testing.T) {
	s := NewStore(Config{Kind: wire.KindAudio})
	h, p := testPacket(wire.KindAudio, 1000, "x")
	put(t, s, h, p, New)
	confirm(t, s, 1000, p, Confirmed)
	far, fp := testPacket(wire.KindAudio, 1001+farLimit, "x")
	put(t, s, far, fp, Far)
	near, np := testPacket(wire.KindAudio, 1000+farLimit, "x")
	put(t, s, near, np, New)
	if n, _ := s.Highest(); n != 1000 {
		t.Fatalf("Highest() = %d: an unconfirmed leap was believed", n)
	}
	put(t, s, far, fp, Far) // no ratchet
	confirm(t, s, far.Number, fp, Absent)
	put(t, s, far, fp, New)
	if n, _ := s.Highest(); n != far.Number {
		t.Fatalf("Highest() = %d after the leap was confirmed", n)
	}
	s.Reset()
	put(t, s, h, p, New)
}

// Whoever sends forged numbers ahead of the stream must not get genuine packets refused.
func TestStoreFloodAhead(t *testing.T) {
	s := NewStore(Config{Kind: wire.KindAudio, Ring: 32})
	h, p := testPacket(wire.KindAudio, 0, "x")
	put(t, s, h, p, New)
	confirm(t, s, 0, p, Confirmed)
	for n := uint64(1); n < 200; n++ {
		for i := range uint64(100) {
			h, p := testPacket(wire.KindAudio, n+50+i*97, "forged")
			s.Put(&h, p, false)
		}
		h, p := testPacket(wire.KindAudio, n, "right")
		if v := s.Put(&h, p, false); !v.Fresh() {
			t.Fatalf("Put(%d) = %v", n, v)
		}
		if n%5 == 0 {
			for m := n - 4; m <= n; m++ {
				_, p := testPacket(wire.KindAudio, m, "right")
				confirm(t, s, m, p, Confirmed)
			}
		}
	}
	for n := uint64(170); n < 199; n++ {
		if s.State(n) == StateAbsent {
			t.Errorf("%d is missing", n)
		}
	}
}

// Whatever came before the first manifest may be forged.
func TestStorePoisonedStart(t *testing.T) {
	for _, forged := range []uint64{1 << 40, 1000 + maxSpan, 1000 + farLimit/2} {
		s := NewStore(Config{Kind: wire.KindAudio, Ring: 8})
		for i := range uint64(20) {
			h, p := testPacket(wire.KindAudio, forged+i, "forged")
			s.Put(&h, p, false)
		}
		h, p := testPacket(wire.KindAudio, 1000, "right")
		s.Put(&h, p, false) // may be refused
		s.Confirm(1000, wire.HashPacket(p))
		s.Put(&h, p, false)
		wantPacket(t, s, 1000, p, StateConfirmed)
		if n, _ := s.Highest(); n != 1000 && n-1000 > aheadLimit {
			t.Errorf("Highest() = %d with forged packets from %d", n, forged)
		}
	}
}

func TestStoreTrusted(t *testing.T) {
	s := NewStore(Config{Kind: wire.KindAudio})
	h, p := testPacket(wire.KindAudio, 5, "mine")
	if v := s.Put(&h, p, true); v != New {
		t.Fatalf("Put = %v", v)
	}
	wantPacket(t, s, 5, p, StateConfirmed)
	h2, other := testPacket(wire.KindAudio, 6, "not mine")
	put(t, s, h2, other, New)
	_, mine := testPacket(wire.KindAudio, 6, "mine")
	if v := s.Put(&h2, mine, true); v != New {
		t.Fatalf("Put over a forged packet = %v", v)
	}
	wantPacket(t, s, 6, mine, StateConfirmed)
	poisoned := NewStore(Config{Kind: wire.KindAudio})
	put(t, poisoned, wire.Header{Number: 1 << 40}, p, New)
	if v := poisoned.Put(&h, p, true); v != New {
		t.Fatalf("Put after forged packets = %v", v)
	}
	h3, p3 := testPacket(wire.KindAudio, 1<<40, "leap")
	if v := s.Put(&h3, p3, true); v != New {
		t.Fatalf("Put after a leap = %v", v)
	}
	wantPacket(t, s, 1<<40, p3, StateConfirmed)
}

func TestStoreInvalid(t *testing.T) {
	s := NewStore(Config{})
	h, p := testPacket(wire.KindAudio, 1, "x")
	put(t, s, h, nil, Invalid)
	put(t, s, h, make([]byte, wire.MaxPacket+1), Invalid)
	h.Number = wire.MaxNumber + 1
	put(t, s, h, p, Invalid)
	if s.Confirm(wire.MaxNumber+1, wire.HashPacket(p)) != Passed || s.Confirm(wire.MaxNumber, wire.HashPacket(p)) != Absent {
		t.Fatal("Confirm of the last number or beyond")
	}
	s.Skip(3, 2)
	s.Skip(0, wire.MaxNumber)
	put(t, s, wire.Header{Number: 5}, p, Stale)
}

func TestStoreRemembersBoundedHashes(t *testing.T) {
	s := NewStore(Config{Kind: wire.KindVideo})
	for n := range uint64(maxHashes + 100) {
		s.Confirm(n, wire.Hash{})
	}
	h, p := videoPacket(50, "x")
	put(t, s, h, p, New) // its hash was forgotten
	h, p = videoPacket(maxHashes, "x")
	put(t, s, h, p, Forged)
	if s.hashes > maxHashes {
		t.Fatalf("%d hashes are kept", s.hashes)
	}
}

func TestStoreNextAndSmallBuffers(t *testing.T) {
	s := NewStore(Config{Kind: wire.KindVideo})
	h, p := keyPacket(10, "key")
	put(t, s, h, p, New)
	it, ok := s.Next(0, 100)
	if !ok || it.Number != 10 || !it.KeyFrame || !it.FrameStart || it.Size != len(p) || it.Stream != 1 {
		t.Fatalf("Next = %+v, %v", it, ok)
	}
	if _, ok := s.Next(11, 100); ok {
		t.Fatal("Next found a packet that is not there")
	}
	if n, state := s.Get(10, make([]byte, 5)); n != 0 || state != StateUnconfirmed {
		t.Fatalf("Get into a short buffer = %d, %v", n, state)
	}
}

func TestStoreCostsLittleAtFirst(t *testing.T) {
	s := NewStore(Config{Kind: wire.KindVideo})
	if s.Bytes() != 0 {
		t.Fatalf("an empty store takes %d octets", s.Bytes())
	}
	h, p := videoPacket(1, "x")
	put(t, s, h, p, New)
	if s.Bytes() > 16<<10 {
		t.Fatalf("a store of one packet takes %d octets", s.Bytes())
	}
}
