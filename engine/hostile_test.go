package engine_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/enginetest"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree"
)

// hostile is a stage with liars among its peers, who come first and give most slots, so that the honest hang below them.
type hostile struct {
	*stage
	liars []*listener
}

// newHostile starts an origin of so many slots, liars of eight, and honest listeners of two. With as many slots as liars, these hold
// all of them, and those who have found them out must get there.
func newHostile(t *testing.T, net *enginetest.Network, slots, liars, honest int) *hostile {
	t.Helper()
	h := &hostile{stage: newStage(t, net, slots)}
	h.listen(liars, 8)
	h.liars = slices.Clone(h.listeners)
	h.listen(honest, 2)
	return h
}

func (h *hostile) honest() []*listener { return h.listeners[len(h.liars):] }

func (h *hostile) isLiar(id peer.ID) bool {
	return slices.ContainsFunc(h.liars, func(l *listener) bool { return l.Self() == id })
}

// below returns how many of the honest have a liar on their way from the origin.
func (h *hostile) below() (n int) {
	for _, l := range h.honest() {
		if slices.ContainsFunc(l.room.Tree().Path, func(id string) bool {
			p, err := peer.Decode(id)
			return err == nil && h.isLiar(p)
		}) {
			n++
		}
	}
	return n
}

// longest returns for how long somebody was without at most after from, and in all, counting what is longer than 300 ms.
func (l *listener) longest(from time.Time) (most, all time.Duration) {
	got := l.sink.Packets()
	for k := 1; k < len(got); k++ {
		if d := got[k].At.Sub(got[k-1].At); got[k].At.After(from) && d > 300*time.Millisecond {
			most, all = max(most, d), all+d
		}
	}
	return most, all
}

// check checks that the honest have had the last packets, and that none of them was without for longer than bound after from.
func (h *hostile) check(t *testing.T, sent, last int, from time.Time, bound time.Duration) {
	t.Helper()
	for i, l := range h.honest() {
		wantSuffix(t, fmt.Sprintf("honest listener %d", i), l.sink.Packets(), sent-last, last)
		if worst, _ := l.longest(from); worst > bound {
			t.Errorf("honest listener %d was without for %v", i, worst)
		}
	}
}

// learned checks what the honest have paid to learn of the liars: a parent that does not feed is left when its numbers have been told
// for three quarters of a second, for which there is a repair; and not chosen again. Some have to learn it twice at once, below another
// who is learning, so that the bound of two seconds a liar is that of the mean.
func (h *hostile) learned(t *testing.T, from time.Time) {
	t.Helper()
	const each = 2 * time.Second
	sum := time.Duration(0)
	for i, l := range h.honest() {
		_, all := l.longest(from)
		sum += all
		got := l.sink.Packets()
		if since := time.Since(got[len(got)-1].At); since > 3*each {
			t.Errorf("honest listener %d has had nothing for %v", i, since)
		}
	}
	t.Logf("the honest were without for %v each", sum/time.Duration(len(h.honest())))
	if mean := sum / time.Duration(len(h.honest())); mean > time.Duration(len(h.liars))*each {
		t.Errorf("the honest were without for %v each", mean)
	}
}

// Peers that take children, send them pulses and no media, are left, and the honest feed each other.
func TestRelaysWithoutMedia(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(51)
		net.Delay = 10 * time.Millisecond
		var h *hostile
		lying := false
		net.Tamper = func(from, _ peer.ID, pkt []byte) []byte {
			if lying && h.isLiar(from) {
				return nil
			}
			return pkt
		}
		h = newHostile(t, net, 2, 2, 8)
		pub, err := h.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 100)
		if h.below() == 0 {
			t.Fatal("nobody hangs below the liars: this tests nothing")
		}
		lying = true
		began := time.Now()
		sendAudio(t, pub, 100, 1500)
		if n := h.below(); n > 1 { // that one is learning
			t.Errorf("%d of the honest hang below those who give no media", n)
		}
		h.learned(t, began)
	})
}

// Peers that claim slots that their line does not carry: it is good for one child's packets, and drops what is more. Whom they feed
// finds another parent.
func TestRelaysWithoutCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(52)
		net.Delay = 10 * time.Millisecond
		var h *hostile
		lying := false
		const line, window = 8, 100 * time.Millisecond // packets in a time
		sent, began := map[peer.ID]int{}, time.Now()
		net.Tamper = func(from, _ peer.ID, pkt []byte) []byte {
			if !lying || !h.isLiar(from) {
				return pkt
			}
			if now := time.Now(); now.Sub(began) >= window {
				began = now
				clear(sent)
			}
			if sent[from]++; sent[from] > line {
				return nil
			}
			return pkt
		}
		h = newHostile(t, net, 2, 2, 8)
		pub, err := h.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 100)
		lying = true
		sendAudio(t, pub, 100, 12_000) // each of the honest meets each of the others once
		calm := time.Now()
		sendAudio(t, pub, 12_100, 500)
		if n := h.below(); n > 3 { // one child each is what their lines carry, and one is learning
			t.Errorf("%d of the honest hang below peers of too little upload", n)
		}
		time.Sleep(time.Second)
		got := 0
		for _, l := range h.honest() {
			for _, p := range l.sink.Packets() {
				if p.At.After(calm) {
					got++
				}
			}
		}
		t.Logf("the honest have had %d packets of %d", got, len(h.honest())*500)
		if want := len(h.honest()) * 500; got < want*95/100 { // who has just come below a liar gets half for ten seconds
			t.Errorf("the honest have had %d packets of %d", got, want)
		}
	})
}

// What a liar says of its path, to its children and to strangers, makes neither loops nor gaps.
func TestLiesAboutPaths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(53)
		net.Delay = 10 * time.Millisecond
		h := newHostile(t, net, 2, 2, 8)
		pub, err := h.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 100)
		origin := []byte(h.origin.Self())
		for k := range 200 {
			liar := h.liars[k%len(h.liars)]
			to := h.honest()[k%len(h.honest())]
			self, other := []byte(liar.Self()), []byte(h.honest()[(k+1)%len(h.honest())].Self())
			paths := [][][]byte{
				{self},
				{origin, self},
				{origin, []byte(to.Self()), self},
				{origin, other, self},
				{other, self},
				{origin, origin, self, self},
				slices.Repeat([][]byte{self}, 40),
				nil,
				{{}, nil, []byte("x")},
			}
			env, err := liar.Signer.Seal(h.room.ID(), wire.Type_TREE, 0, time.Now().Add(time.Minute), &wire.TreeMessage{
				Message: &wire.TreeMessage_Path{Path: &wire.Path{Path: paths[k%len(paths)], PathSeq: uint64(1 << 40 * (k % 2))}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := liar.Message(t.Context(), to.Peer, env); err != nil {
				t.Fatal(err)
			}
			sendAudio(t, pub, 100+3*k, 3)
		}
		from := time.Now().Add(5 * time.Second)
		sendAudio(t, pub, 700, 1000) // who has been misled has moved by then
		time.Sleep(time.Second)
		for i, l := range h.honest() {
			seen := map[string]bool{}
			path := l.room.Tree().Path
			for _, id := range path {
				if seen[id] {
					t.Errorf("the path of honest listener %d is a loop: %v", i, path)
				}
				seen[id] = true
			}
			if len(path) == 0 || path[0] != h.origin.Self().String() {
				t.Errorf("honest listener %d hangs below %v", i, path)
			}
		}
		h.check(t, 1700, 200, from, 500*time.Millisecond)
	})
}

// Peers that come, take the best places and go again without end leave nobody without a parent, and no trace when they stop.
func TestComingAndGoing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(54)
		net.Delay = 10 * time.Millisecond
		h := newHostile(t, net, 2, 0, 8)
		pub, err := h.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 100)
		from := time.Now()
		stop := make(chan struct{})
		var restless sync.WaitGroup
		for i := range 3 {
			restless.Go(func() {
				for n := 0; ; n++ {
					if err := comeAndGo(t, net, fmt.Sprintf("restless%d", i), time.Duration(300+170*((n+i)%5))*time.Millisecond); err != nil {
						t.Error(err)
						return
					}
					select {
					case <-stop:
						return
					case <-time.After(20 * time.Millisecond):
					}
				}
			})
		}
		sendAudio(t, pub, 100, 1500)
		close(stop)
		restless.Wait()
		calm := time.Now().Add(time.Second)
		sendAudio(t, pub, 1600, 300)
		time.Sleep(time.Second)
		h.check(t, 1900, 200, from, 2*time.Second)
		h.check(t, 1900, 200, calm, 300*time.Millisecond)
	})
}

// comeAndGo has a peer of many slots join, stay for a while, and say goodbye.
func comeAndGo(t *testing.T, net *enginetest.Network, name string, stay time.Duration) error {
	p, err := net.Add(name, 16)
	if err != nil {
		return err
	}
	defer p.Close()
	if _, err := p.Join(t.Context(), "lobby", engine.JoinOptions{Listen: true, Wait: 5 * time.Second}); err != nil {
		return err
	}
	time.Sleep(stay)
	return p.Engine.Close(t.Context())
}

// Peers that advertise slots and never answer hold up nobody who joins.
func TestAdvertsOfTheDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(55)
		net.Delay = 10 * time.Millisecond
		s := newStage(t, net, 2)
		s.listen(4, 2)
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		var deaf []*enginetest.Peer
		for i := range 12 {
			deaf = append(deaf, addPeer(t, net, fmt.Sprintf("deaf%d", i), 0))
		}
		for range 10 {
			for i, d := range deaf {
				env, err := d.Signer.Seal(s.room.ID(), wire.Type_ADVERT, 0, time.Now().Add(time.Minute), &wire.Advert{
					Self: &wire.Candidate{Peer: []byte(d.Self()), Depth: 1, Free: uint32(100 + i)},
				})
				if err != nil {
					t.Fatal(err)
				}
				if err := d.Gossip(t.Context(), "castd/1/room/"+string(s.room.ID()), env); err != nil {
					t.Fatal(err)
				}
			}
			begin := time.Now()
			s.listen(1, 1)
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("a newcomer has a place after %v", took)
			}
		}
		sendAudio(t, pub, 0, 200)
		time.Sleep(time.Second)
		for i, l := range s.listeners {
			wantSuffix(t, fmt.Sprintf("listener %d", i), l.sink.Packets(), 100, 100)
		}
	})
}

// Who says goodbye is fed for another second without a place, and not for as long as he says it again.
func TestGoodbyesWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(56)
		net.Delay = 10 * time.Millisecond
		s := newStage(t, net, 2)
		s.listen(1, 0)
		liar := s.listeners[0]
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 100)
		hop, err := s.origin.Hop(t.Context(), liar.Peer)
		if err != nil {
			t.Fatal(err)
		}
		var since time.Time // he has been sent something without a place
		sent := hop.Stats().PacketsSent
		for k := range 50 { // 100 ms each
			if k%5 == 0 {
				env, err := liar.Signer.Seal(s.room.ID(), wire.Type_TREE, 0, time.Now().Add(time.Minute), &wire.TreeMessage{
					Message: &wire.TreeMessage_Leave{Leave: &wire.Leave{Reason: tree.LeaveGoodbye}},
				})
				if err != nil {
					t.Fatal(err)
				}
				if err := liar.Message(t.Context(), s.origin, env); err != nil {
					t.Fatal(err)
				}
			}
			sendAudio(t, pub, 100+5*k, 5)
			now := hop.Stats().PacketsSent
			placed := slices.ContainsFunc(s.room.Tree().Children, func(c engine.ChildInfo) bool { return c.Peer == liar.Self().String() })
			switch {
			case placed || now == sent:
				since = time.Time{}
			case since.IsZero():
				since = time.Now()
			case time.Since(since) > 1500*time.Millisecond:
				t.Fatalf("he is fed without a place for %v", time.Since(since))
			}
			sent = now
		}
	})
}
