package guest

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// TestSimulcast: of several encodings the first is taken, and the answer says so.
func TestSimulcast(t *testing.T) {
	bubble(t, func(b *bench) {
		pc := b.client("vp8")
		c := clientCodecs()["vp8"].RTPCodecCapability
		var tracks []*webrtc.TrackLocalStaticRTP
		var sender *webrtc.RTPSender
		for _, rid := range []string{"high", "low"} {
			track, err := webrtc.NewTrackLocalStaticRTP(c, "v", "s", webrtc.WithRTPStreamID(rid))
			if err != nil {
				t.Fatal(err)
			}
			tracks = append(tracks, track)
			if sender == nil {
				sender, err = pc.AddTrack(track)
			} else {
				err = sender.AddEncoding(track)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		session, err := b.service.Publish(b.Context(), b.room, b.offer(pc), engine.GuestOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(session.Answer(), "a=simulcast:recv high\r\n") || strings.Contains(session.Answer(), "rid:low") {
			t.Fatal(session.Answer())
		}
		b.accept(pc, session.Answer())
		time.Sleep(time.Second)
		ids := map[string]uint8{}
		for _, e := range sender.GetParameters().HeaderExtensions {
			ids[e.URI] = uint8(e.ID)
		}
		for i := range 20 {
			for j, track := range tracks {
				p := &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(i), Timestamp: uint32(i) * 3000}, Payload: []byte("K" + track.RID())}
				_ = p.SetExtension(ids[uriMID], []byte("0"))
				_ = p.SetExtension(ids[uriRID], []byte(track.RID()))
				if err := tracks[j].WriteRTP(p); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(20 * ms)
		}
		time.Sleep(100 * ms)
		synctest.Wait()
		for _, gop := range b.room.gop {
			if len(gop) != 1 || string(gop[0].Payload) != "Khigh" {
				t.Fatalf("%s", gop[0].Payload)
			}
		}
		if n := b.service.Stats().PacketsIn; n < 15 || n > 20 {
			t.Fatalf("%d packets", n)
		}
	})
}

// TestManySessions: 200 sessions come and go, and nothing is left of them: the bubble fails by itself where a goroutine is.
func TestManySessions(t *testing.T) {
	bubble(t, func(b *bench) {
		for round := range 4 {
			var all []engine.GuestSession
			var pcs []*webrtc.PeerConnection
			for i := range 50 {
				if i%5 == 0 {
					s := b.publish(engine.GuestOptions{Slot: fmt.Sprint(i), Remote: remote}, "opus")
					all, pcs = append(all, s.session), append(pcs, s.pc)
					continue
				}
				v := b.watch(engine.GuestOptions{Remote: remote}, "opus", "vp8")
				all, pcs = append(all, v.session), append(pcs, v.pc)
			}
			time.Sleep(time.Second)
			for i, s := range all {
				if i%2 == round%2 {
					_ = s.Close()
				} else {
					_ = pcs[i].GracefulClose()
				}
			}
			time.Sleep(time.Second)
			for _, pc := range pcs {
				_ = pc.GracefulClose()
			}
			synctest.Wait()
			if st := b.service.Stats(); st.Publishing != 0 || st.Watching != 0 || b.room.slots != 0 || len(b.service.sessions) != 0 {
				t.Fatalf("%+v, %d slots", st, b.room.slots)
			}
		}
	})
}

// TestViewerRestart: a viewer who changes his network restarts ICE; his streams go on.
func TestViewerRestart(t *testing.T) {
	bubble(t, func(b *bench) {
		v := b.watch(engine.GuestOptions{}, "vp8", "opus")
		time.Sleep(time.Second)
		s := b.slot("main", codecVP8, codecOpus)
		s.stream(200*ms, 100)
		before := v.takeBoth()
		(&testSource{bench: b, pc: v.pc, session: v.session}).restart()
		s.stream(200*ms, 0)
		after := v.takeBoth()
		for _, kind := range []string{kindAudio, kindVideo} {
			if len(after[kind]) == 0 {
				t.Fatalf("no %s after the restart", kind)
			}
			steady(b.T, append(before[kind], after[kind]...))
		}
	})
}

func TestParseAllocatesNothing(t *testing.T) {
	track := &sourceTrack{codec: codec{name: codecVP8, pt: 96}, ext: map[string]uint8{uriOrientation: 3}}
	p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: 7}, Payload: make([]byte, 1000)}
	if err := p.SetExtension(3, []byte{1}); err != nil {
		t.Fatal(err)
	}
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var h rtp.Header
	var m engine.MediaPacket
	if !track.parse(b, &h, &m) {
		t.Fatal("not parsed")
	}
	if n := testing.AllocsPerRun(100, func() { track.parse(b, &h, &m) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func FuzzSourcePacket(f *testing.F) {
	f.Add([]byte{0xB0, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xBE, 0xDE, 0, 1, 0x10, 0x85, 0, 0, 'p', 'a', 'y', 1}, false)
	f.Add([]byte{0x80, 111, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 'o', 'p', 'u', 's'}, true)
	f.Fuzz(func(t *testing.T, b []byte, red bool) {
		track := &sourceTrack{codec: codec{name: codecVP8, pt: 96}, ext: map[string]uint8{uriLevel: 1, uriOrientation: 2, uriDependency: 3}}
		if red {
			track.codec = codec{name: codecRED, pt: 63, primary: 111}
		}
		var h rtp.Header
		var m engine.MediaPacket
		for range 2 {
			if !track.parse(b, &h, &m) {
				continue
			}
			if len(m.Payload) == 0 || len(m.Payload) > len(b) || m.Level > 127 && m.Level != wire.LevelUnknown {
				t.Fatalf("%+v", m)
			}
		}
	})
}
