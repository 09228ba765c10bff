package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/enginetest"
)

// TestTotalsNeverGoBack: what hops, streams and queues counted is still there when they are gone.
func TestTotalsNeverGoBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(21)
		net.Delay = time.Millisecond
		s := newStage(t, net, 2)
		ann, err := net.Add("ben/phone", 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ann.Join(t.Context(), "lobby", engine.JoinOptions{Wait: time.Second, Listen: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		for range 2 {
			pub, err := s.room.Publish(t.Context(), audioSlot())
			if err != nil {
				t.Fatal(err)
			}
			sendAudio(t, pub, 0, 10)
			if err := pub.End(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		media, hops := s.room.MediaTotals(), s.origin.HopTotals()
		if len(media) != 1 || media[0].Kind != "audio" || media[0].Packets != 20 || media[0].Bytes == 0 {
			t.Errorf("media %+v", media)
		}
		if hops.Open == 0 || hops.PacketsSent == 0 {
			t.Errorf("hops %+v", hops)
		}
		if err := ann.Engine.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		ann.Close()
		time.Sleep(10 * time.Minute) // everything that has ended is forgotten
		if n := len(s.room.StreamCounters()); n != 0 {
			t.Errorf("%d streams are still there", n)
		}
		if later := s.room.MediaTotals(); len(later) != 1 || later[0] != media[0] {
			t.Errorf("media %+v became %+v", media, later)
		}
		if later := s.origin.HopTotals(); later.PacketsSent < hops.PacketsSent || later.BytesReceived < hops.BytesReceived || later.Open >= hops.Open {
			t.Errorf("hops %+v became %+v", hops, later)
		}
		events := s.origin.EventTotals()
		for _, k := range []engine.EventCount{{Event: "peer"}, {Event: "left"}, {Event: "stream"}} {
			if events[k] == 0 {
				t.Errorf("no event %+v in %v", k, events)
			}
		}
		if d := s.origin.Drops(); len(d) != 5 || d["audio"] != 0 {
			t.Errorf("drops %v", d)
		}
	})
}

func TestGapTotals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, enginetest.NewNetwork(22), 2)
		for _, ms := range []int64{80, 300, 20_000} {
			lost := uint64(2)
			s.origin.Emit(engine.Event{Event: "gap", Ms: &ms, Lost: &lost})
		}
		g := s.origin.GapTotals()
		if g.Count != 3 || g.Seconds != 20.38 || g.Lost != 6 || g.Buckets[0.1] != 1 || g.Buckets[0.25] != 1 || g.Buckets[0.5] != 2 || g.Buckets[10] != 2 {
			t.Errorf("%+v", g)
		}
		// Details come from this program only, but are bounded all the same.
		for i := range 1000 {
			s.origin.Emit(engine.Event{Event: "error", Code: string(rune('a' + i))})
		}
		if n := len(s.origin.EventTotals()); n > 257 {
			t.Errorf("%d kinds of events", n)
		}
	})
}
