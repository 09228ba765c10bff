package opus

import (
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
)

// voiced is a signal like a vowel: a pulse train of the given pitch through two formants, with a syllable's rise and fall.
func voiced(n int, pitch float64) []float32 {
	pcm := make([]float32, n)
	var a1, a2, b1, b2 float64
	for i := range pcm {
		x := 0.0
		if math.Mod(float64(i), SampleRate/pitch) < 1 {
			x = 1
		}
		// Two resonators: 700 Hz and 1200 Hz, 100 Hz wide.
		r := math.Exp(-math.Pi * 100 / SampleRate)
		a := x + 2*r*math.Cos(2*math.Pi*700/SampleRate)*a1 - r*r*a2
		a2, a1 = a1, a
		b := a + 2*r*math.Cos(2*math.Pi*1200/SampleRate)*b1 - r*r*b2
		b2, b1 = b1, b
		pcm[i] = float32(b * 0.0004 * (1.2 + math.Sin(2*math.Pi*4*float64(i)/SampleRate)))
	}
	return pcm
}

// sine is a tone on every channel.
func sine(n, channels int, frequency, amplitude float64) []float32 {
	pcm := make([]float32, n*channels)
	for i := range pcm {
		pcm[i] = float32(amplitude * math.Sin(2*math.Pi*frequency*float64(i/channels)/SampleRate))
	}
	return pcm
}

// level is the amplitude of a frequency in one channel (Goertzel).
func level(pcm []float32, channels, channel int, frequency float64) float64 {
	c := 2 * math.Cos(2*math.Pi*frequency/SampleRate)
	var s1, s2 float64
	n := 0
	for i := channel; i < len(pcm); i += channels {
		s1, s2 = float64(pcm[i])+c*s1-s2, s1
		n++
	}
	return 2 * math.Sqrt(s1*s1+s2*s2-c*s1*s2) / float64(n)
}

// distance is the energy of the difference.
func distance(a, b []float32) float64 {
	d := 0.0
	for i := range a {
		d += float64(a[i]-b[i]) * float64(a[i]-b[i])
	}
	return d
}

func mustEncoder(t testing.TB, cfg EncoderConfig) *Encoder {
	t.Helper()
	e, err := NewEncoder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func mustDecoder(t testing.TB, channels int) *Decoder {
	t.Helper()
	d, err := NewDecoder(channels)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// packets encodes pcm in frames of 20 ms.
func packets(t testing.TB, e *Encoder, pcm []float32) [][]byte {
	t.Helper()
	var all [][]byte
	out := make([]byte, MaxPacketBytes)
	for size := FrameSamples * e.Channels(); len(pcm) >= size; pcm = pcm[size:] {
		n, err := e.Encode(pcm[:size], out)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, append([]byte(nil), out[:n]...))
	}
	return all
}

// decoded is what a decoder makes of packets.
func decoded(t testing.TB, d *Decoder, packets [][]byte) []float32 {
	t.Helper()
	var all []float32
	pcm := make([]float32, MaxPacketSamples*d.Channels())
	for _, p := range packets {
		n, err := d.Decode(p, pcm)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, pcm[:n*d.Channels()]...)
	}
	return all
}

func TestBackend(t *testing.T) {
	if got := Backend(); !strings.HasPrefix(got, "libopus ") || len(got) < len("libopus 1.0") {
		t.Errorf("backend %q", got)
	}
	t.Log(Backend())
}

func TestRoundTrip(t *testing.T) {
	for _, channels := range []int{1, 2} {
		for _, application := range []Application{VoIP, Audio, LowDelay} {
			e := mustEncoder(t, EncoderConfig{Channels: channels, Application: application, Bitrate: 64000 * channels, Complexity: 4})
			d := mustDecoder(t, channels)
			got := decoded(t, d, packets(t, e, sine(SampleRate, channels, 440, 0.3)))
			if len(got) != SampleRate*channels {
				t.Fatalf("%d channels, application %d: %d values", channels, application, len(got))
			}
			for c := range channels {
				if a := level(got[len(got)/2:], channels, c, 440); math.Abs(20*math.Log10(a/0.3)) > 1 {
					t.Errorf("%d channels, application %d: amplitude %.3f in channel %d, sent 0.3", channels, application, a, c)
				}
			}
		}
	}
}

func TestFrameLengths(t *testing.T) {
	e, d := mustEncoder(t, EncoderConfig{Channels: 1, Bitrate: 32000}), mustDecoder(t, 1)
	out, pcm := make([]byte, MaxPacketBytes), make([]float32, MaxPacketSamples)
	for _, n := range []int{120, 240, 480, 960, 1920, 2880} {
		size, err := e.Encode(make([]float32, n), out)
		if err != nil {
			t.Fatalf("frame of %d: %v", n, err)
		}
		if got, err := d.Decode(out[:size], pcm); err != nil || got != n {
			t.Errorf("frame of %d decodes to %d, %v", n, got, err)
		}
	}
}

// A lost packet that its successor repairs is nearer to the truth than one that is concealed.
func TestFEC(t *testing.T) {
	pcm := voiced(4*SampleRate, 120)
	e := mustEncoder(t, EncoderConfig{Channels: 1, Bitrate: 32000, Complexity: 4, FEC: true, Loss: 20})
	sent := packets(t, e, pcm)
	want := decoded(t, mustDecoder(t, 1), sent)
	repaired, concealed := mustDecoder(t, 1), mustDecoder(t, 1)
	a, b := make([]float32, FrameSamples), make([]float32, FrameSamples)
	var far, near float64
	for i := 0; i < len(sent)-1; i++ {
		truth := want[i*FrameSamples : (i+1)*FrameSamples]
		if i%10 == 9 {
			if n, err := repaired.DecodeFEC(sent[i+1], a); err != nil || n != FrameSamples {
				t.Fatal(n, err)
			}
			if n, err := concealed.Conceal(b); err != nil || n != FrameSamples {
				t.Fatal(n, err)
			}
			near += distance(a, truth)
			far += distance(b, truth)
			continue
		}
		for _, d := range []*Decoder{repaired, concealed} {
			if _, err := d.Decode(sent[i], a); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("distance of repaired frames %.3f, of concealed %.3f", near, far)
	if near > far/2 {
		t.Errorf("repaired frames are off by %.3f, concealed ones by %.3f", near, far)
	}
}

func TestDTX(t *testing.T) {
	e := mustEncoder(t, EncoderConfig{Channels: 1, Bitrate: 32000, DTX: true})
	sent := packets(t, e, append(voiced(SampleRate, 120), make([]float32, 2*SampleRate)...))
	small := 0
	for _, p := range sent[50:] {
		if len(p) <= 2 {
			small++
		}
	}
	if small < 70 {
		t.Errorf("%d of 100 packets of silence need not be sent", small)
	}
	if got := decoded(t, mustDecoder(t, 1), sent); len(got) != 3*SampleRate {
		t.Errorf("%d samples", len(got))
	}
}

func TestResetDecoder(t *testing.T) {
	for _, channels := range []int{1, 2} {
		for _, before := range []Application{VoIP, Audio, LowDelay} {
			for _, after := range []Application{VoIP, LowDelay} {
				old := mustEncoder(t, EncoderConfig{Channels: channels, Application: before, Bitrate: 24000})
				next := mustEncoder(t, EncoderConfig{Channels: 1, Application: after, Bitrate: 24000})
				sent := packets(t, next, voiced(SampleRate/2, 200))
				want := decoded(t, mustDecoder(t, channels), sent)
				d := mustDecoder(t, channels)
				decoded(t, d, packets(t, old, sine(SampleRate/2, channels, 300, 0.5)))
				d.Reset()
				got := decoded(t, d, sent)
				const fade = 2 * quantum // of WebAssembly, see silence
				got, want = got[fade*channels:], want[fade*channels:]
				if off, all := distance(got, want), distance(want, make([]float32, len(want))); off > all/1000 {
					t.Errorf("%d channels, %d after %d: off by %.6f of %.6f", channels, after, before, off, all)
				}
			}
		}
	}
}

// An encoder that was reset, or made after another had been closed, knows nothing of what was before.
func TestResetEncoder(t *testing.T) {
	cfg := EncoderConfig{Channels: 1, Bitrate: 32000, Complexity: 5}
	pcm := voiced(SampleRate/2, 150)
	want := packets(t, mustEncoder(t, cfg), pcm)
	e := mustEncoder(t, cfg)
	packets(t, e, sine(SampleRate/2, 1, 1000, 0.5))
	if err := e.Reset(); err != nil {
		t.Fatal(err)
	}
	again := packets(t, e, pcm)
	e.Close()
	other := packets(t, mustEncoder(t, cfg), pcm)
	for i := range want {
		if string(again[i]) != string(want[i]) || string(other[i]) != string(want[i]) {
			t.Fatalf("packet %d differs", i)
		}
	}
}

func TestMisuse(t *testing.T) {
	for _, cfg := range []EncoderConfig{
		{}, {Channels: 3}, {Channels: -1}, {Channels: 1, Application: 3}, {Channels: 1, Application: -1}, {Channels: 1, Bitrate: 100}, {Channels: 1, Bitrate: -1},
		{Channels: 1, Bitrate: 1e6}, {Channels: 1, Complexity: 11}, {Channels: 1, Complexity: -1}, {Channels: 1, Loss: 101}, {Channels: 1, Loss: -1},
	} {
		if e, err := NewEncoder(cfg); !errors.Is(err, ErrMisuse) || e != nil {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	for _, channels := range []int{0, 3} {
		if _, err := NewDecoder(channels); !errors.Is(err, ErrMisuse) {
			t.Errorf("%d channels: %v", channels, err)
		}
	}
	e, d := mustEncoder(t, EncoderConfig{Channels: 2, Bitrate: 64000}), mustDecoder(t, 2)
	out := make([]byte, MaxPacketBytes)
	for _, n := range []int{0, 1, 120, 959, 961, 962, 5760 * 2} {
		if _, err := e.Encode(make([]float32, n), out); !errors.Is(err, ErrMisuse) {
			t.Errorf("frame of %d values: %v", n, err)
		}
	}
	if _, err := e.Encode(make([]float32, 1920), nil); !errors.Is(err, ErrBuffer) {
		t.Errorf("no room: %v", err)
	}
	n, err := e.Encode(sine(FrameSamples, 2, 440, 0.3), out)
	if err != nil {
		t.Fatal(err)
	}
	pcm := make([]float32, 1920)
	tests := []struct {
		name string
		err  error
		want error
	}{
		{"no payload", second(d.Decode(nil, pcm)), ErrPacket},
		{"no payload for FEC", second(d.DecodeFEC(nil, pcm)), ErrPacket},
		{"no buffer", second(d.Decode(out[:n], nil)), ErrBuffer},
		{"short buffer", second(d.Decode(out[:n], pcm[:1918])), ErrBuffer},
		{"half a sample", second(d.Decode(out[:n], pcm[:1919])), ErrMisuse},
		{"garbage", second(d.Decode([]byte{0xff, 0xff, 0xff}, pcm)), ErrPacket},
		{"gap of 1 ms", second(d.Conceal(pcm[:96])), ErrMisuse},
		{"gap of 140 ms", second(d.Conceal(make([]float32, 2*48*140))), ErrMisuse},
		{"gap of 7 ms for FEC", second(d.DecodeFEC(out[:n], pcm[:2*48*7])), ErrMisuse},
	}
	for _, test := range tests {
		if !errors.Is(test.err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, test.err, test.want)
		}
	}
	if got, err := d.Decode(out[:n], pcm); err != nil || got != FrameSamples {
		t.Errorf("after all that: %d, %v", got, err)
	}
}

func second(_ int, err error) error { return err }

func TestClosed(t *testing.T) {
	e, d := mustEncoder(t, EncoderConfig{Channels: 1, Bitrate: 32000}), mustDecoder(t, 1)
	e.Close()
	e.Close()
	d.Close()
	d.Close()
	d.Reset()
	pcm, out := make([]float32, FrameSamples), make([]byte, 100)
	for name, err := range map[string]error{
		"encode": second(e.Encode(pcm, out)), "bitrate": e.SetBitrate(32000), "complexity": e.SetComplexity(1), "FEC": e.SetFEC(true, 1),
		"DTX": e.SetDTX(true), "reset": e.Reset(),
		"decode": second(d.Decode(out, pcm)), "decode FEC": second(d.DecodeFEC(out, pcm)), "conceal": second(d.Conceal(pcm)),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Nothing is written behind the length of a slice, however much room there is.
func TestStaysInside(t *testing.T) {
	e, d := mustEncoder(t, EncoderConfig{Channels: 1, Bitrate: 256000}), mustDecoder(t, 1)
	out := make([]byte, 4000)
	for i := range out {
		out[i] = 0xa5
	}
	n, err := e.Encode(sine(FrameSamples, 1, 440, 0.5), out[:200])
	if err != nil || n > 200 {
		t.Fatal(n, err)
	}
	for i, b := range out[200:] {
		if b != 0xa5 {
			t.Fatalf("octet %d behind the end was written", i)
		}
	}
	pcm := make([]float32, 2*MaxPacketSamples)
	for i := range pcm {
		pcm[i] = 9
	}
	for _, err := range []error{second(d.Decode(out[:n], pcm[:FrameSamples])), second(d.DecodeFEC(out[:n], pcm[:FrameSamples])), second(d.Conceal(pcm[:FrameSamples]))} {
		if err != nil {
			t.Fatal(err)
		}
		if pcm[FrameSamples] != 9 {
			t.Fatal("a sample behind the end was written")
		}
	}
}

// Encoders and decoders of different goroutines do not disturb each other.
func TestIndependent(t *testing.T) {
	const many = 8
	work := func(t testing.TB, i int) []float32 {
		e := mustEncoder(t, EncoderConfig{Channels: 1 + i%2, Bitrate: 32000, Complexity: i % 4})
		d := mustDecoder(t, 1+i%2)
		return decoded(t, d, packets(t, e, sine(SampleRate/4, 1+i%2, 300+100*float64(i), 0.3)))
	}
	var want, got [many][]float32
	for i := range want {
		want[i] = work(t, i)
	}
	var group sync.WaitGroup
	for i := range got {
		group.Go(func() { got[i] = work(t, i) })
	}
	group.Wait()
	for i := range got {
		// A decoder that has been used before may differ from a new one in the last bits.
		if d := distance(got[i], want[i]); len(got[i]) != len(want[i]) || d > 1e-6 {
			t.Errorf("%d differs by %f when others work", i, d)
		}
	}
}

// FuzzDecode: whatever comes, a decoder returns whole frames of finite samples or an error, and never writes behind its buffer.
func FuzzDecode(f *testing.F) {
	e := mustEncoder(f, EncoderConfig{Channels: 1, Bitrate: 32000, FEC: true, Loss: 10})
	for _, p := range packets(f, e, voiced(SampleRate/5, 120)) {
		f.Add(p, p[:len(p)/2])
	}
	f.Add([]byte{0xff, 0xff}, []byte{0})
	mono, stereo := mustDecoder(f, 1), mustDecoder(f, 2)
	pcm := make([]float32, 2*MaxPacketSamples)
	f.Fuzz(func(t *testing.T, a, b []byte) {
		for _, d := range []*Decoder{mono, stereo} {
			for _, call := range []func() (int, error){
				func() (int, error) { return d.Decode(a, pcm) },
				func() (int, error) { return d.DecodeFEC(b, pcm[:FrameSamples*d.Channels()]) },
				func() (int, error) { return d.Decode(b, pcm) },
				func() (int, error) { return d.Conceal(pcm[:FrameSamples*d.Channels()]) },
			} {
				n, err := call()
				if err != nil && n != 0 || n < 0 || n > MaxPacketSamples {
					t.Fatalf("%d samples, %v", n, err)
				}
				for _, x := range pcm[:n*d.Channels()] {
					if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
						t.Fatalf("sample %f", x)
					}
				}
			}
		}
	})
}
