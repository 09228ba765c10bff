package mixer

import (
	"math/rand"
	"testing"
)

// FuzzMixer: whatever participants do and in whatever order, nothing panics, every listener gets exactly one packet a tick, no more are
// decoded than may talk, and no Spec costs more encodes than there may be talkers and one.
func FuzzMixer(f *testing.F) {
	f.Add([]byte{0, 1, 0, 2, 0, 3, 9, 0, 10, 9, 9, 9, 9})
	f.Add([]byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"))
	f.Add([]byte{0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 8, 200, 9, 30, 3, 18, 9, 30, 4, 33, 9, 30, 5, 7, 6, 40, 9, 90, 9, 200, 1, 1, 9, 30})
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) <= 400 {
			drive(t, ops)
		}
	})
}

// TestAnything does the same with what chance brings.
func TestAnything(t *testing.T) {
	seeds := int64(60)
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		rng := rand.New(rand.NewSource(seed))
		ops := make([]byte, 200+rng.Intn(200))
		for i := range ops {
			ops[i] = byte(rng.Intn(256))
		}
		drive(t, ops)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// drive takes two octets for each thing that is done: what, and with whom or how much.
func drive(t *testing.T, ops []byte) {
	t.Helper()
	mono, stereo := make([]float32, FrameSamples), make([]float32, 2*FrameSamples)
	for i := range mono {
		mono[i], stereo[2*i], stereo[2*i+1] = float32(i%7)/3, float32(i%5)/9, -float32(i%3)
	}
	tp := &tape{lowest: 10}
	m, err := New(Config{Encoders: tp.encoder, Talkers: 2})
	if err != nil {
		t.Fatal(err)
	}
	levels, tick, number := map[ID]uint8{}, uint64(0), uint64(0)
	for i := 0; i+1 < len(ops); i += 2 {
		x := ops[i+1]
		id, value := ID(x%8), x/8
		switch ops[i] % 10 {
		case 0:
			m.AddInput(id)
			m.AddListener(id, int(value%3), 32000)
			levels[id] = 20
		case 1:
			m.RemoveInput(id)
		case 2:
			m.RemoveListener(id)
		case 3:
			m.Wish(id, ID(value%8), float32(value%5)/2)
		case 4:
			m.WishPlace(id, ID(value%8), float32(value%5)-2)
		case 5:
			m.Adjust(id, float32(value), float32(value%3)-1)
			m.Pin(id, value%2 == 0)
		case 6:
			m.Loss(id, float64(value))
		case 7:
			m.Mute(id, value%2 == 0)
			m.Load(float64(value) / 20)
		case 8:
			levels[id] = value * 4
		case 9:
			for range x/4 + 1 {
				tick++
				for id := range ID(8) {
					if l, ok := levels[id]; ok {
						m.Heard(id, Header{Level: l, Known: l != 40, Passable: ops[0]%2 == 0})
					}
				}
				decodes := 0
				for _, w := range m.Select(tick) {
					switch {
					case !w.Decode:
						continue
					case w.ID%3 == 0:
						m.Feed(w.ID, stereo, 2, 0)
					default:
						m.Feed(w.ID, mono, 1, 0)
					}
					decodes++
				}
				out := m.Mix()
				if decodes > 2 {
					t.Fatalf("%d decodes", decodes)
				}
				if out.Parked {
					continue
				}
				if number++; out.Number != number || out.Timestamp != uint32(tick*FrameSamples) {
					t.Fatalf("number %d and timestamp %d at tick %d", out.Number, out.Timestamp, tick)
				}
				heard := map[ID]int{}
				for _, p := range out.Packets {
					for _, id := range p.Listeners {
						heard[id]++
					}
				}
				for _, id := range out.Forwarded {
					heard[id]++
				}
				lanes := map[Spec]int{}
				for _, l := range m.lanes {
					if l.key.listener == 0 {
						lanes[l.key.spec]++
					}
					if p := peak(l.pcm[:l.key.spec.Channels*FrameSamples]); !(p <= ceiling) {
						t.Fatalf("peak of %g", p)
					}
				}
				for _, l := range m.listeners {
					if heard[l.id] != 1 {
						t.Fatalf("tick %d: listener %d gets %d packets", tick, l.id, heard[l.id])
					}
				}
				for spec, n := range lanes {
					if n > 3 {
						t.Fatalf("tick %d: %d encodes for %+v", tick, n, spec)
					}
				}
			}
		}
	}
	m.Close()
	if tp.open != 0 {
		t.Fatalf("%d encoders are still open", tp.open)
	}
}
