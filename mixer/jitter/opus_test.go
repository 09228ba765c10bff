package jitter

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/castd/castd/mixer/opus"
)

var _ Decoder = (*opus.Decoder)(nil)

// speech is a voice that speaks four syllables a second.
func speech() func(int64) float64 {
	return second(func(t float64) float64 {
		loud := 0.05 + 0.95*(0.5+0.5*math.Sin(2*math.Pi*4*t))
		phase := 2*math.Pi*120*t + 8*math.Sin(2*math.Pi*t) + 5*math.Sin(2*math.Pi*3*t)
		sum := 0.0
		for k := 1.0; k <= 20; k++ {
			sum += math.Sin(k*phase+k*k) / math.Sqrt(k) * (1 + math.Cos(2*math.Pi*(k/8+2*t)))
		}
		return 0.06 * loud * sum
	})
}

// encoded returns what an encoder makes of so many frames of 20 ms.
func encoded(t *testing.T, c opus.EncoderConfig, frames int, wave func(int64) float64) [][]byte {
	t.Helper()
	e, err := opus.NewEncoder(c)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	pcm, out := make([]float32, 960*c.Channels), make([]byte, 1500)
	packets := make([][]byte, frames)
	for i := range packets {
		for j := range pcm {
			pcm[j] = float32(wave(int64(i*960 + j/c.Channels)))
		}
		n, err := e.Encode(pcm, out)
		if err != nil {
			t.Fatal(err)
		}
		packets[i] = append([]byte(nil), out[:n]...)
	}
	return packets
}

// TestOpusLoss loses packets of a real encoder, which puts no copy of weak sound into the next packet. Wherever there is a copy it
// is to be played.
func TestOpusLoss(t *testing.T) {
	frames := 3000
	if testing.Short() {
		frames = 600
	}
	packets := encoded(t, opus.EncoderConfig{Channels: 1, Bitrate: 32000, Complexity: 4, FEC: true, Loss: 15}, frames, speech())
	for _, share := range []float64{0, 0.05, 0.10, 0.20} {
		d, err := opus.NewDecoder(1)
		if err != nil {
			t.Fatal(err)
		}
		b := New(DefaultConfig(), d)
		r := rand.New(rand.NewPCG(3, 3))
		now := epoch
		pcm := make([]float32, 960)
		lost := make([]bool, frames)
		copies, most := 0, 0.0
		for i, p := range packets {
			lost[i] = i >= 300 && r.Float64() < share
			if !lost[i] {
				b.Push(Packet{Arrival: now, Sequence: uint16(i), Timestamp: uint32(i) * 960, Payload: p})
			}
			if i > 0 && lost[i-1] && !lost[i] {
				if toc, err := parseTOC(p); err != nil {
					t.Fatal(err)
				} else if toc.fec {
					copies++
				}
			}
			b.Pull(now.Add(3*ms), pcm)
			for _, x := range pcm {
				most = max(most, math.Abs(float64(x)))
			}
			now = now.Add(20 * ms)
		}
		d.Close()
		s := b.Stats()
		t.Logf("%2.0f %% lost: of %d packets %d with a copy, %d repaired, concealed %.2f %%, at most %.2f",
			100*share, s.PacketsLost, copies, s.RepairedByFEC, 100*float64(s.ConcealedSamples)/float64(s.TotalSamplesReceived), most)
		// The first losses find the buffer without the delay that copies need.
		if missed := copies - int(s.RepairedByFEC); missed > 5 || s.DecodeErrors > 0 || most > 1 {
			t.Errorf("%.0f %%: %d copies, %+v", 100*share, copies, s)
		}
		if want := (s.PacketsLost - int64(s.RepairedByFEC) + 5) * 960; int64(s.ConcealedSamples) > want {
			t.Errorf("%.0f %%: %d samples concealed instead of %d", 100*share, s.ConcealedSamples, want)
		}
	}
}

// TestOpusDTX leaves out what an encoder says need not be sent.
func TestOpusDTX(t *testing.T) {
	talk := speech()
	packets := encoded(t, opus.EncoderConfig{Channels: 1, Bitrate: 24000, Complexity: 4, DTX: true}, 600, func(at int64) float64 {
		if at < 200*960 || at > 500*960 {
			return talk(at)
		}
		return 0
	})
	d, err := opus.NewDecoder(1)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	b := New(DefaultConfig(), d)
	now := epoch
	pcm := make([]float32, 960)
	kinds := make(map[Kind]int)
	var seq uint16
	sent, small := 0, 0
	for i, p := range packets {
		if len(p) <= 2 {
			small++
		}
		if len(p) > 2 || small%20 == 1 {
			b.Push(Packet{Arrival: now, Sequence: seq, Timestamp: uint32(i) * 960, Payload: p})
			seq++
			sent++
		}
		if len(p) > 2 {
			small = 0
		}
		kinds[b.Pull(now, pcm).Kind]++
		now = now.Add(20 * ms)
	}
	s := b.Stats()
	t.Logf("%d of %d packets sent, frames by kind %v", sent, len(packets), kinds)
	if sent > 420 || kinds[Noise] < 150 || s.ConcealedSamples > 0 || s.DecodeErrors > 0 || s.PacketsDiscarded > 0 {
		t.Errorf("%d sent, %v, %+v", sent, kinds, s)
	}
}
