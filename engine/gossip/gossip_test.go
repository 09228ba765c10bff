package gossip

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// rejectForged is what the engine's signature check does.
func rejectForged(_ string, _ peer.ID, msg []byte) engine.Verdict {
	switch {
	case strings.HasPrefix(string(msg), "forged"):
		return engine.Reject
	case strings.HasPrefix(string(msg), "stale"):
		return engine.Ignore
	}
	return engine.Accept
}

// chain starts n peers of which each is connected to the one before.
func (l *lab) chain(n int) []*node {
	var nodes []*node
	for i := range n {
		x := l.start(1+i, 1+i, nil)
		x.validate = rejectForged
		if i > 0 {
			x.connect(l.t, nodes[i-1])
		}
		if err := x.Join(testTopic); err != nil {
			l.t.Fatal(err)
		}
		nodes = append(nodes, x)
	}
	time.Sleep(3 * time.Second)
	return nodes
}

func TestGossipReachesTenPeersOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newLab(t)
		nodes := net.chain(10)
		defer net.close(nodes...)
		nodes[3].connect(t, nodes[7]) // a ring in it
		if err := nodes[0].Publish(t.Context(), testTopic, []byte("beacon 1")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		for i, x := range nodes {
			want := 1
			if i == 0 {
				want = 0 // not one's own
			}
			if _, gossip, _ := x.got(); count(gossip, testTopic+" beacon 1") != want || len(gossip) != want {
				t.Errorf("peer %d got %q", i, gossip)
			}
		}
	})
}

func TestForgedGossipDiesAtTheFirstHop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newLab(t)
		nodes := net.chain(4)
		defer net.close(nodes...)
		for _, m := range []string{"forged", "stale", strings.Repeat("x", wire.MaxEnvelope)} {
			if err := nodes[0].Publish(t.Context(), testTopic, []byte(m)); err != nil {
				t.Fatal(err)
			}
		}
		if err := nodes[0].Publish(t.Context(), testTopic, make([]byte, wire.MaxEnvelope+1)); err == nil {
			t.Error("published more than MaxEnvelope")
		}
		time.Sleep(5 * time.Second)
		for i, x := range nodes[1:] {
			if _, gossip, _ := x.got(); len(gossip) != 1 {
				t.Errorf("peer %d got %d messages", i+1, len(gossip))
			}
		}
		if s := nodes[1].Stats(); s.GossipRejected != 1 || s.GossipIgnored != 1 {
			t.Errorf("first hop: %+v", s)
		}
		if nodes[2].validated != 1 || nodes[3].validated != 1 {
			t.Errorf("messages at later hops: %d, %d", nodes[2].validated, nodes[3].validated)
		}
	})
}

func TestThirdForgeryPutsAPeerOnTheGreyList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newLab(t)
		nodes := net.chain(2)
		defer net.close(nodes...)
		for i := range 3 {
			nodes[0].Publish(t.Context(), testTopic, fmt.Appendf(nil, "forged %d", i))
		}
		time.Sleep(3 * time.Second)
		nodes[0].Publish(t.Context(), testTopic, []byte("true"))
		time.Sleep(3 * time.Second)
		if _, gossip, _ := nodes[1].got(); len(gossip) != 0 {
			t.Errorf("a forger is still heard: %q", gossip)
		}
		// Two are an accident.
		score := func(n float64) float64 { return n * n * topicScoreParams().InvalidMessageDeliveriesWeight }
		if th := scoreThresholds(); score(2) < th.GraylistThreshold || score(3) >= th.GraylistThreshold {
			t.Errorf("scores %v, %v with a grey list below %v", score(2), score(3), th.GraylistThreshold)
		}
	})
}

func TestLeaveAndPublishWithoutJoining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newLab(t)
		nodes := net.chain(3)
		defer net.close(nodes...)
		if err := nodes[1].Join(testTopic); err != nil {
			t.Errorf("second Join: %v", err)
		}
		for range 2 {
			if err := nodes[0].Leave(testTopic); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Second)
		nodes[2].Publish(t.Context(), testTopic, []byte("one"))
		nodes[0].Publish(t.Context(), testTopic, []byte("two"))
		time.Sleep(3 * time.Second)
		if _, gossip, _ := nodes[0].got(); len(gossip) != 0 {
			t.Errorf("left, and got %q", gossip)
		}
		if _, gossip, _ := nodes[2].got(); count(gossip, testTopic+" two") != 1 {
			t.Errorf("got %q from a peer that left", gossip)
		}
		if err := nodes[0].Join(testTopic); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		nodes[2].Publish(t.Context(), testTopic, []byte("three"))
		time.Sleep(3 * time.Second)
		if _, gossip, _ := nodes[0].got(); count(gossip, testTopic+" three") != 1 {
			t.Errorf("joined again, and got %q", gossip)
		}
	})
}

func TestTopicGrammar(t *testing.T) {
	for topic, want := range map[string]bool{
		DirectoryTopic: true, testTopic: true, "castd/1/room/": false, "castd/1/room/short": false, testTopic + "a": false,
		"castd/2/directory": false, "": false, strings.ToUpper(testTopic): false, testTopic + "\n": false,
	} {
		if ValidTopic(topic) != want {
			t.Errorf("ValidTopic(%q) = %v", topic, !want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		net := newLab(t)
		a := net.start(1, 1, nil)
		defer net.close(a)
		if a.Join("blocks") == nil || a.Publish(t.Context(), "blocks", nil) == nil {
			t.Error("a foreign topic was joined or published to")
		}
	})
}

func TestTopicFloodIsCut(t *testing.T) {
	f := newTopicFilter(new(counters))
	yes, no := true, false
	room := func(i int) *string {
		s := RoomTopic(wire.RoomID(fmt.Sprintf("%026s", strings.NewReplacer("0", "a", "1", "b", "8", "c", "9", "d").Replace(fmt.Sprintf("%026d", i)))))
		return &s
	}
	var subs []*pb.RPC_SubOpts
	for i := range 1000 {
		subs = append(subs, &pb.RPC_SubOpts{Subscribe: &yes, Topicid: room(i)})
	}
	kept, err := f.FilterIncomingSubscriptions("p", subs)
	if err != nil || len(kept) != maxTopicsPerPeer || f.stats.topicsRefused.Load() != 1000-maxTopicsPerPeer {
		t.Fatalf("kept %d, %v", len(kept), err)
	}
	if kept, _ = f.FilterIncomingSubscriptions("p", subs[:3]); len(kept) != 3 {
		t.Errorf("topics told again on a new stream: kept %d", len(kept))
	}
	foreign := "blocks"
	if kept, _ = f.FilterIncomingSubscriptions("q", []*pb.RPC_SubOpts{{Subscribe: &yes, Topicid: &foreign}}); len(kept) != 0 || f.knows("q") {
		t.Error("a foreign topic was kept")
	}
	if kept, _ = f.FilterIncomingSubscriptions("p", []*pb.RPC_SubOpts{
		{Subscribe: &no, Topicid: room(0)}, {Subscribe: &no, Topicid: room(999)}, {Subscribe: &yes, Topicid: room(999)},
	}); len(kept) != 2 {
		t.Errorf("one for another: kept %d", len(kept))
	}
	if !f.forget("p") || f.knows("p") || f.forget("p") {
		t.Error("forget")
	}
}

// A copy in another topic must not keep a message out of its own.
func TestMessageIDDependsOnTopic(t *testing.T) {
	a, b := DirectoryTopic, testTopic
	if messageID(&pb.Message{Topic: &a, Data: []byte("x")}) == messageID(&pb.Message{Topic: &b, Data: []byte("x")}) {
		t.Error("same id in two topics")
	}
}

func TestGossipRateOfOneForwarder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newLab(t)
		a := net.start(1, 1, nil)
		defer net.close(a)
		dropped := 0
		topic := testTopic
		for i := range 1500 {
			m := &pubsub.Message{Message: &pb.Message{Topic: &topic, Data: fmt.Appendf(nil, "%d", i)}}
			if a.topics.validate(context.Background(), "flooder", m) == pubsub.ValidationIgnore {
				dropped++
			}
		}
		if dropped != 500 || a.Stats().RateLimited != 500 {
			t.Errorf("dropped %d, %+v", dropped, a.Stats())
		}
	})
}

func TestIdleTopicsGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newLab(t)
		a := net.start(1, 1, nil)
		defer net.close(a)
		room := func(i int) string {
			return RoomTopic(wire.NewRoomID(testKey(1).Public().(ed25519.PublicKey), fmt.Sprint(i)))
		}
		for i := range maxHandles + 10 {
			if err := a.Publish(t.Context(), room(i), []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		for i := range maxHandles {
			if err := a.Join(room(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.Join(room(maxHandles)); err == nil {
			t.Error("joined without bound")
		}
	})
}
