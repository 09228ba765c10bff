//go:build linux

package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/castd/castd/mixer/tonetest"
)

// trace is what somebody hears, packet by packet.
type trace struct {
	mu      sync.Mutex // guards packets
	packets []tracedPacket
}

type tracedPacket struct {
	at        time.Time
	number    uint16
	timestamp uint32
}

func (t *trace) note(p *rtp.Packet) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.packets = append(t.packets, tracedPacket{time.Now(), p.SequenceNumber, p.Timestamp})
}

// outage is what somebody felt of a failure.
type outage struct {
	silence time.Duration // longest without a packet
	missing time.Duration // of sound that never came
	late    time.Duration // of sound that came later than a player with a buffer of 120 ms waits for
	doubled int           // packets of sound that had come before
	skipped int           // numbers that never came
}

// since tells what was felt from a time on, by what was usual before.
func (t *trace) since(from time.Time) (o outage) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := slices.Clone(t.packets)
	begin := slices.IndexFunc(all, func(p tracedPacket) bool { return !p.at.Before(from) })
	if begin < 100 {
		return outage{silence: time.Hour}
	}
	base := all[begin-1]
	delay := func(p tracedPacket) time.Duration {
		return p.at.Sub(base.at) - time.Duration(int32(p.timestamp-base.timestamp))*time.Second/48000
	}
	usual := time.Hour
	for _, p := range all[begin-100 : begin] {
		usual = min(usual, delay(p))
	}
	const buffer = 120 * time.Millisecond
	seen := make(map[uint32]bool)
	newest := base
	for _, p := range all[begin-100 : begin] {
		seen[p.timestamp] = true
		if int32(p.timestamp-newest.timestamp) > 0 {
			newest = p
		}
	}
	last := base.at
	for _, p := range all[begin:] {
		o.silence = max(o.silence, p.at.Sub(last))
		last = p.at
		if seen[p.timestamp] {
			o.doubled++
		}
		seen[p.timestamp] = true
		if delay(p)-usual > buffer {
			o.late += 20 * time.Millisecond
		}
		if step := int32(p.timestamp - newest.timestamp); step > 0 {
			o.missing += time.Duration(step-960) * time.Second / 48000
			o.skipped += int(int16(p.number-newest.number)) - 1
			newest = p
		} else {
			o.missing -= 20 * time.Millisecond // it came late
			o.skipped--
		}
	}
	return o
}

// tracedListener hears a conference by WHEP, and notes what comes.
func tracedListener(t *testing.T, base, token, room string) (*tonetest.Ear, *trace) {
	t.Helper()
	ear, err := tonetest.NewEar()
	if err != nil {
		t.Fatal(err)
	}
	heard := &trace{}
	g := newGuest(t, base, token)
	if _, err := g.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		t.Fatal(err)
	}
	g.pc.OnTrack(func(remote *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			p, _, err := remote.ReadRTP()
			if err != nil {
				return
			}
			heard.note(p)
			ear.Hear(p.Payload)
		}
	})
	g.negotiate(context.Background(), t, "/whep/"+room)
	return ear, heard
}

// TestMixerIsKilled kills the peer that mixes a conference, while another device of its owner stands by. Whoever takes part or listens
// goes on over the same connection: nothing is doubled, next to nothing missing, and nobody hears nothing for long.
func TestMixerIsKilled(t *testing.T) {
	rounds := 1
	if *figuresFlag {
		rounds = 12
	}
	var all []outage
	for range rounds {
		t.Run("", func(t *testing.T) { all = append(all, killMixer(t)...) })
	}
	if *figuresFlag {
		table := newTable("of "+fmt.Sprint(len(all)), "silence", "missing", "late by over 120 ms", "doubled")
		for _, p := range []float64{50, 90, 99} {
			pick := func(f func(outage) time.Duration) time.Duration {
				var list []time.Duration
				for _, o := range all {
					list = append(list, f(o))
				}
				return percentile(list, p)
			}
			table.row(fmt.Sprintf("p%.0f", p), pick(func(o outage) time.Duration { return o.silence }), pick(func(o outage) time.Duration { return o.missing }),
				pick(func(o outage) time.Duration { return o.late }), pick(func(o outage) time.Duration { return time.Duration(o.doubled) * time.Millisecond }))
		}
		table.print(t)
	}
}

func killMixer(t *testing.T) (all []outage) {
	hub := launch(t, "hub", "start", "--room", "talk", "--mode", "conference", "--http", "127.0.0.1:0")
	ready := hub.ready()
	start := func(name, dir string, more ...string) (*process, event) {
		p := spawn(t, name, dir, append([]string{"start", "--room", ready.text("invite"), "--http", "127.0.0.1:0", "--bootstrap", hub.address()}, append(more, free(dir)...)...)...)
		p.wait("joined", 1, is("joined"))
		return p, p.ready()
	}
	second, a := start("second device", sameUser(t, hub))
	_, b := start("near", folder(t), "--bootstrap", second.address())
	_, c := start("far", folder(t), "--bootstrap", second.address())
	ann := joinCall(t, a.text("http"), a.text("token"), "talk", "Ann", 400)
	bob := joinCall(t, b.text("http"), b.text("token"), "talk", "Bob", 700)
	eve := joinCall(t, c.text("http"), c.text("token"), "talk", "Eve", 1200)
	heard := map[string]*trace{"Ann": &ann.heard, "Bob": &bob.heard, "Eve": &eve.heard}
	var everybody []ears
	for i, at := range []event{a, b, c} {
		ear, log := tracedListener(t, at.text("http"), at.text("token"), "talk")
		name := fmt.Sprintf("listener %d", i+1)
		heard[name] = log
		everybody = append(everybody, ears{name, ear, 0, []float64{400, 700, 1200}})
	}
	everybody = append(everybody, ears{"Ann", ann.ear, 400, []float64{700, 1200}}, ears{"Bob", bob.ear, 700, []float64{400, 1200}},
		ears{"Eve", eve.ear, 1200, []float64{400, 700}})
	hear(t, everybody...)
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		m := roomOf(t, bob.guest, "talk").Mixer
		if m.Peer == ready.text("peer") && m.Standby == a.text("peer") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("who mixes and who stands by: %+v", m)
		}
	}
	time.Sleep(4 * time.Second) // the tree settles and everybody has a seat at the standby; processes have no fake clock
	at := time.Now()
	hub.kill()
	time.Sleep(4 * time.Second) // what follows is to be felt
	for name, log := range heard {
		o := log.since(at)
		t.Logf("%s: %+v", name, o)
		if o.doubled > 0 || o.missing > 400*time.Millisecond || o.silence > 2*time.Second {
			t.Errorf("%s: %+v", name, o)
		}
		all = append(all, o)
	}
	for _, e := range everybody {
		e.ear.Forget()
	}
	hear(t, everybody...)
	if m := roomOf(t, bob.guest, "talk").Mixer; m.Peer != a.text("peer") {
		t.Errorf("%s mixes, want %s", m.Peer, a.text("peer"))
	}
	return all
}
