//go:build linux

package e2e_test

import (
	"fmt"
	"testing"
	"time"
)

// TestCallDirect: two take part by way of two peers, and then a third, and hear each other without the peer that hosts the room. When there are
// five, that one mixes, and those who talked before miss nothing of each other; so when the others have gone.
func TestCallDirect(t *testing.T) {
	hub := launch(t, "hub", "start", "--room", "talk", "--mode", "conference", "--http", "127.0.0.1:0")
	first := hub.ready()
	start := func(name string) event {
		p := launch(t, name, "start", "--room", "talk", "--http", "127.0.0.1:0", "--bootstrap", hub.address())
		p.wait("joined", 1, is("joined"))
		return p.ready()
	}
	near, far := start("near"), start("far")
	ann := joinCall(t, near.text("http"), near.text("token"), "talk", "Ann", 400)
	bob := joinCall(t, far.text("http"), far.text("token"), "talk", "Bob", 700)
	pair := []ears{{"Ann", ann.ear, 400, []float64{700}}, {"Bob", bob.ear, 700, []float64{400}}}
	hear(t, pair...)
	mode := func(want string) {
		t.Helper()
		for deadline := time.Now().Add(2 * patience); ; time.Sleep(100 * time.Millisecond) {
			m := roomOf(t, ann.guest, "talk").Mixer
			if m.Mode == want && (m.Peer == "") == (want == "direct") {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("the API tells of the mixer %+v, want mode %q", m, want)
			}
		}
	}
	mode("direct")

	eve := joinCall(t, first.text("http"), first.text("token"), "talk", "Eve", 1200)
	hear(t, ears{"Ann", ann.ear, 400, []float64{700, 1200}}, ears{"Bob", bob.ear, 700, []float64{400, 1200}}, ears{"Eve", eve.ear, 1200, []float64{400, 700}})
	mode("direct")
	time.Sleep(4 * time.Second) // so that it is known what is usual; processes have no fake clock
	lag, began, from := watchLag(t), time.Now(), clock()
	var more []*participant
	for i, at := range []event{near, far} {
		more = append(more, joinCall(t, at.text("http"), at.text("token"), "talk", fmt.Sprintf("guest-%d", i), 2000+500*float64(i)))
	}
	mode("")
	for _, p := range more {
		p.leave(t)
	}
	mode("direct")
	for _, p := range []*participant{ann, bob, eve} {
		p.ear.Forget()
	}
	hear(t, ears{"Ann", ann.ear, 400, []float64{700, 1200}}, ears{"Bob", bob.ear, 700, []float64{400, 1200}}, ears{"Eve", eve.ear, 1200, []float64{400, 700}})
	late := lag.worst(from, clock())
	busy := late > 60*time.Millisecond
	if busy {
		t.Logf("the machine was %v late: what it held up does not count", late)
	}
	for name, p := range map[string]*participant{"Ann": ann, "Bob": bob, "Eve": eve} {
		o := p.heard.since(t, began)
		t.Logf("%s: %+v", name, o)
		if o.doubled > 0 || !busy && (o.missing > 400*time.Millisecond || o.silence > 2*time.Second) {
			t.Errorf("%s: %+v", name, o)
		}
	}
}
