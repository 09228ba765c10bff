package mixer_test

import (
	"math"
	"testing"

	"github.com/castd/castd/mixer"
	"github.com/castd/castd/mixer/jitter"
	"github.com/castd/castd/mixer/opus"
)

// What mixer and mixer/jitter ask for, mixer/opus has.
var (
	_ mixer.Encoder  = (*opus.Encoder)(nil)
	_ jitter.Decoder = (*opus.Decoder)(nil)
)

// encoders makes encoders for calls, as the owner of a mixer does.
func encoders(s mixer.Spec) (mixer.Encoder, error) {
	return opus.NewEncoder(opus.EncoderConfig{Channels: s.Channels, Bitrate: s.Bitrate, Complexity: 4, FEC: s.Loss > 0, Loss: s.Loss})
}

// voice is a signal like speech: a gliding pulse train through two resonances, in syllables.
func voice(samples int, pitch float64) []float32 {
	pcm := make([]float32, samples)
	var a1, a2, b1, b2, phase float64
	r := math.Exp(-math.Pi * 100 / 48000)
	for i := range pcm {
		now := float64(i) / 48000
		x := 0.0
		if phase += pitch * (1 + 0.1*math.Sin(2*math.Pi*now)) / 48000; phase >= 1 {
			phase--
			x = 1
		}
		f := 600 + 200*math.Sin(2*math.Pi*3*now)
		a := x + 2*r*math.Cos(2*math.Pi*f/48000)*a1 - r*r*a2
		a2, a1 = a1, a
		b := a + 2*r*math.Cos(2*math.Pi*1300/48000)*b1 - r*r*b2
		b2, b1 = b1, b
		pcm[i] = float32(b * 0.0008 * (1 + 0.8*math.Sin(2*math.Pi*4*now)))
	}
	return pcm
}

func packets(t testing.TB, pcm []float32) [][]byte {
	t.Helper()
	enc, err := opus.NewEncoder(opus.EncoderConfig{Channels: 1, Bitrate: 32000, Complexity: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	var all [][]byte
	out := make([]byte, opus.MaxPacketBytes)
	for ; len(pcm) >= opus.FrameSamples; pcm = pcm[opus.FrameSamples:] {
		n, err := enc.Encode(pcm[:opus.FrameSamples], out)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, append([]byte(nil), out[:n]...))
	}
	return all
}

// A listener who moves to an encoder of his own and back hears no seam: what his decoder makes then is as near to that of somebody
// who stays as one encoder is to another. The second participant claims to talk but sends silence, so that both lanes carry the same.
func TestHandover(t *testing.T) {
	m, err := mixer.New(mixer.Config{Encoders: encoders, MaxGain: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	const ticks, claims = 150, 50
	pcm := voice(ticks*mixer.FrameSamples, 130)
	silence := make([]float32, mixer.FrameSamples)
	for id := mixer.ID(1); id <= 3; id++ {
		m.AddInput(id)
		m.AddListener(id, 1, 32000)
	}
	heard := map[mixer.ID][]float32{}
	decoders := map[mixer.ID]*opus.Decoder{}
	for id := mixer.ID(2); id <= 3; id++ {
		if decoders[id], err = opus.NewDecoder(1); err != nil {
			t.Fatal(err)
		}
		defer decoders[id].Close()
	}
	lanes := map[int]int{}
	for tick := range ticks {
		m.Heard(1, mixer.Header{Level: 25, Known: true})
		claim := uint8(127)
		if tick >= claims && tick < claims+20 {
			claim = 20
		}
		m.Heard(2, mixer.Header{Level: claim, Known: true})
		for _, w := range m.Select(uint64(tick + 1)) {
			frame := pcm[tick*mixer.FrameSamples:][:mixer.FrameSamples]
			if w.ID == 2 {
				frame = silence
			}
			m.Feed(w.ID, frame, 1, 0)
		}
		out := m.Mix()
		lanes[len(out.Packets)]++
		for _, p := range out.Packets {
			for _, id := range p.Listeners {
				if d := decoders[id]; d != nil {
					frame := make([]float32, mixer.FrameSamples)
					if _, err := d.Decode(p.Payload, frame); err != nil {
						t.Fatal(err)
					}
					heard[id] = append(heard[id], frame...)
				}
			}
		}
	}
	if lanes[3] == 0 || lanes[2] < 60 {
		t.Fatalf("packets by tick: %v", lanes)
	}
	worst, moved := math.Inf(-1), 0.0
	for tick := 5; tick < ticks; tick++ {
		var off, all float64
		for i := tick * mixer.FrameSamples; i < (tick+1)*mixer.FrameSamples; i++ {
			off += math.Pow(float64(heard[2][i]-heard[3][i]), 2)
			all += math.Pow(float64(heard[3][i]), 2)
		}
		d := 10 * math.Log10((off+1e-9)/(all+1e-9))
		worst = max(worst, d)
		if tick == claims {
			moved = d
		}
	}
	// An encoder that begins with the frame itself, without the last ones, makes -4 dB of it.
	t.Logf("who moves hears %.1f dB of difference in the frame in which he moves, and at most %.1f dB later", moved, worst)
	if moved > -15 || worst > -9 {
		t.Errorf("differences of %.1f and %.1f dB", moved, worst)
	}
}

// Five participants, each with a tone of his own, through the codec both ways: everybody hears all others at their level, and himself at least
// 50 dB below. The bitrate is high enough for the codec's own noise to be below that.
func TestTonesThroughCodec(t *testing.T) {
	const n, ticks, amplitude = 5, 130, 0.05
	m, err := mixer.New(mixer.Config{Encoders: encoders, Talkers: n, MaxGain: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	frequency := func(id mixer.ID) float64 { return []float64{0, 311, 457, 733, 1093, 1361}[id] }
	var sent [n + 1][][]byte
	var in, out [n + 1]*opus.Decoder
	var heard [n + 1][]float32
	for id := mixer.ID(1); id <= n; id++ {
		pcm := make([]float32, ticks*mixer.FrameSamples)
		for i := range pcm {
			pcm[i] = float32(amplitude * math.Sin(2*math.Pi*frequency(id)*float64(i)/48000))
		}
		sent[id] = packets(t, pcm)
		for _, d := range []**opus.Decoder{&in[id], &out[id]} {
			if *d, err = opus.NewDecoder(1); err != nil {
				t.Fatal(err)
			}
			defer (*d).Close()
		}
		m.AddInput(id)
		m.AddListener(id, 1, 128000)
	}
	frame := make([]float32, mixer.FrameSamples)
	for tick := range ticks {
		for id := mixer.ID(1); id <= n; id++ {
			m.Heard(id, mixer.Header{Level: 29, Known: true})
		}
		for _, w := range m.Select(uint64(tick + 1)) {
			if _, err := in[w.ID].Decode(sent[w.ID][tick], frame); err != nil {
				t.Fatal(err)
			}
			m.Feed(w.ID, frame, 1, 0)
		}
		for _, p := range m.Mix().Packets {
			for _, id := range p.Listeners {
				if _, err := out[id].Decode(p.Payload, frame); err != nil {
					t.Fatal(err)
				}
				heard[id] = append(heard[id], frame...)
			}
		}
	}
	worst := math.Inf(-1)
	for id := mixer.ID(1); id <= n; id++ {
		settled := heard[id][len(heard[id])-2*48000:]
		for other := mixer.ID(1); other <= n; other++ {
			level := 20 * math.Log10(goertzel(settled, frequency(other))/amplitude)
			if other == id {
				worst = max(worst, level)
			} else if math.Abs(level) > 2 {
				t.Errorf("%d hears %d at %.1f dB", id, other, level)
			}
		}
	}
	t.Logf("one's own tone: at most %.1f dB", worst)
	if worst > -50 {
		t.Errorf("somebody hears himself at %.1f dB", worst)
	}
}

// goertzel is the amplitude of a frequency.
func goertzel(pcm []float32, frequency float64) float64 {
	c := 2 * math.Cos(2*math.Pi*frequency/48000)
	var s1, s2 float64
	for _, x := range pcm {
		s1, s2 = float64(x)+c*s1-s2, s1
	}
	return 2 * math.Sqrt(max(0, s1*s1+s2*s2-c*s1*s2)) / float64(len(pcm))
}
