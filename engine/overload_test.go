package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/enginetest"
	"github.com/castd/castd/engine/uplink"
	"github.com/castd/castd/engine/wire"
)

// A peer that carries too much sends newcomers elsewhere and keeps pictures back, never sound; who is there stays, and so does the
// peer itself. When it is over all goes on.
func TestOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(90)
		net.Delay = 10 * time.Millisecond
		s := newStage(t, net, 4)
		s.listen(1, 4)
		pub, err := s.room.Publish(t.Context(), videoSlot(nil))
		if err != nil {
			t.Fatal(err)
		}
		seq := 0
		send := func(seconds int) (sound, pictures int) {
			before := len(s.listeners[0].sink.Packets())
			for range seconds * 50 {
				for label, payload := range map[string][]byte{"audio": payload(seq), "video": vp8Packet(seq%50 == 0, true, seq)} {
					p := &engine.MediaPacket{Sequence: int64(seq), Timestamp: uint32(seq * 960), Payload: payload, Marker: true}
					if label == "video" {
						p.Timestamp = uint32(seq * 1800)
					}
					if err := pub.Write(label, p); err != nil {
						t.Fatal(err)
					}
				}
				seq++
				time.Sleep(20 * time.Millisecond)
			}
			time.Sleep(time.Second)
			for _, p := range s.listeners[0].sink.Packets()[before:] {
				if p.Header.Kind == wire.KindAudio {
					sound++
				} else {
					pictures++
				}
			}
			return sound, pictures
		}
		if sound, pictures := send(3); sound < 145 || pictures < 145 {
			t.Fatalf("%d packets of sound and %d of pictures before", sound, pictures)
		}
		s.origin.Bear(uplink.Verdict{Slots: 1, Shed: uplink.ShedVideo, Overloaded: true})
		time.Sleep(1500 * time.Millisecond)
		s.listen(2, 0)
		if n := len(s.room.Tree().Children); n > 2 { // and an idle backup
			t.Errorf("an overloaded peer took %d children", n)
		}
		for i, l := range s.listeners[1:] {
			if l.room.Tree().Parent != s.listeners[0].Self().String() {
				t.Errorf("newcomer %d was not sent to whom has room", i)
			}
		}
		if sound, pictures := send(3); sound < 145 || pictures > 5 {
			t.Errorf("%d packets of sound and %d of pictures during the overload", sound, pictures)
		}
		if path := s.listeners[0].room.Tree().Path; len(path) != 2 {
			t.Errorf("the child that was there has the path %v", path)
		}
		s.origin.Bear(uplink.Verdict{Slots: 4})
		time.Sleep(1500 * time.Millisecond)
		if sound, pictures := send(3); sound < 145 || pictures < 90 {
			t.Errorf("%d packets of sound and %d of pictures afterwards", sound, pictures)
		}
	})
}
