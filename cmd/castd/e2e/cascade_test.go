//go:build linux

package e2e_test

import (
	"fmt"
	"testing"
	"time"
)

// TestCallCascade: six take part by way of two peers in a room whose mixers hold four each. One of these peers mixes as well; all hear the
// three who talk, wherever they sit. When some have gone the hub mixes alone, and nobody missed or heard anything twice.
func TestCallCascade(t *testing.T) {
	hub := launch(t, "hub", "start", "--room", "talk", "--mode", "conference", "--http", "127.0.0.1:0", "--max-participants", "4")
	first := hub.ready()
	start := func(name string) event {
		p := launch(t, name, "start", "--room", "talk", "--http", "127.0.0.1:0", "--bootstrap", hub.address(), "--max-participants", "4")
		p.wait("joined", 1, is("joined"))
		return p.ready()
	}
	peers := []event{start("near"), start("far")}
	var people []*participant
	tones := []float64{400, 700, 1200}
	for i := range 6 {
		at := peers[i%2]
		p := joinCall(t, at.text("http"), at.text("token"), "talk", fmt.Sprintf("guest-%d", i), append(tones, 2000, 2600, 3100)[i])
		p.quiet.Store(i > 2)
		people = append(people, p)
	}
	all := func(of []*participant) (list []ears) {
		for i, p := range of {
			e := ears{name: fmt.Sprintf("guest-%d", i), ear: p.ear}
			for j, f := range tones {
				if i != j {
					e.others = append(e.others, f)
				}
			}
			if i < len(tones) {
				e.own = p.frequency
			}
			list = append(list, e)
		}
		return list
	}
	asker := newGuest(t, first.text("http"), first.text("token"))
	further := func(want int) bool {
		t.Helper()
		for deadline := time.Now().Add(2 * patience); time.Now().Before(deadline); time.Sleep(250 * time.Millisecond) {
			if m := roomOf(t, asker, "talk").Mixer; len(m.Further) == want {
				return true
			}
		}
		return false
	}
	if !further(1) {
		hear(t, all(people)...)
		t.Skip("the machine is too busy: peers mix for others where they have something to spare only")
	}
	time.Sleep(4 * time.Second) // until they have gone there
	for _, p := range people {
		p.ear.Forget()
	}
	hear(t, all(people)...)
	began, lag, from := time.Now(), watchLag(t), clock()
	for _, p := range people[3:] {
		p.leave(t)
	}
	people = people[:3]
	if !further(0) {
		t.Errorf("the API tells of the mixer %+v", roomOf(t, asker, "talk").Mixer)
	}
	for _, p := range people {
		p.ear.Forget()
	}
	hear(t, all(people)...)
	busy := lag.worst(from, clock()) > 60*time.Millisecond
	for i, p := range people {
		o := p.heard.since(t, began)
		t.Logf("guest-%d: %+v, the machine was busy: %v", i, o, busy)
		if o.doubled > 0 || !busy && (o.missing > 400*time.Millisecond || o.silence > 2*time.Second) {
			t.Errorf("guest-%d: %+v", i, o)
		}
	}
}
