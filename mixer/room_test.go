package mixer

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"
)

// tape is a codec that loses nothing: packets hold the number of a frame that it keeps.
type tape struct {
	frames  [][]float32
	encodes map[uint64]int // by tick
	tick    uint64
	most    int // encodes in a tick
	open    int
	lowest  int // complexity
	keep    bool
}

type tapeEncoder struct {
	t     *tape
	spec  Spec
	since int // frames since the last Reset
}

func (t *tape) encoder(spec Spec) (Encoder, error) {
	t.open++
	return &tapeEncoder{t: t, spec: spec}, nil
}

func (e *tapeEncoder) Encode(pcm []float32, out []byte) (int, error) {
	e.since++
	if !e.t.keep {
		return binary.PutUvarint(out, 7), nil
	}
	e.t.frames = append(e.t.frames, append([]float32(nil), pcm...))
	return binary.PutUvarint(out, uint64(len(e.t.frames))), nil
}

func (e *tapeEncoder) SetComplexity(c int) error { e.t.lowest = min(e.t.lowest, c); return nil }
func (e *tapeEncoder) Reset() error              { e.since = 0; return nil }
func (e *tapeEncoder) Close()                    { e.t.open-- }

// decode is the frame of a packet.
func (t *tape) decode(payload []byte) []float32 {
	n, _ := binary.Uvarint(payload)
	return t.frames[n-1]
}

// source is what a participant sends: a frame for each tick, or nil for nothing.
type source func(tick uint64) []float32

// room drives a mixer with participants whose sound is known.
type room struct {
	t        testing.TB
	m        *Mixer
	tape     *tape
	tick     uint64
	sources  map[ID]source
	channels map[ID]int
	passable bool
	level    func(id ID, truth uint8) uint8 // a liar's
	got      map[ID][]float32               // what every listener heard, in his own channels
	wants    []Want
	out      Output
	deaf     bool // got is left empty
	decoded  int  // inputs decoded in the last tick
	heard    string
	changed  uint64 // tick on which others were heard than before, or somebody began or stopped
}

func newRoom(t testing.TB, cfg Config) *room {
	t.Helper()
	r := &room{t: t, tape: &tape{lowest: 10, keep: true}, sources: map[ID]source{}, channels: map[ID]int{}, got: map[ID][]float32{}}
	cfg.Encoders = r.tape.encoder
	m, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.m = m
	return r
}

// join adds participants who send and listen in mono.
func (r *room) join(ids ...ID) {
	for _, id := range ids {
		r.m.AddInput(id)
		r.m.AddListener(id, 1, 32000)
	}
}

// step is one tick. It checks what must hold in every one.
func (r *room) step() {
	r.t.Helper()
	r.tick++
	frames, levels := map[ID][]float32{}, map[ID]uint8{}
	for id, s := range r.sources {
		pcm := s(r.tick)
		if pcm == nil {
			continue
		}
		frames[id] = pcm
		level := volume(decibels(power(pcm)))
		if r.level != nil {
			level = r.level(id, level)
		}
		levels[id] = level
		r.m.Heard(id, Header{Level: level, Known: true, Passable: r.passable})
	}
	before := r.m.Stats().Encodes
	r.wants = r.m.Select(r.tick)
	for id, level := range levels {
		r.m.Playing(id, level)
	}
	r.decoded = 0
	for _, w := range r.wants {
		if w.Decode {
			r.decoded++
			pcm := frames[w.ID]
			channels := max(1, r.channels[w.ID])
			if pcm == nil {
				pcm = make([]float32, FrameSamples*channels)
			}
			r.m.Feed(w.ID, pcm, channels, uint32(r.tick)*FrameSamples)
		}
	}
	r.out = r.m.Mix()
	r.tape.most = max(r.tape.most, int(r.m.Stats().Encodes-before))
	if r.decoded > r.m.cfg.Talkers {
		r.t.Fatalf("tick %d: %d inputs decoded", r.tick, r.decoded)
	}
	now := fmt.Sprint(r.m.parked)
	for _, s := range r.m.slots {
		if s.in != nil {
			now += fmt.Sprint(s.in.id, s.in.activity.active, s.leaving)
		}
	}
	if now != r.heard {
		r.heard, r.changed = now, r.tick
	}
	heard := map[ID]int{}
	for _, p := range r.out.Packets {
		for _, id := range p.Listeners {
			heard[id]++
			if !r.deaf {
				r.got[id] = append(r.got[id], r.tape.decode(p.Payload)...)
			}
		}
	}
	for _, id := range r.out.Forwarded {
		heard[id]++
		pcm := frames[r.out.Forward]
		if pcm == nil {
			pcm = make([]float32, FrameSamples)
		}
		r.got[id] = append(r.got[id], pcm...)
	}
	for _, l := range r.m.listeners {
		if n := heard[l.id]; n != 1 && !r.out.Parked {
			r.t.Fatalf("tick %d: listener %d gets %d packets", r.tick, l.id, n)
		}
	}
}

func (r *room) run(ticks int) {
	r.t.Helper()
	for range ticks {
		r.step()
	}
}

// last is what a listener heard in the last ticks.
func (r *room) last(id ID, ticks int) []float32 {
	r.t.Helper()
	got, n := r.got[id], ticks*FrameSamples
	if len(got) < n {
		r.t.Fatalf("listener %d heard %d samples", id, len(got))
	}
	return got[len(got)-n:]
}

// tone is a sine of an amplitude, for as long as the room lasts.
func tone(frequency, amplitude float64) source {
	return func(tick uint64) []float32 {
		pcm := make([]float32, FrameSamples)
		for i := range pcm {
			n := float64(tick)*FrameSamples + float64(i)
			pcm[i] = float32(amplitude * math.Sin(2*math.Pi*frequency*n/sampleRate))
		}
		return pcm
	}
}

// during plays a source from one tick up to another, and silence else.
func during(from, to uint64, s source) source {
	return func(tick uint64) []float32 {
		if tick >= from && tick < to {
			return s(tick)
		}
		return make([]float32, FrameSamples)
	}
}

// amplitude of a frequency (Goertzel).
func amplitude(pcm []float32, frequency float64) float64 {
	c := 2 * math.Cos(2*math.Pi*frequency/sampleRate)
	var s1, s2 float64
	for _, x := range pcm {
		s1, s2 = float64(x)+c*s1-s2, s1
	}
	return 2 * math.Sqrt(max(0, s1*s1+s2*s2-c*s1*s2)) / float64(len(pcm))
}

// below is how much one amplitude is below another, in dB.
func below(a, b float64) float64 { return 20 * math.Log10(max(a, 1e-12)/b) }

// plain keeps loudness normalisation out of a test.
var plain = Config{MaxGain: -1}
