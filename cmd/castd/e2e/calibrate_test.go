//go:build linux

package e2e_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The simulator of the tree takes what processes need beyond the network's time from a file, which is measured and written by
//
//	go test ./cmd/castd/e2e -run TestCalibrate -v -calibration ../../../tree/treesim/calibration.json
var (
	calibrationFile   = flag.String("calibration", "", "file of the simulator's calibration to write")
	calibrationFaults = flag.Int("calibration-faults", 12, "kills, and stops, to measure")
)

// quantiles are those of a time in milliseconds.
type quantiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

// calibration is the file, as package treesim describes it.
type calibration struct {
	Machine    string    `json:"machine"`
	Date       string    `json:"date"`
	Command    string    `json:"command"`
	DetectKill quantiles `json:"detect_kill_ms"`
	DetectStop quantiles `json:"detect_stop_ms"`
	Resume     quantiles `json:"resume_ms"`
	HopSetup   quantiles `json:"hop_setup_ms"`
	HopForward quantiles `json:"hop_forward_ms"`
}

func quantilesOf(all []time.Duration) quantiles {
	ms := func(p float64) float64 { return math.Round(float64(max(0, percentile(all, p)))/1e4) / 100 }
	return quantiles{ms(50), ms(95), ms(99)}
}

// TestCalibrate measures, with a programme going on: how long children of a peer that is killed, or stopped, take until they ask
// another; how long the other takes to feed them; how long a new hop takes; and how long a packet stays in a relay. Round trips
// are next to nothing here, so all of it is the processes' own.
func TestCalibrate(t *testing.T) {
	if *calibrationFile == "" {
		t.Skip("-calibration names no file to write")
	}
	c := calibration{Machine: machine(), Date: time.Now().UTC().Format(time.DateOnly),
		Command: fmt.Sprintf("go test ./cmd/castd/e2e -run TestCalibrate -calibration FILE -calibration-faults %d", *calibrationFaults)}
	tab := newTable("what", "p50", "p95", "p99", "max", "samples")
	note := func(name string, all []time.Duration) quantiles {
		tab.row(name, percentile(all, 50), percentile(all, 95), percentile(all, 99), percentile(all, 100), len(all))
		if len(all) < 10 {
			t.Errorf("%s: %d samples say nothing", name, len(all))
		}
		return quantilesOf(all)
	}
	times := calibrateFaults(t)
	c.DetectKill = note("a killed parent is noticed", times.kill)
	c.DetectStop = note("a stopped parent is noticed", times.stop)
	c.Resume = note("another feeds", times.resume)
	c.HopSetup = note("a hop is opened", times.setup)
	c.HopForward = note("a packet is passed on", calibrateForwarding(t))
	tab.print(t)
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if t.Failed() {
		return
	}
	if err := os.WriteFile(*calibrationFile, append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// faultTimes are what the logs of peers tell of faults.
type faultTimes struct{ kill, stop, resume, setup []time.Duration }

// calibrateFaults has peers killed and stopped and reads what their children did in their logs.
func calibrateFaults(t *testing.T) (times faultTimes) {
	r := newFaultRoom(t, 14, 3, "--log-level", "debug", "--log-format", "json")
	pub := publish(t, r.origin.http(), r.origin.token(), r.origin.room(), 2*time.Second, pictureSizes{key: 4, delta: 1})
	defer pub.finish()
	lag := watchLag(t)
	rng := rand.New(rand.NewPCG(*chaosSeed, 2))
	for k, tries := 0, 0; k < 2**calibrationFaults && tries < 4**calibrationFaults; tries++ {
		sig, into := syscall.SIGKILL, &times.kill
		if k%2 == 1 {
			sig, into = syscall.SIGSTOP, &times.stop
		}
		var with []*faultPeer // inner peers that have children
		for _, p := range r.inner {
			if p.at.ordinary() > 0 {
				with = append(with, p)
			}
		}
		if len(with) == 0 {
			t.Fatal("no inner peer has children")
		}
		victim := with[rng.IntN(len(with))]
		at := clock()
		_ = victim.cmd.Process.Signal(sig)
		time.Sleep(1500 * time.Millisecond)
		if late := lag.worst(at, at+time.Second); late <= lagLimit {
			for _, p := range r.peers() {
				if p.at.Parent == victim.id() && p != victim {
					repairTimes(p.logged(at, at+1500*time.Millisecond), into, &times.resume)
				}
			}
			k++
		}
		replaceIt(t, r, victim, rng)
		r.settle(30 * time.Second)
	}
	for _, p := range r.peers() {
		setupTimes(p.logged(0, clock()), &times.setup)
	}
	return times
}

// repairTimes takes from a child's log when it first asked another peer, and how long one took to feed it that it had a hop to.
func repairTimes(log []logLine, detect, resume *[]time.Duration) {
	asked, cold := map[string]time.Duration{}, map[string]bool{}
	for _, l := range log {
		f := strings.Fields(l.what)
		switch {
		case len(f) == 3 && f[0] == "open" && f[1] == "hop":
			cold[f[2]] = true // what that takes is measured by itself
		case len(f) == 4 && f[0] == "to" && f[2] == "join" && f[3] == "orphan":
			if len(asked) == 0 {
				*detect = append(*detect, l.at)
			}
			asked[f[1]] = l.at
		case len(f) == 4 && f[0] == "feeds":
			if at, ok := asked[f[1]]; ok {
				if !cold[f[1]] {
					*resume = append(*resume, l.at-at)
				}
				return
			}
		}
	}
}

// setupTimes takes from a peer's log how long the hops took that it opened.
func setupTimes(log []logLine, into *[]time.Duration) {
	opened := map[string]time.Duration{}
	for _, l := range log {
		f := strings.Fields(l.what)
		switch {
		case len(f) == 3 && f[0] == "open" && f[1] == "hop":
			opened[f[2]] = l.at
		case len(f) == 3 && f[0] == "hop" && f[1] == "up":
			if at, ok := opened[f[2]]; ok && l.at-at > 100*time.Microsecond { // else it was there
				*into = append(*into, l.at-at)
			}
			delete(opened, f[2])
		case len(f) == 3 && f[0] == "close" && f[1] == "hop":
			delete(opened, f[2])
		}
	}
}

// calibrateForwarding measures what a relay adds to a packet's way, on the wire where this process may look at it.
func calibrateForwarding(t *testing.T) []time.Duration {
	tr := startTree(t, 8, "--max-children", "2")
	wires := tap(t, tr.peers)
	if wires == nil {
		t.Fatal("what a relay adds is measured on the wire, which needs CAP_NET_RAW")
	}
	pub := tr.peers[0].publish(t, 10*time.Second)
	lag := watchLag(t)
	time.Sleep(time.Second)
	tr.look(t)
	var all []time.Duration
	for pieces, tries := 0, 0; pieces < forwardPieces && tries < 6*forwardPieces; tries++ {
		wires.take()
		at := clock()
		time.Sleep(forwardPiece)
		if w := wires.take(); lag.worst(at, clock()) <= lagLimit {
			all = append(all, tr.hopDelays(w)...)
			pieces++
		}
	}
	pub.finish()
	return all
}

// Forwarding is measured in pieces, of which those count in which this process was not late.
const (
	forwardPieces = 20
	forwardPiece  = 500 * time.Millisecond
)

// hopDelays returns how long packets stayed in all of the tree's relays.
func (tr *tree) hopDelays(w map[wire]time.Duration) (all []time.Duration) {
	for i, at := range tr.places {
		parent := tr.index(at.Parent)
		if parent < 0 {
			continue
		}
		for child := range tr.places {
			if tr.places[child].Parent == tr.peers[i].id() {
				all = append(all, hopDelays(w, tr.peers[parent].mediaPort(), tr.peers[i].mediaPort(), tr.peers[child].mediaPort())...)
			}
		}
	}
	return all
}

// machine describes this one, and how many threads wanted to run on it in the minute before: what processes take grows with that.
func machine() string {
	model := runtime.GOARCH
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	load := "unknown"
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		load, _, _ = strings.Cut(string(b), " ")
	}
	return fmt.Sprintf("%s, %d cores, %s, load %s", model, runtime.NumCPU(), runtime.Version(), load)
}
