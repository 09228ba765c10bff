package jitter

import (
	"math"
	"testing"
	"time"
)

// player sends packets of 20 ms over a network without delay, and pulls 20 ms at a time.
type player struct {
	t       testing.TB
	b       *Buffer
	d       *fakeDecoder
	now     time.Time
	ssrc    uint32
	seq     uint16
	ts      uint32
	at      int64 // what the payload says
	level   Level
	fec     bool
	pcm     []float32
	frames  []Frame
	sound   []float32
	skipped bool // Skip instead of Pull
}

func newPlayer(t testing.TB, wave func(int64) float64) *player {
	d := &fakeDecoder{wave: wave, channels: 1}
	return &player{t: t, b: New(DefaultConfig(), d), d: d, now: epoch, ssrc: 1, seq: 65530, ts: 1<<32 - 5000, pcm: make([]float32, 960)}
}

// next makes the next packet.
func (p *player) next() Packet {
	packet := Packet{
		Arrival: p.now, SSRC: p.ssrc, Sequence: p.seq, Timestamp: p.ts, Payload: payload(p.at, 960, p.fec), Level: p.level,
	}
	p.pass(960)
	p.seq++
	return packet
}

// pass lets time go by on the sender's clock.
func (p *player) pass(n int64) { p.ts, p.at = p.ts+uint32(n), p.at+n }

func (p *player) pull() Frame {
	var f Frame
	if p.skipped {
		f = p.b.Skip(p.now, 960)
		clear(p.pcm)
	} else {
		f = p.b.Pull(p.now, p.pcm)
	}
	p.frames = append(p.frames, f)
	p.sound = append(p.sound, p.pcm...)
	p.now = p.now.Add(20 * ms)
	return f
}

// talk sends and pulls n times.
func (p *player) talk(n int) {
	for range n {
		p.b.Push(p.next())
		p.pull()
	}
}

// wait pulls n times.
func (p *player) wait(n int) {
	for range n {
		p.pull()
	}
}

// kinds counts the frames of the last n pulls.
func (p *player) kinds(n int) map[Kind]int {
	count := make(map[Kind]int)
	for _, f := range p.frames[len(p.frames)-n:] {
		count[f.Kind]++
	}
	return count
}

func TestPlaysWhatWasSent(t *testing.T) {
	p := newPlayer(t, sine(300))
	first := p.ts
	p.talk(500)
	s := p.b.Stats()
	if s.ConcealedSamples+s.PacketsDiscarded+s.DecodeErrors > 0 || s.PacketsLost != 0 || p.d.decoded < 497 {
		t.Errorf("%+v, %d decoded", s, p.d.decoded)
	}
	// The map tells which sample is played, to the sample, once nothing is stretched any more.
	for i, f := range p.frames[400:] {
		at := int64(f.Map.Timestamp - first)
		for j, x := range p.sound[(400+i)*960 : (401+i)*960] {
			if want := p.d.wave(at + int64(j)); math.Abs(float64(x)-want) > 1e-3 {
				t.Fatalf("frame %d sample %d is %.4f instead of %.4f", 400+i, j, x, want)
			}
		}
		if f.Map.Output != int64(400+i)*960 || !f.Map.Known || f.Kind != Sound {
			t.Fatalf("frame %d: %+v", 400+i, f)
		}
	}
}

// TestNothingToRepair sends copies of what was not lost, or was sent before the first packet came.
func TestNothingToRepair(t *testing.T) {
	r := call{length: 10 * time.Second, way: lan(1), fec: true, red: 2, phase: 7 * ms}.run(t)
	if r.RepairedByFEC+r.RepairedByRED > 0 || r.FECPacketsReceived < 1000 || r.FECPacketsDiscarded != r.FECPacketsReceived {
		t.Errorf("%+v", r.Stats)
	}
	p := newPlayer(t, sine(300))
	p.fec = true
	p.pass(960)
	p.talk(100)
	if s := p.b.Stats(); s.RepairedByFEC > 0 || p.d.copies > 0 {
		t.Errorf("%+v", s)
	}
}

func TestTwiceAndOutOfOrder(t *testing.T) {
	p := newPlayer(t, sine(300))
	p.talk(100)
	before := p.b.Stats()
	for range 100 {
		p.b.delay.limit(samples(80*ms), samples(time.Second), 0)
		one, two, three := p.next(), p.next(), p.next()
		for _, packet := range []Packet{three, one, one, three, two, one} {
			packet.Arrival = p.now
			p.b.Push(packet)
		}
		p.wait(3)
	}
	s := p.b.Stats()
	if d := s.PacketsDuplicated - before.PacketsDuplicated; d != 300 {
		t.Errorf("%d duplicates", d)
	}
	if s.PacketsLost != 0 || s.PacketsDiscarded > 0 || s.ConcealedSamples > 0 {
		t.Errorf("%+v", s)
	}
}

func TestDTX(t *testing.T) {
	p := newPlayer(t, sine(300))
	p.talk(200)
	before := p.b.Stats()
	made := p.d.made
	// The encoder tells that it is silent, and again each 400 ms.
	for range 5 {
		packet := p.next()
		packet.Payload = dtxPayload()
		p.b.Push(packet)
		p.pass(19 * 960)
		p.wait(20)
	}
	if k := p.kinds(90); k[Noise] != 90 {
		t.Errorf("while silent: %v", k)
	}
	p.talk(50)
	if k := p.kinds(45); k[Sound] != 45 {
		t.Errorf("after it: %v", k)
	}
	if p.d.made == made {
		t.Error("no comfort noise was made")
	}
	// Where updates fail to come the noise ends after a second, and with it the work.
	packet := p.next()
	packet.Payload = dtxPayload()
	p.b.Push(packet)
	p.wait(60)
	made = p.d.made
	p.wait(500)
	if k := p.kinds(500); k[Silence] != 500 || p.d.made != made {
		t.Errorf("later: %v, %d made", k, p.d.made-made)
	}
	p.pass(559 * 960)
	p.talk(50)
	if k := p.kinds(45); k[Sound] != 45 {
		t.Errorf("after long silence: %v", k)
	}
	s := p.b.Stats()
	if s.ConcealedSamples != before.ConcealedSamples || s.PacketsLost != 0 || s.PacketsDiscarded != 0 || s.Resyncs != 0 {
		t.Errorf("%+v", s)
	}
}

// TestPause stops sending without a word; numbers tell afterwards that nothing was lost.
func TestPause(t *testing.T) {
	p := newPlayer(t, sine(300))
	p.talk(200)
	p.wait(500)
	if k := p.kinds(490); k[Silence] != 490 {
		t.Errorf("%v", k)
	}
	s := p.b.Stats()
	if s.ConcealmentEvents != 1 || s.SilentConcealedSamples < 480*960 {
		t.Errorf("%+v", s)
	}
	p.pass(500 * 960)
	p.talk(50)
	if k := p.kinds(45); k[Sound] != 45 {
		t.Errorf("after it: %v", k)
	}
	if delay := duration(p.b.playoutDelay(p.b.position())) + 20*ms; delay > 60*ms {
		t.Errorf("delay %v", delay)
	}
	if s = p.b.Stats(); s.PacketsLost != 0 || s.PacketsDiscarded != 0 || s.Resyncs != 0 {
		t.Errorf("%+v", s)
	}
}

func TestGarbage(t *testing.T) {
	p := newPlayer(t, sine(300))
	p.talk(200)
	for range 20 {
		p.talk(9)
		packet := p.next()
		packet.Payload = garbage()
		p.b.Push(packet)
		p.pull()
	}
	p.talk(20)
	s := p.b.Stats()
	if s.DecodeErrors != 20 || s.ConcealmentEvents != 20 || s.ConcealedSamples < 20*960 || s.ConcealedSamples > 21*960 {
		t.Errorf("%+v", s)
	}
	for _, payload := range [][]byte{nil, {}, {3}, {0xff, 0xff, 0}, make([]byte, MaxPayload+1)} {
		packet := p.next()
		packet.Payload = payload
		p.b.Push(packet)
		p.pull()
		packet.RED = true
		p.b.Push(packet)
		p.talk(10)
	}
	if s = p.b.Stats(); s.PacketsMalformed < 9 {
		t.Errorf("%d malformed", s.PacketsMalformed)
	}
	p.talk(50)
	if k := p.kinds(20); k[Sound] != 20 {
		t.Errorf("after it: %v", k)
	}
}

// TestFlood sends fifty times as much as is played.
func TestFlood(t *testing.T) {
	p := newPlayer(t, sine(300))
	p.talk(200)
	for range 200 {
		for range 50 {
			p.b.Push(p.next())
		}
		p.pull()
		if long, n := p.b.Buffered(); n > p.b.config.MaxPackets || long > p.b.config.MaxBuffered+200*ms {
			t.Fatalf("%v in %d packets wait", long, n)
		}
	}
	s := p.b.Stats()
	if s.Overflows == 0 || s.PacketsDiscarded < 9000 {
		t.Errorf("%+v", s)
	}
	t.Logf("%d times too much, %d discarded, %d foreign", s.Overflows, s.PacketsDiscarded, s.PacketsForeign)
	p.wait(100)
	p.talk(300)
	if k := p.kinds(50); k[Sound] != 50 {
		t.Errorf("after it: %v", k)
	}
	if delay := duration(p.b.playoutDelay(p.b.position())) + 20*ms; delay > 60*ms {
		t.Errorf("delay %v", delay)
	}
}

// TestJumps lets the sender's numbers, clock and SSRC jump. Everything is played, and what comes behind a jump follows what
// was before.
func TestJumps(t *testing.T) {
	for _, tt := range []struct {
		name   string
		jump   func(p *player)
		resets int
		resync uint64
	}{
		{"clock forward", func(p *player) { p.ts += 1 << 30 }, 0, 1},
		{"clock back", func(p *player) { p.ts -= 1 << 30 }, 0, 1},
		{"clock back by a second", func(p *player) { p.ts -= Rate }, 0, 1},
		{"numbers forward", func(p *player) { p.seq += 20000 }, 0, 1},
		{"numbers back", func(p *player) { p.seq -= 20000 }, 0, 1},
		{"numbers and clock", func(p *player) { p.seq += 20000; p.ts += 1 << 31 }, 0, 1},
		{"SSRC", func(p *player) { p.ssrc++; p.seq += 777; p.ts += 123456789 }, 1, 1},
	} {
		p := newPlayer(t, sine(300))
		p.talk(200)
		tt.jump(p)
		p.talk(100)
		s := p.b.Stats()
		delay := duration(p.b.playoutDelay(p.b.position())) + 20*ms
		t.Logf("%-22s concealed %d samples, delay %v", tt.name, s.ConcealedSamples, delay.Round(ms))
		if s.Resyncs != tt.resync || p.d.resets != tt.resets || p.d.decoded < 296 || s.PacketsDiscarded > 0 || s.PacketsLost != 0 {
			t.Errorf("%s: %+v, %d resets, %d decoded", tt.name, s, p.d.resets, p.d.decoded)
		}
		if s.ConcealedSamples > 1920 || delay > 60*ms {
			t.Errorf("%s: concealed %d samples, delay %v", tt.name, s.ConcealedSamples, delay)
		}
		if k := p.kinds(90); k[Sound] != 90 {
			t.Errorf("%s: %v", tt.name, k)
		}
	}
}

// TestForeignPackets mixes packets in that do not belong to the stream.
func TestForeignPackets(t *testing.T) {
	p := newPlayer(t, sine(300))
	p.talk(100)
	for i := range 100 {
		q := Packet{Arrival: p.now, SSRC: p.ssrc, Sequence: p.seq + 5000*uint16(i+1), Timestamp: p.ts + 1<<29*uint32(i), Payload: payload(0, 960, false)}
		if i%2 == 0 {
			q.SSRC += uint32(i)
		}
		p.b.Push(q)
		p.talk(3)
	}
	s := p.b.Stats()
	if s.PacketsForeign < 90 || s.Resyncs > 0 || s.ConcealedSamples > 0 || s.PacketsLost != 0 {
		t.Errorf("%+v", s)
	}
}

// TestLongPackets plays packets of each length in frames of each length.
func TestLongPackets(t *testing.T) {
	for _, packet := range []int64{480, 960, 1920, 2880} {
		for _, frame := range []int{480, 960, 2880, 5760} {
			r := call{length: 20 * time.Second, packet: packet, frame: frame, phase: 3 * ms, way: lan(1), config: Config{Channels: 2}}.run(t)
			if r.ConcealedSamples > 0 || r.PacketsDiscarded > 0 {
				t.Errorf("packets of %v in frames of %v: %+v", duration(packet), duration(int64(frame)), r.Stats)
			}
		}
	}
}

// TestCleanNetwork asks for little delay however sending and pulling are to each other.
func TestCleanNetwork(t *testing.T) {
	for _, frame := range []int{480, 960} {
		var most time.Duration
		for phase := time.Duration(0); phase < 20*ms; phase += ms {
			r := call{length: unlessShort(40*time.Second, 12*time.Second), way: lan(uint64(phase)), frame: frame, phase: phase, warm: 10 * time.Second}.run(t)
			most = max(most, r.delay())
			if r.delay() > 40*ms || r.ConcealedSamples > 0 || r.PacketsDiscarded > 0 {
				t.Errorf("frames of %d ms, phase %v: delay %v, %+v", frame/48, phase, r.delay(), r.Stats)
			}
		}
		t.Logf("frames of %d ms: delay at most %v", frame/48, most.Round(ms/10))
	}
}
