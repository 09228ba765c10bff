package engine_test

import (
	"math"
	"testing"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/enginetest"
	"github.com/castd/castd/engine/wire"
)

// relayOf returns a relay with a parent and children that nothing reaches any more, and the stream that it carries: what it is
// given as if it came from the parent is stored, queued and sent off.
func relayOf(tb testing.TB, children int) (relay *enginetest.Peer, parent engine.Hop, stream wire.StreamID) {
	tb.Helper()
	net := enginetest.NewNetwork(1)
	add := func(name string, slots int) *enginetest.Peer {
		p, err := net.Add(name, slots)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() {
			_ = p.Engine.Close(tb.Context())
			p.Close()
		})
		return p
	}
	join := func(p *enginetest.Peer, o engine.JoinOptions) *engine.Room {
		r, err := p.Join(tb.Context(), "lobby", o)
		if err != nil {
			tb.Fatal(err)
		}
		return r
	}
	until := func(what string, ok func() bool) {
		for range 2000 {
			if ok() {
				return
			}
			<-time.After(5 * time.Millisecond)
		}
		tb.Fatal("not within 10 s: ", what)
	}
	origin := add("ann/laptop", 1)
	room := join(origin, engine.JoinOptions{Create: true})
	relay = add("relay", 64)
	r := join(relay, engine.JoinOptions{Wait: time.Second})
	until("relay has a parent", func() bool { return r.Tree().Parent != "" })
	var kids []*enginetest.Peer
	for i := range children {
		kid := add(string(rune('a'+i%26))+string(rune('a'+i/26)), 0)
		kr := join(kid, engine.JoinOptions{Wait: time.Second})
		until("child has a parent", func() bool { return kr.Tree().Parent == relay.Self().String() })
		kids = append(kids, kid)
	}
	pub, err := room.Publish(tb.Context(), audioSlot())
	if err != nil {
		tb.Fatal(err)
	}
	if err := pub.Write("audio", &engine.MediaPacket{Payload: payload(0)}); err != nil {
		tb.Fatal(err)
	}
	until("relay knows the stream", func() bool { return len(r.Streams()) == 1 })
	if parent, err = relay.Hop(tb.Context(), origin); err != nil {
		tb.Fatal(err)
	}
	for _, k := range kids {
		net.Cut(k, true)
	}
	return relay, parent, r.Streams()[0].ID
}

// Forwarding takes no memory: what a packet needs was there before.
func TestForwardingAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	relay, parent, stream := relayOf(t, 4)
	h := wire.Header{Kind: wire.KindAudio, FrameStart: true, FrameEnd: true, Stream: stream, Number: 1000, Level: wire.LevelUnknown}
	pkt := make([]byte, 0, wire.MaxPacket)
	send := func() {
		h.Number++
		pkt = append(h.Append(pkt[:0]), make([]byte, 100)...)
		relay.HopPacket(parent, pkt)
	}
	for range 200 {
		send()
	}
	// Pulses and the room's clockwork allocate a little all the time; on a busy machine that is much for so few packets. What
	// forwarding needs, it needs in every round.
	least := math.Inf(1)
	for range 8 {
		least = min(least, testing.AllocsPerRun(80, send))
	}
	if least >= 1 {
		t.Errorf("forwarding one packet to 4 children allocates %v times", least)
	}
}
