//go:build linux

package e2e_test

import (
	"context"
	"slices"
	"sync"
	"syscall"
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
	payload   []byte
}

func (t *trace) note(p *rtp.Packet) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.packets = append(t.packets, tracedPacket{time.Now(), p.SequenceNumber, p.Timestamp, slices.Clone(p.Payload)})
}

// outage is what somebody felt of a failure.
type outage struct {
	silence time.Duration // longest without a packet
	missing time.Duration // of sound that never came
	made    time.Duration // of sound that a player with an adaptive buffer had to make up
	doubled int           // packets of sound that had come before
	skipped int           // numbers that never came
}

// since tells what was felt from a time on.
func (t *trace) since(tb testing.TB, from time.Time) (o outage) {
	t.mu.Lock()
	all := slices.Clone(t.packets)
	t.mu.Unlock()
	o.made = madeUp(tb, all, from)
	begin := slices.IndexFunc(all, func(p tracedPacket) bool { return !p.at.Before(from) })
	if begin < 100 {
		return outage{silence: time.Hour}
	}
	base := all[begin-1]
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

// madeUp plays packets, and returns how much of what plays from a time on is made up.
func madeUp(t testing.TB, packets []tracedPacket, from time.Time) (made time.Duration) {
	player, err := tonetest.NewPlayer()
	if err != nil {
		t.Fatal(err)
	}
	defer player.Close()
	before := time.Duration(0)
	for _, p := range packets {
		player.Hear(p.at, p.number, p.timestamp, p.payload)
		if p.at.Before(from) {
			_, before = player.Played()
		}
	}
	_, made = player.Played()
	return made - before
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

// mixerFaults are what happens to the peer that mixes.
var mixerFaults = []struct {
	name string
	hit  func(*conferenceRoom)
	// felt bounds what anybody may feel on a machine that is busy, and goal how much sound a player may make up, in the middle and of
	// one in a hundred.
	felt time.Duration
	goal [2]time.Duration
}{
	{"kill", func(r *conferenceRoom) { r.hub.kill() }, 2 * time.Second, [2]time.Duration{40 * time.Millisecond, 100 * time.Millisecond}},
	{"stop", func(r *conferenceRoom) { _ = r.hub.cmd.Process.Signal(syscall.SIGSTOP) }, 3 * time.Second, [2]time.Duration{400 * time.Millisecond, 400 * time.Millisecond}},
	{"blackhole", func(r *conferenceRoom) { r.net.cut(r.site) }, 3 * time.Second, [2]time.Duration{400 * time.Millisecond, 400 * time.Millisecond}},
}

// TestMixerFails has the peer that mixes a conference die, hang or lose its network, while another device of its owner stands by.
// Whoever takes part or listens goes on over the same connection: nothing is doubled, next to nothing missing, and nobody hears nothing
// for long.
func TestMixerFails(t *testing.T) {
	rounds := 1
	if long() {
		rounds = 12
	}
	tab := newTable("fault", "of", "silence p50/p95/p99/max ms", "missing", "made up by a player", "doubled")
	for _, f := range mixerFaults {
		if f.name == "stop" && !long() {
			continue // much like a network that is gone
		}
		t.Run(f.name, func(t *testing.T) {
			var all []outage
			for range rounds {
				t.Run("", func(t *testing.T) {
					r := newConferenceRoom(t)
					if f.name == "blackhole" && r.site == nil {
						t.Skip("this needs network namespaces")
					}
					all = append(all, r.fail(t, func() { f.hit(r) }, f.felt)...)
				})
			}
			pick := func(f func(outage) time.Duration) (list []time.Duration) {
				for _, o := range all {
					list = append(list, f(o))
				}
				return list
			}
			made := pick(func(o outage) time.Duration { return o.made })
			tab.row(f.name, len(all), three(pick(func(o outage) time.Duration { return o.silence })), three(pick(func(o outage) time.Duration { return o.missing })),
				three(made), three(pick(func(o outage) time.Duration { return time.Duration(o.doubled) * time.Millisecond })))
			if long() && len(all) > 0 {
				for i, p := range []float64{50, 99} {
					if got := percentile(made, p); got > f.goal[i] {
						t.Errorf("p%.0f of the sound that a player makes up: %v, want at most %v", p, got, f.goal[i])
					}
				}
			}
		})
	}
	if long() {
		tab.print(t)
	}
}

// conferenceRoom is a conference of three participants by three peers, with a listener at each. A fourth one, on a machine of its own where
// that can be had, is the hub and mixes; the second device of its owner stands by.
type conferenceRoom struct {
	net                    *faultNet
	site                   *faultSite // the hub's; nil on the loopback
	hub, second, near, far *process
	ann, bob, eve          *participant
	heard                  map[string]*trace
	everybody              []ears
}

func newConferenceRoom(t *testing.T) *conferenceRoom {
	t.Helper()
	r := &conferenceRoom{net: newFaultNet(t)}
	r.site = r.net.site()
	start := func(name, dir string, at *faultSite, room string, more ...string) *process {
		addr, by := r.net.here, []string(nil)
		if at != nil {
			addr, by = at.addr, at.by
		}
		return spawnBy(t, name, dir, by, append([]string{
			"start", "--room", room, "--data-dir", dir, "--listen", "/ip4/" + addr + "/tcp/0", "--listen", "/ip4/" + addr + "/udp/0/quic-v1",
			"--media-port", "0", "--no-mdns", "--json",
		}, more...)...)
	}
	r.hub = start("hub", folder(t), r.site, "talk", "--mode", "conference", "--http", "off")
	link := r.hub.ready().text("invite")
	join := func(name, dir string, more ...string) *process {
		p := start(name, dir, nil, link, append([]string{"--http", "127.0.0.1:0", "--bootstrap", r.hub.address()}, more...)...)
		p.wait("joined", 1, is("joined"))
		return p
	}
	r.second = join("second device", sameUser(t, r.hub))
	r.near = join("near", folder(t), "--bootstrap", r.second.address())
	r.far = join("far", folder(t), "--bootstrap", r.second.address())
	call := func(p *process, name string, tone float64) *participant {
		return joinCall(t, p.ready().text("http"), p.ready().text("token"), "talk", name, tone)
	}
	r.ann, r.bob, r.eve = call(r.second, "Ann", 400), call(r.near, "Bob", 700), call(r.far, "Eve", 1200)
	r.heard = map[string]*trace{"Ann": &r.ann.heard, "Bob": &r.bob.heard, "Eve": &r.eve.heard}
	for _, p := range []*process{r.second, r.near, r.far} {
		name := "listener at the " + p.name
		ear, log := tracedListener(t, p.ready().text("http"), p.ready().text("token"), "talk")
		r.heard[name] = log
		r.everybody = append(r.everybody, ears{name, ear, 0, []float64{400, 700, 1200}})
	}
	r.everybody = append(r.everybody, ears{"Ann", r.ann.ear, 400, []float64{700, 1200}}, ears{"Bob", r.bob.ear, 700, []float64{400, 1200}},
		ears{"Eve", r.eve.ear, 1200, []float64{400, 700}})
	hear(t, r.everybody...)
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		m := roomOf(t, r.bob.guest, "talk").Mixer
		if m.Peer == r.hub.ready().text("peer") && m.Standby == r.second.ready().text("peer") {
			return r
		}
		if time.Now().After(deadline) {
			t.Fatalf("who mixes and who stands by: %+v", m)
		}
	}
}

// fail has the hub fail, and tells what everybody felt of it.
func (r *conferenceRoom) fail(t *testing.T, hit func(), felt time.Duration) (all []outage) {
	time.Sleep(4 * time.Second) // the tree settles and everybody has a seat at the standby; processes have no fake clock
	at := time.Now()
	hit()
	time.Sleep(4 * time.Second) // what follows is to be felt
	for name, log := range r.heard {
		o := log.since(t, at)
		t.Logf("%s: %+v", name, o)
		if o.doubled > 0 || o.missing > 400*time.Millisecond || o.silence > felt {
			t.Errorf("%s: %+v", name, o)
		}
		all = append(all, o)
	}
	for _, e := range r.everybody {
		e.ear.Forget()
	}
	hear(t, r.everybody...)
	if m := roomOf(t, r.bob.guest, "talk").Mixer; m.Peer != r.second.ready().text("peer") {
		t.Errorf("%s mixes, want %s", m.Peer, r.second.ready().text("peer"))
	}
	return all
}
