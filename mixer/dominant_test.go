package mixer

import (
	"math/rand"
	"slices"
	"testing"
)

// speech is a level pattern like speech: syllables of about 200 ms with short gaps, 20 to 35 dB above the noise.
func speech(rng *rand.Rand, tick int) int {
	if tick%12 < 3 {
		return 50 + rng.Intn(10)
	}
	return 88 + rng.Intn(15)
}

func noise(rng *rand.Rand) int { return 35 + rng.Intn(8) }

func TestDominant(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	d := dominance{scores: newScores(), recent: make([]ID, 0, recencyList+1)}
	var inputs []*input
	for i := ID(1); i <= 20; i++ {
		inputs = append(inputs, &input{id: i})
	}
	tick, changes := 0, 0
	run := func(ticks int, speakers ...ID) (first int) {
		for n := range ticks {
			tick++
			for _, in := range inputs {
				if slices.Contains(speakers, in.id) {
					in.speaking.observe(speech(rng, tick+3*int(in.id)))
				} else {
					in.speaking.observe(noise(rng))
				}
			}
			if tick%decideTicks == 0 && d.decide(inputs) {
				changes++
				if first == 0 {
					first = n + 1
				}
			}
		}
		return first
	}
	at := func() ID {
		if len(d.recent) == 0 {
			return 0
		}
		return d.recent[0]
	}
	run(100)
	if at() != 0 {
		t.Fatalf("%d is dominant in silence", at())
	}
	if first := run(100, 3); at() != 3 || first > 50 {
		t.Fatalf("dominant %d after %d ticks, 3 speaks", at(), first)
	}
	changes = 0
	// A cough and a door.
	run(8, 3, 5)
	run(100, 3)
	run(4, 7)
	run(100, 3)
	if at() != 3 || changes != 0 {
		t.Errorf("dominant %d after a cough, %d changes", at(), changes)
	}
	if first := run(150, 4); at() != 4 || first > 75 {
		t.Errorf("dominant %d after %d ticks, 4 speaks", at(), first)
	}
	changes = 0
	run(500, 4, 6) // two at once: whoever has it keeps it, mostly
	if changes > 4 {
		t.Errorf("%d changes in 10 s with two speakers", changes)
	}
	for i := ID(1); i <= 20; i++ {
		run(150, i)
	}
	if len(d.recent) != recencyList || d.recent[0] != 20 || d.recent[9] != 11 {
		t.Errorf("recent %v", d.recent)
	}
	d.forget(15)
	if slices.Contains(d.recent, 15) {
		t.Errorf("recent %v", d.recent)
	}
}
