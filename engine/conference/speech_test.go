package conference_test

import (
	"encoding/binary"
	"math"
	"math/cmplx"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/conference"
	"github.com/castd/castd/engine/enginetest"
	"github.com/castd/castd/mixer/opus"
	"github.com/castd/castd/mixer/tonetest"
)

const (
	speechRate  = 48000
	speechFrame = 960
)

// say returns what espeak-ng makes of a text: sound of one channel at 48 kHz, with a peak of 0.5.
func say(t *testing.T, voice, text string) []float32 {
	t.Helper()
	if _, err := exec.LookPath("espeak-ng"); err != nil {
		if os.Getenv("CI") == "" {
			t.Skip("espeak-ng is not installed; make test installs it")
		}
		t.Fatal(err)
	}
	wav, err := exec.Command("espeak-ng", "-v", voice, "-s", "150", "--stdout", text).Output()
	if err != nil || len(wav) < 1000 || string(wav[36:40]) != "data" {
		t.Fatalf("espeak-ng: %v, %d octets", err, len(wav))
	}
	from, data := float64(binary.LittleEndian.Uint32(wav[24:])), wav[44:]
	at := func(i int) float64 { return float64(int16(binary.LittleEndian.Uint16(data[2*i:]))) }
	n := len(data) / 2
	out := make([]float32, int(float64(n-1)*speechRate/from))
	peak := float32(0)
	for i := range out {
		x := float64(i) * from / speechRate
		k := int(x)
		out[i] = float32(at(k) + (x-float64(k))*(at(min(k+1, n-1))-at(k)))
		peak = max(peak, out[i], -out[i])
	}
	return scaled(out, 0.5/peak)
}

func scaled(pcm []float32, by float32) []float32 {
	out := make([]float32, len(pcm))
	for i, x := range pcm {
		out[i] = x * by
	}
	return out
}

// part is what somebody says, from a time on.
type part struct {
	at  time.Duration
	pcm []float32
}

// script is all that somebody says.
func script(length time.Duration, parts ...part) []float32 {
	out := make([]float32, int(length.Seconds()*speechRate)/speechFrame*speechFrame)
	for _, p := range parts {
		copy(out[int(p.at.Seconds()*speechRate):], p.pcm)
	}
	return out
}

// speaker takes part in a conference by a script, and keeps what he hears.
type speaker struct {
	call   engine.Call
	player *tonetest.Player

	mu       sync.Mutex // guards what follows
	heard    []float32  // from the beginning of the scripts on
	begun    bool
	dominant []string // by tick
	now      string
}

func newSpeaker(t *testing.T, r *engine.Room, name string) *speaker {
	t.Helper()
	s := &speaker{}
	var err error
	if s.player, err = tonetest.NewPlayer(); err != nil {
		t.Fatal(err)
	}
	s.player.Heard = func(pcm []float32) {
		if s.begun {
			s.heard = append(s.heard, pcm...)
		}
	}
	if s.call, err = r.Call(t.Context(), engine.SeatConfig{
		Participant: name, Name: name,
		Hear: func(p *engine.MediaPacket) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.player.Hear(time.Now(), uint16(p.Sequence), p.Timestamp, p.Payload)
		},
		Tell: func(c *engine.CallState) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.now = c.Dominant
		},
	}); err != nil {
		t.Fatal(err)
	}
	return s
}

// perform says a script. lose says which packets do not arrive.
func (s *speaker) perform(t *testing.T, pcm []float32, lose func() bool) {
	e, err := opus.NewEncoder(opus.EncoderConfig{Channels: 1, Bitrate: 32000, Complexity: 4, FEC: true, Loss: 10})
	if err != nil {
		t.Error(err)
		return
	}
	defer e.Close()
	out := make([]byte, opus.MaxPacketBytes)
	s.mu.Lock()
	s.begun = true
	s.mu.Unlock()
	for n := int64(0); len(pcm) >= speechFrame; n++ {
		size, err := e.Encode(pcm[:speechFrame], out)
		if err != nil {
			t.Error(err)
			return
		}
		level := uint8(min(127, max(0, -10*math.Log10(power(pcm[:speechFrame])+1e-13))))
		if !lose() {
			s.call.Write(&engine.MediaPacket{
				Sequence: 1000 + n, Timestamp: uint32(n) * speechFrame, Level: level, Payload: slices.Clone(out[:size]),
			})
		}
		pcm = pcm[speechFrame:]
		time.Sleep(20 * time.Millisecond)
		s.mu.Lock()
		s.dominant = append(s.dominant, s.now)
		s.mu.Unlock()
	}
}

func power(pcm []float32) (sum float64) {
	for _, x := range pcm {
		sum += float64(x) * float64(x) / float64(len(pcm))
	}
	return sum
}

// spectrum returns the energy of a frame in bands of equal width on the mel scale, from 100 Hz to 4 kHz, in dB.
func spectrum(frame []float32) (bands [20]float64) {
	const n = 1024
	x := make([]complex128, n)
	for i := range min(n, len(frame)) {
		x[i] = complex(float64(frame[i])*(0.5-0.5*math.Cos(2*math.Pi*float64(i)/float64(len(frame)))), 0)
	}
	fft(x)
	mel := func(f float64) float64 { return 1127 * math.Log(1+f/700) }
	low, high := mel(100), mel(4000)
	for k := 1; k < n/2; k++ {
		if at := (mel(float64(k)*speechRate/n) - low) / (high - low) * float64(len(bands)); at >= 0 && at < float64(len(bands)) {
			bands[int(at)] += real(x[k])*real(x[k]) + imag(x[k])*imag(x[k])
		}
	}
	for i, b := range bands {
		bands[i] = 10 * math.Log10(b+1e-9)
	}
	return bands
}

func fft(x []complex128) {
	n := len(x)
	if n == 1 {
		return
	}
	even, odd := make([]complex128, n/2), make([]complex128, n/2)
	for i := range even {
		even[i], odd[i] = x[2*i], x[2*i+1]
	}
	fft(even)
	fft(odd)
	for k := range even {
		w := cmplx.Rect(1, -2*math.Pi*float64(k)/float64(n)) * odd[k]
		x[k], x[k+n/2] = even[k]+w, even[k]-w
	}
}

// likeness tells how what was heard differs from what was said: when it was heard, how much louder, and the distance of the spectra of
// frames with voice in dB, apart from that. Where a packet is lost and nothing done about it, that is 16 dB.
func likeness(said, heard []float32, from int) (delay time.Duration, gain, distance float64) {
	const step = speechFrame / 4 // 5 ms
	envelope := func(pcm []float32) (out []float64) {
		for ; len(pcm) >= step; pcm = pcm[step:] {
			out = append(out, math.Sqrt(power(pcm[:step])))
		}
		return out
	}
	a := envelope(said)
	best, shift := -1.0, 0
	for s := range 100 { // half a second
		if from+s*step+len(said) > len(heard) {
			break
		}
		b, dot, norm := envelope(heard[from+s*step:from+s*step+len(said)]), 0.0, 0.0
		for i := range a {
			dot += a[i] * b[i]
			norm += b[i] * b[i]
		}
		if c := dot / math.Sqrt(norm+1e-12); c > best {
			best, shift = c, s
		}
	}
	heard = heard[from+shift*step:]
	loudest := 0.0
	for i := 0; i+speechFrame <= len(said); i += speechFrame {
		loudest = max(loudest, power(said[i:i+speechFrame]))
	}
	var gains []float64
	var spectra [][2][20]float64
	for i := 0; i+1024 <= len(said); i += speechFrame {
		if p := power(said[i : i+speechFrame]); p > loudest/1000 {
			gains = append(gains, 10*math.Log10((power(heard[i:i+speechFrame])+1e-12)/p))
			spectra = append(spectra, [2][20]float64{spectrum(said[i : i+speechFrame]), spectrum(heard[i : i+speechFrame])})
		}
	}
	slices.Sort(gains)
	gain = gains[len(gains)/2]
	for _, s := range spectra {
		sum, top := 0.0, slices.Max(s[0][:])
		for b := range s[0] {
			x, y := max(s[0][b], top-40), max(s[1][b]-gain, top-40)
			sum += (x - y) * (x - y) / float64(len(s[0]))
		}
		distance += math.Sqrt(sum) / float64(len(spectra))
	}
	return time.Duration(shift) * 5 * time.Millisecond, gain, distance
}

// coded returns sound that went through the codec, and half a second of silence.
func coded(t *testing.T, pcm []float32) []float32 {
	t.Helper()
	e, err := opus.NewEncoder(opus.EncoderConfig{Channels: 1, Bitrate: 32000, Complexity: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	d, err := opus.NewDecoder(1)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	pcm = append(slices.Clone(pcm), make([]float32, speechRate/2)...)
	var out []float32
	packet, frame := make([]byte, opus.MaxPacketBytes), make([]float32, speechFrame)
	for ; len(pcm) >= speechFrame; pcm = pcm[speechFrame:] {
		n, err := e.Encode(pcm[:speechFrame], packet)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Decode(packet[:n], frame); err != nil {
			t.Fatal(err)
		}
		out = append(out, frame...)
	}
	return out
}

// TestSpeech: two people talk, one after the other and then both at once, the second of them four times as far from his microphone, and a
// third one listens. Numbers say whether he would understand them: how late each is, how loud, and how far the spectrum of what is heard
// is from that of what was said, beside what going through the codec twice makes of it. With losses, which in-band FEC makes up for, it is
// hardly farther.
//
//	go test -run TestSpeech -v ./engine/conference
func TestSpeech(t *testing.T) {
	for _, c := range []struct {
		name     string
		loss     float64
		distance float64 // dB more than the codec's
	}{{"nothing lost", 0, 3}, {"10 % lost", 0.1, 4}} {
		t.Run(c.name, func(t *testing.T) {
			one := say(t, "en-us+m3", "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background.")
			two := scaled(say(t, "en-us+f2", "It is easy to tell the depth of a well. These days a chicken leg is a rare dish."), 0.25)
			three := say(t, "en-us+m3", "Rice is often served in round bowls. The juice of lemons makes fine punch.")
			synctest.Test(t, func(t *testing.T) { speak(t, one, two, three, c.loss, c.distance) })
		})
	}
}

func speak(t *testing.T, one, two, three []float32, loss, most float64) {
	net := enginetest.NewNetwork(5)
	service := conference.New()
	t.Cleanup(service.Close)
	net.Mixing = service
	room := enter(t, addPeer(t, net, "hub"), engine.JoinOptions{Create: true, Mode: "conference"})
	ann, bob, eve := newSpeaker(t, room, "ann"), newSpeaker(t, room, "bob"), newSpeaker(t, room, "eve")
	length := func(pcm []float32) time.Duration { return time.Duration(len(pcm)) * time.Second / speechRate }
	first := 2 * time.Second
	second := first + length(one) + time.Second
	both := second + length(two) + time.Second
	end := both + length(three) + 2*time.Second
	rng := rand.New(rand.NewPCG(7, 7))
	var drawing sync.Mutex
	lose := func() bool {
		drawing.Lock()
		defer drawing.Unlock()
		return rng.Float64() < loss
	}
	var all sync.WaitGroup
	all.Go(func() { ann.perform(t, script(end, part{first, one}, part{both, three}), lose) })
	all.Go(func() { bob.perform(t, script(end, part{second, two}, part{both, two}), lose) })
	all.Go(func() { eve.perform(t, script(end), lose) })
	all.Wait()
	for _, s := range []*speaker{ann, bob, eve} {
		if err := s.call.Close(); err != nil {
			t.Error(err)
		}
		defer s.player.Close()
	}

	at := func(d time.Duration) int { return int(d.Seconds() * speechRate) }
	var gains []float64
	for _, said := range []struct {
		who    string
		at     time.Duration
		pcm    []float32
		hears  *speaker
		silent *speaker // who said it
	}{{"ann", first, one, eve, ann}, {"bob", second, two, eve, bob}} {
		delay, gain, distance := likeness(said.pcm, said.hears.heard, at(said.at))
		_, _, codec := likeness(said.pcm, coded(t, coded(t, said.pcm)), 0)
		gains = append(gains, gain+10*math.Log10(power(said.pcm)))
		t.Logf("%s is heard after %v, %.1f dB louder, %.1f dB off; by the codec alone %.1f dB", said.who, delay, gain, distance, codec)
		if delay > 130*time.Millisecond {
			t.Errorf("%s is heard after %v", said.who, delay)
		}
		if distance > codec+most {
			t.Errorf("what is heard of %s is %.1f dB off what he said, want at most %.1f", said.who, distance, codec+most)
		}
		own := 10 * math.Log10(power(said.silent.heard[at(said.at):at(said.at)+len(said.pcm)])+1e-13)
		if own > -60 {
			t.Errorf("%s hears %.1f dB while he alone talks", said.who, own)
		}
		// Who speaks is known a second after he began, and stays so to the end.
		ticks := eve.dominant[int((said.at+time.Second).Milliseconds()/20):int((said.at+length(said.pcm)).Milliseconds()/20)]
		if other := slices.IndexFunc(ticks, func(d string) bool { return d != said.who }); other >= 0 {
			t.Errorf("%v after %s began, %q is said to speak", time.Second+time.Duration(other)*20*time.Millisecond, said.who, ticks[other])
		}
	}
	t.Logf("with 12 dB between their microphones there are %.1f dB between the voices", gains[0]-gains[1])
	if off := math.Abs(gains[0] - gains[1]); off > 9 {
		t.Errorf("%.1f dB between two voices that were brought to a common loudness", off)
	}
	peak := float32(0)
	for _, x := range eve.heard {
		peak = max(peak, x, -x)
	}
	t.Logf("the peak is %.2f", peak)
	if peak > 1 {
		t.Errorf("the peak is %.2f of full scale", peak)
	}
	// Both at once: what is heard of the one is not heard by himself.
	delay, _, distance := likeness(three, bob.heard, at(both))
	_, _, codec := likeness(three, coded(t, coded(t, three)), 0)
	t.Logf("while both talk, ann is heard by bob after %v, %.1f dB off; by the codec alone %.1f dB", delay, distance, codec)
	if distance > codec+most {
		t.Errorf("what bob hears of ann while he talks is %.1f dB off what she said, want at most %.1f", distance, codec+most)
	}
}
