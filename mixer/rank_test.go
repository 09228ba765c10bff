package mixer

import (
	"fmt"
	"testing"
)

// heard are the IDs that have a slot and keep it.
func (r *room) heardNow() string {
	s := ""
	for _, in := range r.m.inputs {
		if in.slot != nil && !in.slot.leaving {
			s += fmt.Sprint(in.id, " ")
		}
	}
	return s
}

func TestLoudest(t *testing.T) {
	r := newRoom(t, Config{Talkers: 2, MaxGain: -1})
	r.join(1, 2, 3, 4)
	r.sources[1], r.sources[2], r.sources[3] = tone(450, 0.01), tone(450, 0.1), tone(450, 0.05)
	r.run(20)
	if got := r.heardNow(); got != "2 3 " {
		t.Errorf("heard: %s", got)
	}
	// Somebody who is hardly louder does not take a place, somebody who is much louder does.
	r.sources[1] = tone(450, 0.055)
	r.run(20)
	if got := r.heardNow(); got != "2 3 " {
		t.Errorf("heard: %s", got)
	}
	r.sources[1] = tone(450, 0.09)
	r.run(20)
	if got := r.heardNow(); got != "1 2 " {
		t.Errorf("heard: %s", got)
	}
	// The pinned come first, while they talk.
	r.m.Pin(3, true)
	r.m.Pin(4, true)
	r.run(5)
	if got := r.heardNow(); got != "2 3 " && got != "1 3 " {
		t.Errorf("heard: %s", got)
	}
	r.sources[3] = during(0, 0, nil)
	r.run(hangover + 5)
	if got := r.heardNow(); got != "1 2 " {
		t.Errorf("heard: %s", got)
	}
}

// Who pauses keeps his place for 400 ms; a lost packet changes nothing.
func TestHangover(t *testing.T) {
	r := newRoom(t, plain)
	r.join(1, 2)
	talk := during(0, 51, tone(450, 0.1))
	r.sources[1] = func(tick uint64) []float32 {
		if tick%10 < 3 && tick > 5 {
			return nil
		}
		return talk(tick)
	}
	r.sources[2] = tone(600, 0.1)
	for range 50 + hangover {
		r.step()
		if r.heardNow() != "1 2 " {
			t.Fatalf("tick %d: heard %s", r.tick, r.heardNow())
		}
	}
	r.run(5) // a packet that is lost may have been loud
	if r.heardNow() != "2 " {
		t.Errorf("heard %s after the hangover", r.heardNow())
	}
}

// A noisy line is not taken for speech for long, and the silent are not decoded.
func TestNoiseFloor(t *testing.T) {
	r := newRoom(t, plain)
	r.join(1, 2, 3)
	r.sources[1], r.sources[2], r.sources[3] = tone(450, 0.1), tone(600, 0.002), during(0, 0, nil)
	r.run(30)
	if r.heardNow() != "1 2 " {
		t.Errorf("heard %s at first", r.heardNow())
	}
	r.run(30 * ticksPerSecond)
	if r.heardNow() != "1 " {
		t.Errorf("heard %s when the floor is known", r.heardNow())
	}
}

// Who claims to be louder than he is does not keep others out.
func TestLiar(t *testing.T) {
	r := newRoom(t, Config{Talkers: 1, MaxGain: -1})
	r.join(1, 2)
	r.level = func(id ID, level uint8) uint8 {
		if id == 1 {
			return 0
		}
		return level
	}
	r.sources[1], r.sources[2] = tone(450, 0.003), tone(600, 0.1)
	r.run(50)
	if r.heardNow() != "2 " {
		t.Errorf("heard %s", r.heardNow())
	}
}

// What is played is what came as long ago as the jitter buffer delays it. With whatever delay, a talker is heard from his first frame to
// his last, and is not taken for one who claims too much.
func TestDelayed(t *testing.T) {
	for _, delay := range []uint64{0, 4, 15, 40} {
		for _, levels := range []bool{true, false} {
			m, err := New(Config{Encoders: (&tape{lowest: 10}).encoder})
			if err != nil {
				t.Fatal(err)
			}
			m.AddInput(1)
			loud, silence := tone(450, 0.1), make([]float32, FrameSamples)
			talks := func(tick uint64) bool { return tick%75 >= 25 && tick%75 < 50 } // half a second in one and a half
			missed := 0
			for tick := uint64(1); tick < 1000; tick++ {
				if talks(tick) {
					m.Heard(1, Header{Level: 23, Known: levels})
				} else if levels {
					m.Heard(1, Header{Level: 127, Known: true})
				} // else he sends nothing while he is silent (DTX)
				wants := m.Select(tick)
				playing := tick > delay && talks(tick-delay)
				if levels && tick > delay {
					level := uint8(127)
					if playing {
						level = 23
					}
					m.Playing(1, level)
				}
				pcm := silence
				if playing {
					pcm = loud(tick)
				}
				if len(wants) > 0 {
					m.Feed(1, pcm, 1, 0)
				} else if playing && (levels || delay <= hangover) {
					missed++
				}
				m.Mix()
			}
			if missed > 0 {
				t.Errorf("delay of %d ticks, levels %v: %d frames of talk were not decoded", delay, levels, missed)
			}
			if m.input(1).trust < -1 {
				t.Errorf("delay of %d ticks, levels %v: he is trusted by %.1f dB", delay, levels, m.input(1).trust)
			}
		}
	}
}

// Who claimed too much is tried again.
func TestTrustAgain(t *testing.T) {
	r := newRoom(t, Config{Talkers: 1, MaxGain: -1})
	r.join(1, 2)
	lies := true
	r.level = func(id ID, level uint8) uint8 {
		if id == 1 && lies {
			return 0
		}
		return level
	}
	r.sources[1], r.sources[2] = tone(450, 0.0001), during(0, 100, tone(600, 0.1))
	r.run(100)
	lies = false
	r.sources[1] = tone(450, 0.1)
	r.run(120 * ticksPerSecond)
	if r.heardNow() != "1 " {
		t.Errorf("heard %s two minutes after his last lie", r.heardNow())
	}
}

// Packets without a level are taken for speech until they have been decoded.
func TestWithoutLevels(t *testing.T) {
	m, err := New(Config{Encoders: (&tape{lowest: 10}).encoder})
	if err != nil {
		t.Fatal(err)
	}
	m.AddInput(1)
	m.AddInput(2)
	loud, quiet := tone(450, 0.1), during(0, 0, nil)
	for tick := uint64(1); tick < 100; tick++ {
		m.Heard(1, Header{})
		m.Heard(2, Header{})
		for _, w := range m.Select(tick) {
			pcm := loud(tick)
			if w.ID == 2 {
				pcm = quiet(tick)
			}
			m.Feed(w.ID, pcm, 1, 0)
		}
		m.Mix()
	}
	if m.input(1).slot == nil {
		t.Error("the one who talks is not heard")
	}
}
