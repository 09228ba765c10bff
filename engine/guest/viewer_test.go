package guest

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/sdp/v3"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/checks"
)

// TestViewerVanishes: a viewer of whom nothing is heard any more is gone after a while, and nothing is kept of him.
func TestViewerVanishes(t *testing.T) {
	bubble(t, func(b *bench) {
		v := b.watch(engine.GuestOptions{Remote: remote}, "vp8", "opus")
		time.Sleep(time.Second)
		s := b.slot("main", codecVP8, codecOpus)
		s.stream(200*ms, 100)
		if len(v.take(kindVideo)) == 0 {
			t.Fatal("nothing flows")
		}
		b.stop()
		time.Sleep(checks.LostAfter + 3*time.Second)
		synctest.Wait()
		select {
		case <-v.session.Done():
		default:
			t.Fatal("the session goes on")
		}
		var u *engine.UserError
		if err := v.session.Err(); !errors.As(err, &u) || u.Code != engine.CodeTimeout {
			t.Fatal(err)
		}
		if n := len(b.service.halls) + len(b.service.keeper.links) + b.service.writers[0].viewers + len(b.room.sinks) + b.room.slots; n != 0 {
			t.Fatalf("%d things are left", n)
		}
	})
}

// TestPicturesAreHeld: packets of a picture go out with its last one, and without it soon all the same.
func TestPicturesAreHeld(t *testing.T) {
	bubble(t, func(b *bench) {
		v := b.watch(engine.GuestOptions{}, "vp8")
		time.Sleep(time.Second)
		s := b.slot("main", codecVP8)
		part := func(payload string, marker bool) time.Time {
			s.seq[kindVideo]++
			if err := s.pub.Write(kindVideo, &engine.MediaPacket{Sequence: s.seq[kindVideo], Timestamp: 9, Marker: marker, Payload: []byte(payload)}); err != nil {
				t.Fatal(err)
			}
			return time.Now()
		}
		part("K", false)
		time.Sleep(holdFor / 2)
		last := part("end", true)
		got := v.take(kindVideo)
		if len(got) != 2 || !got[0].at.Equal(got[1].at) || got[1].at.Sub(last) > 6*ms {
			t.Fatalf("%d packets", len(got))
		}
		alone := part("the end of this one is lost", false)
		if got := v.take(kindVideo); len(got) != 1 || got[0].at.Sub(alone) > holdFor+6*ms {
			t.Fatalf("%d packets", len(got))
		}
	})
}

func FuzzAsks(f *testing.F) {
	for _, p := range []rtcp.Packet{
		&rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{{SSRC: 2}}}, &rtcp.PictureLossIndication{MediaSSRC: 2},
		&rtcp.TransportLayerNack{MediaSSRC: 2, Nacks: []rtcp.NackPair{{PacketID: 7, LostPackets: 1}}},
	} {
		b, err := p.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(append(b[:len(b):len(b)], b...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if asks(b) {
			return
		}
		packets, err := rtcp.Unmarshal(b)
		if err != nil {
			return
		}
		for _, p := range packets {
			switch p.(type) {
			case *rtcp.PictureLossIndication, *rtcp.TransportLayerNack, *rtcp.FullIntraRequest:
				t.Errorf("%T is not seen", p)
			}
		}
	})
}

// FuzzViewerAnswer: whatever is offered, the answer is a description with as many sections.
func FuzzViewerAnswer(f *testing.F) {
	f.Add(strings.ReplaceAll(viewerOffer, "\n", "\r\n"))
	f.Fuzz(func(t *testing.T, text string) {
		o, err := parseOffer(text, watching)
		if err != nil {
			return
		}
		own := checks.Credentials{Ufrag: "abcd", Password: "0123456789012345678901"}
		answer, err := o.viewerAnswer(own, []string{"1 1 udp 1 10.0.0.1 5000 typ host"}, [32]byte{1}, map[string]uint32{"0": 1, "1": 3})
		if err != nil {
			return
		}
		var d sdp.SessionDescription
		if err := d.UnmarshalString(answer); err != nil || len(d.MediaDescriptions) != len(o.sections) {
			t.Errorf("%v\n%s", err, answer)
		}
		for _, p := range o.fingerprints() {
			if len(p.sum) != p.hash.Size() {
				t.Errorf("%d octets", len(p.sum))
			}
		}
		if _, err := parseFragment(o.viewerFragment(own, nil)); err != nil {
			t.Error(err)
		}
	})
}

const viewerOffer = `v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=extmap-allow-mixed
m=audio 9 UDP/TLS/RTP/SAVPF 111 63
c=IN IP4 0.0.0.0
a=ice-ufrag:abcd
a=ice-pwd:0123456789012345678901
a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F
a=setup:actpass
a=mid:0
a=recvonly
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=mid:1
a=recvonly
a=rtcp-mux
a=rtpmap:96 VP8/90000
`
