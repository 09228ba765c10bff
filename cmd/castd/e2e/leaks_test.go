package e2e_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// use is what a process has in use.
type use struct{ goroutines, files, heap, resident float64 }

func (u use) String() string {
	return fmt.Sprintf("%.0f goroutines, %.0f descriptors, heap %.1f MB, resident %.1f MB", u.goroutines, u.files, u.heap/1e6, u.resident/1e6)
}

// use reads what the peer has in use, garbage aside.
func (a *api) use() use {
	a.t.Helper()
	if got := a.do(call{method: "GET", path: "/debug/pprof/heap?gc=1"}); got.status != 200 {
		a.t.Fatalf("collect garbage: %d", got.status)
	}
	return use{a.metric("go_goroutines"), a.metric("process_open_fds"), a.metric("go_memstats_heap_alloc_bytes"), a.metric("process_resident_memory_bytes")}
}

// TestNothingIsLeft: when viewers and peers have come and gone, a peer has as many goroutines and descriptors as before, and no
// more on its heap. With -figures 10,000 viewers and 500 peers come and go.
func TestNothingIsLeft(t *testing.T) {
	viewers, peers, round := 300, 20, 100
	if long() {
		viewers, peers, round = 10_000, 500, 250
	}
	const peersRound = 10
	o := origin(t, "--max-children", strconv.Itoa(2*peersRound), "--upload", "1G")
	a := apiOf(t, o)
	watch := func(n int) {
		t.Helper()
		// A token each time: what one bearer may ask for at once is limited.
		token := a.roomToken(o.ready().text("room"), `{"speak":true}`)
		out, errs, code := castd(t, "bench", a.base+"/whip/lobby", "--token", token, "--audio-publishers", "1", "--subscribers", strconv.Itoa(n),
			"--num-per-second", "1000", "--duration", "200ms", "--settle", "0s", "--json")
		var got struct{ Subscribers, Failed int }
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || got.Subscribers != n || got.Failed > 0 {
			t.Fatalf("bench: exit code %d, %v: %s %s", code, err, out, errs)
		}
	}
	// The first ones make what stays: caches, buffers, the slot of the publisher.
	watch(round)
	a.peersComeAndGo(o, peersRound)
	a.settled(use{goroutines: 100, files: 40, heap: 1e9})
	before := a.use()
	for left := viewers; left > 0; left -= round {
		watch(min(left, round))
	}
	for left := peers; left > 0; left -= peersRound {
		a.peersComeAndGo(o, min(left, peersRound))
	}
	// Connections that are kept alive for a while, and garbage of the runtime, are no leak; one for every hundredth guest would be.
	after := a.settled(use{before.goroutines + 10, before.files + 5, before.heap*1.5 + 10e6, 0})
	t.Logf("before: %s\nafter %d viewers and %d peers: %s", before, viewers, peers, after)
	if n := a.metric(`castd_gateway_sessions_total{protocol="whep"}`); n < float64(viewers+round) {
		t.Errorf("only %v sessions have been there", n)
	}
}

// settled waits until the peer has no more in use than most, and returns what it has.
func (a *api) settled(most use) use {
	a.t.Helper()
	for end := time.Now().Add(3 * patience); ; time.Sleep(500 * time.Millisecond) { // processes have no fake clock
		u := a.use()
		if u.goroutines <= most.goroutines && u.files <= most.files && u.heap <= most.heap {
			return u
		}
		if time.Now().After(end) {
			a.t.Errorf("the peer still has %s; want at most %s", u, most)
			a.t.Logf("%.20000s", a.do(call{method: "GET", path: "/debug/pprof/goroutine?debug=1"}).body)
			return u
		}
	}
}

// peersComeAndGo has a process with n peers join the room and leave it.
func (a *api) peersComeAndGo(o *process, n int) {
	a.t.Helper()
	p := spawn(a.t, "children", "", "bench", "children", o.address(), o.ready().text("room"), "--peers", strconv.Itoa(n))
	p.ready()
	up := regexp.MustCompile(`(?m)^(\d+) \d+$`)
	for end := time.Now().Add(2 * patience); ; time.Sleep(20 * time.Millisecond) { // processes have no fake clock
		lines := up.FindAllStringSubmatch(p.stdout(), -1)
		if len(lines) > 0 && lines[len(lines)-1][1] == strconv.Itoa(n) {
			break
		}
		if time.Now().After(end) {
			a.t.Fatalf("not all of %d peers have joined: %s", n, strings.TrimSpace(p.stdout()))
		}
	}
	p.in.Close()
	if code := p.exit(); code != 0 {
		a.t.Errorf("the peers ended with %d: %s", code, p.stderr())
	}
}
