//go:build linux

package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// arrival is a packet that a viewer got, after its payload, marker and extensions were compared with what was sent.
type arrival struct {
	at        time.Duration // clock
	counter   uint64
	sequence  uint16
	timestamp uint32
}

// viewer is a WHEP client.
type viewer struct {
	*guest
	name   string
	sent   *programme
	posted time.Duration

	mu       sync.Mutex // guards all following fields
	arrivals [2][]arrival
	wrong    []string // what was not as it was sent; bounded
}

const maxWrong = 10

// watch connects to a room by WHEP. sent is what the publisher remembers, for comparison.
func watch(t *testing.T, name, base, token, room string, sent *programme) *viewer {
	t.Helper()
	v := &viewer{guest: newGuest(t, base, token), name: name, sent: sent}
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		if _, err := v.pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			t.Fatal(err)
		}
	}
	v.pc.OnTrack(v.track)
	v.posted = v.negotiate(context.Background(), t, "/whep/"+room)
	return v
}

func (v *viewer) track(remote *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	track := audioTrack
	uri := uriAudioLevel
	if remote.Kind() == webrtc.RTPCodecTypeVideo {
		track, uri = videoTrack, uriOrientation
	}
	id := extensionID(receiver.GetParameters(), uri)
	go func() { // drives pion's reports
		for {
			if _, _, err := receiver.ReadRTCP(); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, 2000)
	var packet rtp.Packet
	for {
		n, _, err := remote.Read(buf)
		if err != nil {
			return
		}
		now := clock()
		if err := packet.Unmarshal(buf[:n]); err != nil {
			v.complain("%s: unreadable packet: %v", trackNames[track], err)
			continue
		}
		v.arrived(track, id, &packet, now)
	}
}

// arrived compares a packet with what was sent.
func (v *viewer) arrived(track int, id uint8, p *rtp.Packet, now time.Duration) {
	s, ok := readStamp(p.Payload)
	if !ok || int(s.track) != track {
		v.complain("%s: a payload of %d octets without a stamp", trackNames[track], len(p.Payload))
		return
	}
	w, ok := v.sent.packet(track, s.counter)
	if !ok {
		v.complain("%s %d: was not sent", trackNames[track], s.counter)
		return
	}
	if !bytes.Equal(w.payload, p.Payload) {
		v.complain("%s %d: payload differs", trackNames[track], s.counter)
	}
	if w.marker != p.Marker {
		v.complain("%s %d: marker %v", trackNames[track], s.counter, p.Marker)
	}
	var want []byte
	switch {
	case track == audioTrack:
		want = []byte{w.level}
	case w.orientation >= 0:
		want = []byte{byte(w.orientation)}
	}
	if got := p.GetExtension(id); !bytes.Equal(got, want) {
		v.complain("%s %d: extension %v, want %v", trackNames[track], s.counter, got, want)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.arrivals[track] = append(v.arrivals[track], arrival{at: now, counter: s.counter, sequence: p.SequenceNumber, timestamp: p.Timestamp})
}

func (v *viewer) complain(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.wrong) < maxWrong {
		v.wrong = append(v.wrong, fmt.Sprintf(format, args...))
	}
}

// got returns a track's arrivals; the slice is not changed later.
func (v *viewer) got(track int) []arrival {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.arrivals[track][:len(v.arrivals[track]):len(v.arrivals[track])]
}

// complaints returns what was not as it was sent.
func (v *viewer) complaints() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.wrong
}

// waitFor returns when the viewer has a track's packet, or false after the time.
func (v *viewer) waitFor(track int, counter uint64, within time.Duration) bool {
	deadline := clock() + within
	for {
		all := v.got(track)
		for i := len(all) - 1; i >= 0 && i >= len(all)-64; i-- {
			if all[i].counter >= counter {
				return true
			}
		}
		if clock() > deadline {
			return false
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// check reports whether everything from the viewer's first packet to the track's last is there, once, in order and untouched:
// numbers and timestamps as far apart as they were sent. Packets sent before liveFrom may come with compressed timestamps,
// as those of a group of pictures that a newcomer gets at once. Video begins with a key frame.
func (v *viewer) check(r *findings, track int, liveFrom time.Duration) {
	for _, c := range v.complaints() {
		r.Certain("%s: %s", v.name, c)
	}
	all, sent := v.got(track), v.sent.all(track)
	if len(all) == 0 {
		r.Errorf("%s: no %s", v.name, trackNames[track])
		return
	}
	first, last := all[0], all[len(all)-1]
	if want := uint64(len(sent)) - first.counter; uint64(len(all)) != want || last.counter != uint64(len(sent)-1) {
		r.Errorf("%s: %d %s packets of %d, from %d to %d of %d", v.name, len(all), trackNames[track], want, first.counter, last.counter, len(sent))
	}
	if s := sent[first.counter]; track == videoTrack && (!s.key || !s.start) {
		r.Certain("%s: video begins with packet %d, which does not begin a key frame", v.name, first.counter)
	}
	moved, disordered := 0, 0
	for i := 1; i < len(all); i++ {
		a, b := all[i-1], all[i]
		if b.counter != a.counter+1 {
			say := r.Errorf
			if b.counter <= a.counter {
				say = r.Certain
			}
			if disordered++; disordered <= 3 {
				say("%s: %s %d after %d (RTP numbers %d, %d), at %v after %v", v.name, trackNames[track], b.counter, a.counter, b.sequence, a.sequence, b.at, a.at)
			}
		}
		if b.sequence-a.sequence != uint16(b.counter-a.counter) {
			if moved++; moved <= 3 {
				r.Certain("%s: RTP number of %s %d is %d after the one of %d", v.name, trackNames[track], b.counter, b.sequence-a.sequence, a.counter)
			}
		}
		if sent[a.counter].at < liveFrom {
			if int32(b.timestamp-a.timestamp) < 0 {
				r.Certain("%s: timestamp of %s %d goes back", v.name, trackNames[track], b.counter)
			}
			continue
		}
		if got, want := b.timestamp-a.timestamp, sent[b.counter].timestamp-sent[a.counter].timestamp; got != want {
			if moved++; moved <= 3 {
				r.Certain("%s: timestamp of %s %d is %d after the one of %d, want %d", v.name, trackNames[track], b.counter, int32(got), a.counter, int32(want))
			}
		}
	}
	if disordered > 0 || moved > 0 {
		r.Errorf("%s: %s: %d in disorder, %d moved", v.name, trackNames[track], disordered, moved)
	}
}
