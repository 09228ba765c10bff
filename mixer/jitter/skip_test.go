package jitter

import (
	"encoding/binary"
	"math"
	"testing"
	"time"
)

func TestSkip(t *testing.T) {
	p := newPlayer(t, sine(300))
	p.skipped = true
	p.level = Level{Known: true, Minus: 30, Voice: true}
	p.talk(500)
	if p.d.decoded+p.d.made > 0 {
		t.Errorf("%d packets decoded, %d made up", p.d.decoded, p.d.made)
	}
	for i, f := range p.frames[20:] {
		if off := int32(p.ts - 480*960 + uint32(i)*960 - f.Map.Timestamp); off < 0 || off > Rate/8 {
			t.Fatalf("frame %d is %d samples behind what is sent", 20+i, off)
		}
		if f.Level != p.level || f.Kind != Skipped || !f.Map.Known || f.Map.Output != int64(20+i)*960 {
			t.Fatalf("frame %d: %+v", 20+i, f)
		}
	}
	if s := p.b.Stats(); s.PacketsDiscarded > 0 || s.ConcealedSamples > 0 || s.TotalSamplesReceived > 0 || s.SkippedSamples != 500*960 {
		t.Errorf("%+v", s)
	}
	// Somebody wants to hear: one packet primes the decoder, and the next one is played.
	last := p.frames[len(p.frames)-1].Map
	p.skipped = false
	p.talk(1)
	if p.d.resets != 1 || p.d.decoded < 2 || p.d.decoded > 3 {
		t.Errorf("%d resets, %d packets decoded", p.d.resets, p.d.decoded)
	}
	now := p.frames[len(p.frames)-1].Map
	if int64(now.Timestamp-last.Timestamp) != now.Output-last.Output {
		t.Errorf("from %+v to %+v", last, now)
	}
	if heard := p.sound[500*960+240 : 501*960]; energyOf(heard) < 0.1 {
		t.Errorf("energy %.3f: the first frame is not there at once", energyOf(heard))
	}
	p.talk(100)
	if s := p.b.Stats(); s.ConcealedSamples > 0 || s.PacketsDiscarded > 0 {
		t.Errorf("%+v", s)
	}
	// And back, with nobody sending.
	p.skipped = true
	p.wait(100)
	if f := p.pull(); f.Level.Known {
		t.Errorf("%+v", f)
	}
	p.skipped = false
	p.wait(20)
	if k := p.kinds(20); k[Silence] != 20 {
		t.Errorf("%v", k)
	}
}

// TestForward takes packets out as they came, and goes over to sound and back.
func TestForward(t *testing.T) {
	ways := map[string]way{"LAN": lan(1), "jitter": fifo(1, 10*ms, 0.5), "loss": losing(lan(2), random(2, 0.1))}
	for name, w := range ways {
		d := &fakeDecoder{wave: voice(120)}
		b := New(DefaultConfig(), d)
		type event struct {
			at time.Duration
			i  int
		}
		var arrivals []event
		lost := 0
		for i := range 3000 {
			way, gone := w(i, time.Duration(i)*20*ms)
			if gone {
				lost++
				continue
			}
			arrivals = append(arrivals, event{time.Duration(i)*20*ms + way, i})
		}
		pcm := make([]float32, 960)
		last, holes, double, sound := -1, 0, 0, 0
		for n := range 2900 {
			now := time.Duration(n)*20*ms + 5*ms
			for len(arrivals) > 0 && arrivals[0].at <= now {
				i := arrivals[0].i
				b.Push(Packet{
					Arrival: epoch.Add(arrivals[0].at), Sequence: uint16(i), Timestamp: uint32(i) * 960, Payload: payload(int64(i)*960, 960, false),
				})
				arrivals = arrivals[1:]
			}
			if n%500 > 450 {
				if f := b.Pull(epoch.Add(now), pcm); f.Kind == Sound {
					sound++
				}
				last = -1
				continue
			}
			f, p := b.Forward(epoch.Add(now), 960)
			if p == nil {
				holes++
				continue
			}
			i := int(binary.BigEndian.Uint64(p[2:]) / 960)
			if off := int32(uint32(i)*960 - f.Map.Timestamp); f.Kind != Sound || off < 0 || off >= 960 {
				t.Fatalf("%s: packet %d in frame %+v", name, i, f)
			}
			if last >= 0 && i <= last {
				double++
			}
			last = i
		}
		t.Logf("%s: %d lost, %d frames without a packet, %d packets twice or back, %d frames of sound", name, lost, holes, double, sound)
		if double > 0 || holes > lost+30 || sound < 5*49-lost || d.decoded > 6*52 {
			t.Errorf("%s: %d holes, %d lost, %d twice, %d frames of sound, %d decoded", name, holes, lost, double, sound, d.decoded)
		}
	}
}

func energyOf(x []float32) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return sum / float64(len(x))
}

// TestFollow lets a standby play what a primary plays: the same packets, each over another way, and the map four times a second.
func TestFollow(t *testing.T) {
	wave := voice(120)
	primary, standby := New(DefaultConfig(), &fakeDecoder{wave: wave}), New(DefaultConfig(), &fakeDecoder{wave: wave})
	ways := []way{fifo(1, 15*ms, 0.5), fifo(2, 10*ms, 0.5)}
	type event struct {
		at time.Duration
		i  int
	}
	var arrivals [2][]event
	for k, w := range ways {
		for i := range 3000 {
			d, _ := w(i, time.Duration(i)*20*ms)
			arrivals[k] = append(arrivals[k], event{time.Duration(i)*20*ms + d, i})
		}
	}
	buffers := []*Buffer{primary, standby}
	pcm := [2][]float32{make([]float32, 960), make([]float32, 960)}
	var frames [2]Frame
	type published struct {
		Map
		at time.Duration
	}
	var sent []published
	same, apart, audible := 0, 0, 0
	for n := range 2900 {
		now := time.Duration(n)*20*ms + 5*ms
		for k, b := range buffers {
			for len(arrivals[k]) > 0 && arrivals[k][0].at <= now {
				i := arrivals[k][0].i
				b.Push(Packet{
					Arrival: epoch.Add(arrivals[k][0].at), Sequence: uint16(i), Timestamp: uint32(i) * 960, Payload: payload(int64(i)*960, 960, false),
				})
				arrivals[k] = arrivals[k][1:]
			}
		}
		for len(sent) > 0 && sent[0].at <= now { // 40 ms later
			standby.Follow(sent[0].Map)
			sent = sent[1:]
		}
		for k, b := range buffers {
			frames[k] = b.Pull(epoch.Add(now), pcm[k])
		}
		if n%12 == 0 {
			sent = append(sent, published{frames[0].Map, now + 40*ms})
		}
		off := int32(frames[0].Map.Timestamp - frames[1].Map.Timestamp)
		if n > 50 && (off > Rate/8 || off < -Rate/8) { // also while it catches up
			t.Fatalf("frame %d: %d samples apart", n, off)
		}
		if n < 500 || frames[0].Kind != Sound {
			continue
		}
		if off == 0 {
			same++
			if frames[1].Kind == Sound && math.Abs(float64(pcm[0][959]-pcm[1][959])) > 0.05 {
				audible++
			}
		} else if apart++; off > Rate/20 || off < -Rate/20 {
			t.Fatalf("at %v: %d samples apart", now, off)
		}
	}
	s := standby.Stats()
	t.Logf("the same timestamp in %d frames, another one in %d; of the same ones %d sound different; %d moves, concealed %.2f %%",
		same, apart, audible, s.ForcedMoves, 100*float64(s.ConcealedSamples)/float64(s.TotalSamplesReceived))
	if same < 9*apart || audible > same/50 {
		t.Errorf("%d the same, %d not, %d sound different", same, apart, audible)
	}
	// The primary is gone: the standby goes on from where it is, but for a stretch.
	was := frames[1].Map
	standby.Lead()
	f := standby.Pull(epoch.Add(2900*20*ms+5*ms), pcm[1])
	if off := int64(int32(f.Map.Timestamp-was.Timestamp)) - 960; distance(off, 0) > maxLag || f.Map.Output-was.Output != 960 {
		t.Errorf("from %+v to %+v", was, f.Map)
	}
}

// TestApproach moves a buffer that is heard to where another mixer plays, earlier or later: by stretches, of which nothing is made up.
func TestApproach(t *testing.T) {
	for _, by := range []time.Duration{-150 * ms, -40 * ms, -3 * ms, 0, 3 * ms, 30 * ms} {
		t.Run(by.String(), func(t *testing.T) {
			c := DefaultConfig()
			if by > 0 {
				c.MinDelay = 80 * ms // there is something to hurry over
			}
			b := New(c, &fakeDecoder{wave: voice(120)})
			pcm := make([]float32, 960)
			var at Map
			for n := range 200 {
				now := epoch.Add(time.Duration(n) * 20 * ms)
				b.Push(Packet{Arrival: now, Sequence: uint16(n), Timestamp: uint32(n) * 960, Payload: payload(int64(n)*960, 960, false)})
				f := b.Pull(now.Add(5*ms), pcm)
				if n > 50 && f.Kind != Sound {
					t.Fatalf("frame %d is of kind %d", n, f.Kind)
				}
				if n == 100 {
					at = f.Map
					at.Timestamp += uint32(int32(by / ms * Rate / 1000))
				}
				if n >= 100 && n%5 == 0 {
					b.Approach(at)
				}
				if off := int32(at.Timestamp-f.Map.Timestamp) + int32(f.Map.Output-at.Output); n >= 145 && off != 0 {
					t.Fatalf("frame %d is off by %d", n, off)
				}
			}
			if s := b.Stats(); s.ForcedMoves > 0 || s.ConcealedSamples > 0 {
				t.Errorf("%d jumps, %d samples made up", s.ForcedMoves, s.ConcealedSamples)
			}
		})
	}
}
