package engine_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/enginetest"
	"github.com/castd/castd/engine/wire"
)

// stage is a room with an origin and listeners, in one bubble.
type stage struct {
	t         *testing.T
	net       *enginetest.Network
	origin    *enginetest.Peer
	room      *engine.Room
	listeners []*listener
}

type listener struct {
	*enginetest.Peer
	room *engine.Room
	sink *enginetest.Sink
}

func newStage(t *testing.T, net *enginetest.Network, slots int) *stage {
	t.Helper()
	s := &stage{t: t, net: net, origin: addPeer(t, net, "ann/laptop", slots)}
	var err error
	s.room, err = s.origin.Join(t.Context(), "lobby", engine.JoinOptions{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func addPeer(t *testing.T, net *enginetest.Network, name string, slots int) *enginetest.Peer {
	t.Helper()
	p, err := net.Add(name, slots)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := p.Engine.Close(ctx); err != nil {
			t.Errorf("close %s: %v", name, err)
		}
		p.Close()
	})
	return p
}

// listen adds listeners, each with a sink, and waits until they have places.
func (s *stage) listen(n, slots int) {
	s.t.Helper()
	for range n {
		p := addPeer(s.t, s.net, fmt.Sprintf("listener%d", len(s.listeners)), slots)
		r, err := p.Join(s.t.Context(), "lobby", engine.JoinOptions{Listen: true, Wait: 5 * time.Second})
		if err != nil {
			s.t.Fatal(err)
		}
		l := &listener{Peer: p, room: r, sink: &enginetest.Sink{}}
		if _, err := r.Subscribe(l.sink, engine.SinkOptions{Backlog: true}); err != nil {
			s.t.Fatal(err)
		}
		s.listeners = append(s.listeners, l)
	}
	for range 200 {
		time.Sleep(50 * time.Millisecond)
		placed := 0
		for _, l := range s.listeners {
			if l.room.Tree().Parent != "" {
				placed++
			}
		}
		if placed == len(s.listeners) {
			return
		}
	}
	s.t.Fatal("not all listeners found a place within 10 s")
}

// audioSlot publishes n packets of audio, 20 ms apart, whose payload is their index.
func audioSlot() engine.SlotConfig {
	return engine.SlotConfig{Streams: []engine.StreamConfig{{Label: "audio", Kind: wire.KindAudio, Codec: "opus", ClockRate: 48000, Channels: 2}}}
}

func sendAudio(t *testing.T, p engine.Publication, first, n int) {
	t.Helper()
	for i := first; i < first+n; i++ {
		if err := p.Write("audio", &engine.MediaPacket{Sequence: int64(i), Timestamp: uint32(i * 960), Level: 30, Payload: payload(i)}); err != nil {
			t.Fatalf("packet %d: %v", i, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func payload(i int) []byte { return binary.BigEndian.AppendUint32([]byte("opus"), uint32(i)) }

func wantAudio(t *testing.T, who string, got []enginetest.Got, first, n int) {
	t.Helper()
	if len(got) != n {
		t.Errorf("%s: %d packets, want %d", who, len(got), n)
		return
	}
	for i, p := range got {
		if string(p.Payload) != string(payload(first+i)) {
			t.Errorf("%s: packet %d has payload %q, want %q", who, i, p.Payload, payload(first+i))
			return
		}
		if i > 0 && p.Header.Timestamp-got[i-1].Header.Timestamp != 960 {
			t.Errorf("%s: packet %d is %d timestamp units after the one before", who, i, p.Header.Timestamp-got[i-1].Header.Timestamp)
			return
		}
	}
}

func TestBroadcastThroughTree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(1)
		net.Delay = 10 * time.Millisecond
		s := newStage(t, net, 2)
		s.listen(9, 2)
		if n := len(s.room.Tree().Children); n > 2+1+5 {
			t.Errorf("the origin has %d children", n)
		}
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 500)
		time.Sleep(time.Second)
		for i, l := range s.listeners {
			wantAudio(t, fmt.Sprintf("listener %d at depth %d", i, l.room.Tree().Depth), l.sink.Packets(), 0, 500)
		}
	})
}
