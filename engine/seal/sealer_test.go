package seal

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/castd/castd/engine/wire"
)

const testRoom = wire.RoomID("abcdefghijklmnopqrstuvwxyz")

func testDevice(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func publicKey(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func mustSealer(t testing.TB, stream wire.StreamID, incarnation uint16) (*Sealer, *Opener) {
	t.Helper()
	key, device := PublicRoomKey(testRoom), publicKey(testDevice(1))
	s, err := NewSealer(key, device, stream, incarnation)
	if err != nil {
		t.Fatal(err)
	}
	o, err := NewOpener(key, device, stream, incarnation)
	if err != nil {
		t.Fatal(err)
	}
	return s, o
}

func TestSealedPacketOpens(t *testing.T) {
	s, o := mustSealer(t, 7, 3)
	for i, h := range []wire.Header{
		{Kind: wire.KindAudio, Level: 30, Voice: true},
		{Kind: wire.KindVideo, KeyFrame: true, FrameStart: true, Marker: true},
		{Kind: wire.KindVideo, Ext: wire.AppendExtension(nil, wire.ExtOrientation, []byte{1})},
	} {
		h.Stream, h.Incarnation, h.Number, h.Timestamp = 7, 3, wire.MaxNumber-uint64(i), 0xFFFFFFFF
		payload := []byte(strings.Repeat("x", 100*i)) // also an empty one
		pkt, err := s.Seal([]byte("before"), &h, payload)
		if err != nil {
			t.Fatal(err)
		}
		pkt = pkt[len("before"):]
		if len(pkt) != h.Size()+len(payload)+TagSize {
			t.Errorf("packet of %d octets", len(pkt))
		}
		got, n, err := wire.ParseHeader(pkt)
		if err != nil || n != h.Size() || got.Number != h.Number {
			t.Fatalf("header %+v, %d, %v", got, n, err)
		}
		out, err := o.Open([]byte("dst "), pkt, n, got.Number)
		if err != nil || string(out) != "dst "+string(payload) {
			t.Fatalf("opened to %q, %v", out, err)
		}
		for j := range pkt {
			bad := bytes.Clone(pkt)
			bad[j] ^= 4
			number := h.Number
			if g, m, err := wire.ParseHeader(bad); err == nil {
				n, number = m, g.Number
			}
			if _, err := o.Open(nil, bad, n, number); err == nil {
				t.Fatalf("packet opens with octet %d changed", j)
			}
			n = h.Size()
		}
		for cut := range pkt {
			if _, err := o.Open(nil, pkt[:cut], n, h.Number); !errors.Is(err, ErrOpen) {
				t.Fatalf("packet opens when cut to %d octets: %v", cut, err)
			}
		}
		for _, wrong := range []int{-1, 0, n - 1, n + 1, len(pkt), len(pkt) + 1, 1 << 40} {
			if _, err := o.Open(nil, pkt, wrong, h.Number); !errors.Is(err, ErrOpen) {
				t.Errorf("opens with a header of %d octets: %v", wrong, err)
			}
		}
	}
}

// Each of room key, device, stream and incarnation makes another key.
func TestKeysDiffer(t *testing.T) {
	s, _ := mustSealer(t, 7, 3)
	h := wire.Header{Kind: wire.KindAudio, Stream: 7, Incarnation: 3, Number: 5}
	pkt, err := s.Seal(nil, &h, []byte("payload"))
	if err != nil {
		t.Fatal(err)
	}
	key, device := PublicRoomKey(testRoom), publicKey(testDevice(1))
	other := key
	other.Key[15] ^= 1
	for name, open := range map[string]func() (*Opener, error){
		"room key":    func() (*Opener, error) { return NewOpener(other, device, 7, 3) },
		"room":        func() (*Opener, error) { return NewOpener(PublicRoomKey(testRoom[1:]+"a"), device, 7, 3) },
		"device":      func() (*Opener, error) { return NewOpener(key, publicKey(testDevice(2)), 7, 3) },
		"stream":      func() (*Opener, error) { return NewOpener(key, device, 8, 3) },
		"incarnation": func() (*Opener, error) { return NewOpener(key, device, 7, 4) },
	} {
		o, err := open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.Open(nil, pkt, h.Size(), h.Number); !errors.Is(err, ErrOpen) {
			t.Errorf("opens with another %s", name)
		}
	}
	if _, err := NewSealer(key, device[:31], 7, 3); err == nil {
		t.Error("made a sealer for a short device key")
	}
}

func TestSealerRefuses(t *testing.T) {
	h := wire.Header{Kind: wire.KindAudio, Stream: 7, Incarnation: 3, Number: 100}
	seal := func(s *Sealer, change func(*wire.Header)) error {
		c := h
		change(&c)
		out, err := s.Seal([]byte("x"), &c, nil)
		if err != nil && string(out) != "x" {
			t.Error("an error came with octets")
		}
		return err
	}
	number := func(n uint64) func(*wire.Header) { return func(h *wire.Header) { h.Number = n } }
	s, _ := mustSealer(t, 7, 3)
	s.Limit(100, 10000)
	for _, c := range []struct {
		change func(*wire.Header)
		want   error
	}{
		{number(99), ErrNotReserved},
		{number(100), nil},
		{number(100), ErrNonceReuse},
		{number(105), nil},
		{number(102), nil},
		{number(102), ErrNonceReuse},
		{number(9999), nil},
		{number(9999 - windowSize + 1), nil},
		{number(9999 - windowSize), ErrNonceReuse},
		{number(10000), ErrNotReserved},
		{func(h *wire.Header) { h.Number = 9998; h.Stream = 8 }, ErrStream},
		{func(h *wire.Header) { h.Number = 9998; h.Incarnation = 4 }, ErrStream},
		{func(h *wire.Header) { h.Number = 9998; h.Kind = wire.KindRecord }, ErrStream},
		{number(9998), nil},
	} {
		if err := seal(s, c.change); !errors.Is(err, c.want) {
			t.Errorf("got %v, want %v", err, c.want)
		}
	}
	s.Limit(100, ^uint64(0))
	if err := seal(s, number(wire.MaxNumber+1)); !errors.Is(err, ErrNotReserved) {
		t.Errorf("sealed a number of 49 bits: %v", err)
	}
}

// The window says the same as a set of all numbers ever taken.
func TestWindowAgreesWithASet(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var w window
		taken := make(map[uint64]bool)
		newest, at := uint64(0), rnd.Uint64N(1<<40)
		for i := range 30000 {
			var n uint64
			switch rnd.IntN(20) {
			case 0:
				at += rnd.Uint64N(3 * windowSize)
				n = at
			case 1:
				n = at - min(at, rnd.Uint64N(2*windowSize))
			default:
				at += rnd.Uint64N(3)
				n = at - min(at, rnd.Uint64N(40))
			}
			want := !taken[n] && (len(taken) == 0 || n+windowSize > newest)
			if got := w.take(n); got != want {
				t.Fatalf("seed %d, step %d: take(%d) = %v with newest %d", seed, i, n, got, newest)
			}
			if want {
				taken[n] = true
				newest = max(newest, n)
			}
		}
	}
}

func TestSealingDoesNotAllocate(t *testing.T) {
	s, o := mustSealer(t, 7, 3)
	h := wire.Header{Kind: wire.KindVideo, Stream: 7, Incarnation: 3, Ext: wire.AppendExtension(nil, 1, []byte{2})}
	payload, buf, out := make([]byte, 1200), make([]byte, 0, wire.MaxPacket), make([]byte, 0, wire.MaxPacket)
	if n := testing.AllocsPerRun(1000, func() {
		h.Number++
		pkt, err := s.Seal(buf, &h, payload)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.Open(out, pkt, h.Size(), h.Number); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per packet", n)
	}
}

func TestRoomKeyIsNotPrinted(t *testing.T) {
	k := PublicRoomKey(testRoom)
	for _, s := range []string{fmt.Sprint(k), fmt.Sprintf("%+v %#v %s", k, k, k)} {
		if strings.Contains(s, fmt.Sprint(k.Key[0])+" ") || strings.Contains(s, fmt.Sprintf("%x", k.Key[:2])) {
			t.Errorf("printed as %s", s)
		}
	}
}

func FuzzOpen(f *testing.F) {
	s, o := mustSealer(f, 7, 3)
	h := wire.Header{Kind: wire.KindAudio, Stream: 7, Incarnation: 3, Number: 5}
	good, err := s.Seal(nil, &h, []byte("payload"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := wire.ParseHeader(b)
		if err != nil {
			return
		}
		if _, err := o.Open(nil, b, n, h.Number); err == nil && !bytes.Equal(b, good) {
			t.Fatal("a forged packet opens")
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	s, _ := mustSealer(b, 7, 3)
	h := wire.Header{Kind: wire.KindVideo, Stream: 7, Incarnation: 3}
	payload, buf := make([]byte, 1200), make([]byte, 0, wire.MaxPacket)
	b.SetBytes(1200)
	for b.Loop() {
		h.Number++
		if _, err := s.Seal(buf, &h, payload); err != nil {
			b.Fatal(err)
		}
	}
}
