//go:build linux

package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestFigureIdle: what a peer costs that is in a room where nothing happens, the owner's and one that joined.
func TestFigureIdle(t *testing.T) {
	begin := clock()
	owner := startNode(t, "owner", "--room", "stage")
	ownerReady := clock() - begin
	begin = clock()
	member := startNode(t, "member", append([]string{"--room", owner.room()}, owner.bootstrap()...)...)
	memberReady := clock() - begin
	member.wait("parent", 1, is("joined"))
	time.Sleep(5 * time.Second) // what starting costs is not idling
	span := 10 * time.Second
	if long() {
		span = 30 * time.Second
	}
	peers := []*node{owner, member}
	before := make([]time.Duration, len(peers))
	for i, p := range peers {
		before[i] = cpuTime(t, p.pid())
	}
	start := clock()
	time.Sleep(span)
	took := clock() - start
	tab := newTable("peer", "start to ready", "resident", "CPU", "")
	for i, p := range peers {
		used := cpuTime(t, p.pid()) - before[i]
		percent := 100 * float64(used) / float64(took)
		resident := residentMB(t, p.pid())
		ready := []time.Duration{ownerReady, memberReady}[i]
		met := ready < time.Second && resident < 50 && percent < 0.5
		tab.row(p.name, ready, fmt.Sprintf("%.1f MB", resident), fmt.Sprintf("%.2f %% of a core", percent), verdict(met))
		if resident > 50 {
			t.Errorf("%s: %.1f MB resident, want less than 50", p.name, resident)
		}
		if percent > 5 || long() && percent > 0.5 {
			t.Errorf("%s: %.2f %% of a core while idle", p.name, percent)
		}
		if ready > 10*time.Second || long() && ready > time.Second {
			t.Errorf("%s: ready after %v", p.name, ready)
		}
	}
	tab.row("figure", "1000 ms", "50 MB", "0.5 % of a core", "")
	tab.print(t)
}

// cpuTime returns the user and system time of a process.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	// Fields after the command's closing parenthesis; utime and stime are the 14th and 15th of the line, in ticks of 10 ms.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 13 {
		t.Fatalf("cannot read %q", b)
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// residentMB returns the resident memory of a process.
func residentMB(t *testing.T, pid int) float64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb / 1000
		}
	}
	t.Fatal("no VmRSS")
	return 0
}
