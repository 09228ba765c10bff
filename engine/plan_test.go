package engine

import (
	"fmt"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/wire"
)

// planTable drives a planner with seats at a peer each.
type planTable struct {
	t     *testing.T
	p     *planner
	now   time.Time
	facts planFacts
	dead  map[peer.ID]bool
}

func newPlanTable(t *testing.T) *planTable {
	k := &planTable{t: t, now: time.Unix(1000, 0), dead: make(map[peer.ID]bool)}
	k.p = newPlanner(nil, 0, k.now)
	k.facts.hears = func(id peer.ID) bool { return !k.dead[id] }
	return k
}

func (k *planTable) seat(n int) {
	k.facts.seats = nil
	for i := range n {
		k.facts.seats = append(k.facts.seats, planSeat{participant: fmt.Sprint(i), peer: peer.ID(fmt.Sprint("peer", i))})
	}
}

// pass lets time pass, in which all peers report each half second.
func (k *planTable) pass(d time.Duration, missing ...peer.ID) {
	for end := k.now.Add(d); k.now.Before(end); k.now = k.now.Add(500 * time.Millisecond) {
		k.p.step(k.facts, k.now)
		for _, s := range k.p.seats {
			if !k.dead[s.peer] {
				k.p.report(s.peer, planReport{at: k.now, number: k.p.number, ready: len(missing) == 0, missing: missing})
			}
		}
	}
}

func (k *planTable) phase(want wire.CallPhase) {
	k.t.Helper()
	if k.p.phase != want {
		k.t.Errorf("the plan is %v, want %v", k.p.phase, want)
	}
}

func TestPlanner(t *testing.T) {
	t.Run("grows and shrinks", func(t *testing.T) {
		k := newPlanTable(t)
		for n := 1; n <= maxDirect; n++ {
			k.seat(n)
			k.pass(time.Second)
			k.phase(wire.CallPhase_CALL_DIRECT)
		}
		k.seat(maxDirect + 1)
		k.pass(time.Second)
		k.phase(wire.CallPhase_CALL_BOTH)
		if len(k.p.seats) != maxDirect {
			t.Errorf("%d seats in the plan", len(k.p.seats))
		}
		k.pass(planSettle + time.Second)
		k.phase(wire.CallPhase_CALL_MIXED)
		k.seat(maxDirect)
		k.pass(planCalm - time.Second)
		k.phase(wire.CallPhase_CALL_MIXED)
		k.seat(maxDirect + 1) // somebody who comes and goes
		k.pass(time.Second)
		k.seat(maxDirect)
		k.pass(planCalm - time.Second)
		k.phase(wire.CallPhase_CALL_MIXED)
		k.pass(2 * time.Second)
		k.phase(wire.CallPhase_CALL_BOTH)
		k.pass(planReady)
		k.phase(wire.CallPhase_CALL_APART)
		k.pass(planReady + time.Second)
		k.phase(wire.CallPhase_CALL_DIRECT)
	})
	t.Run("peers that do not know of plans", func(t *testing.T) {
		k := newPlanTable(t)
		k.seat(2)
		for range 20 {
			k.p.step(k.facts, k.now)
			k.now = k.now.Add(500 * time.Millisecond)
		}
		k.phase(wire.CallPhase_CALL_MIXED)
	})
	t.Run("peers that do not reach each other", func(t *testing.T) {
		k := newPlanTable(t)
		k.seat(3)
		k.pass(time.Second)
		k.phase(wire.CallPhase_CALL_DIRECT)
		changes := 0
		for last := k.p.phase; k.now.Before(time.Unix(1000, 0).Add(time.Hour)); {
			k.pass(500*time.Millisecond, "peer1")
			if k.p.phase != last {
				last, changes = k.p.phase, changes+1
			}
		}
		if changes > 50 {
			t.Errorf("%d changes in an hour", changes)
		}
		k.pass(planRetryMost + 20*time.Second)
		k.phase(wire.CallPhase_CALL_DIRECT)
	})
	t.Run("a peer that has died", func(t *testing.T) {
		k := newPlanTable(t)
		k.seat(3)
		k.pass(time.Second)
		k.dead["peer1"] = true
		k.pass(9*time.Second, "peer1")
		k.phase(wire.CallPhase_CALL_DIRECT)
	})
	t.Run("one participant at two peers", func(t *testing.T) {
		k := newPlanTable(t)
		k.seat(2)
		k.facts.seats[1].participant = k.facts.seats[0].participant
		k.pass(time.Second)
		k.phase(wire.CallPhase_CALL_BOTH)
	})
}

// FuzzPlan: what a hub says is taken as it was meant, or not at all.
func FuzzPlan(f *testing.F) {
	id, err := peer.Decode("12D3KooWSbG834e9UeZ7M5gwrN3q3UZirP568WU3qRfWVPUcmajo")
	if err != nil {
		f.Fatal(err)
	}
	good, err := proto.Marshal((&plan{term: 2, number: 7, phase: wire.CallPhase_CALL_DIRECT, seats: []planSeat{{participant: "ann", peer: id, red: true}}}).toWire())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		var w wire.CallPlan
		if proto.Unmarshal(b, &w) != nil {
			return
		}
		p := planFromWire("hub", &w)
		if p == nil {
			return
		}
		again := planFromWire("hub", p.toWire())
		if again == nil || len(again.seats) != len(p.seats) || len(p.seats) > maxDirect || again.phase != p.phase {
			t.Errorf("%+v was read as %+v", p, again)
		}
	})
}
