//go:build linux

package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFigureFailure: a peer in the middle of the tree dies, or is there and says nothing any more. Everybody below has media
// again within a second, without a viewer's session ending.
func TestFigureFailure(t *testing.T) {
	for _, way := range []struct {
		name string
		hit  func(*testing.T, *node)
	}{{"killed", func(_ *testing.T, n *node) { n.kill() }}, {"silent", silence}} {
		t.Run(way.name, func(t *testing.T) {
			attempt(t, func(t *testing.T, r *findings) time.Duration { return failure(t, r, way.name, way.hit) })
		})
	}
}

func failure(t *testing.T, r *findings, how string, hit func(*testing.T, *node)) (worst time.Duration) {
	tr := startTree(t, 8, "--max-children", "2")
	tr.draw(t)
	victim := tr.inner()
	if victim < 0 {
		t.Fatal("no peer but the origin has children")
	}
	pub := tr.peers[0].publish(t, 10*time.Second)
	var viewers []*viewer
	var below []bool
	for i, p := range tr.peers {
		if i == victim {
			continue
		}
		under := slices.Contains(tr.places[i].Path, tr.peers[victim].id())
		viewers = append(viewers, p.watch(t, fmt.Sprintf("%s at depth %d", p.name, tr.places[i].Depth), &pub.sent))
		below = append(below, under)
	}
	for _, v := range viewers {
		if !v.waitFor(audioTrack, 50, patience) || !v.waitFor(videoTrack, 50, patience) {
			t.Fatalf("%s: no media", v.name)
		}
	}
	time.Sleep(time.Second)
	at := clock()
	hit(t, tr.peers[victim])
	time.Sleep(5 * time.Second)
	pub.finish()
	time.Sleep(time.Second)
	t.Logf("%s is %s", tr.peers[victim].name, how)
	tab := newTable("viewer", "below", "audio gap", "video gap", "audio lost", "video lost", "figure")
	for i, v := range viewers {
		if v.over.Load() {
			r.Certain("%s: the session ended", v.name)
		}
		for _, c := range v.complaints() {
			r.Certain("%s: %s", v.name, c)
		}
		var gaps [2]time.Duration
		var lost [2]int
		for track := range trackNames {
			all, sent := v.got(track), pub.sent.all(track)
			for j := 1; j < len(all); j++ {
				if all[j].at >= at && all[j].counter > all[j-1].counter {
					// What the sender was late is not the peers' fault.
					own := sent[all[j-1].counter+1].at - sent[all[j-1].counter].at - []time.Duration{audioEvery, pictureTime}[track]
					gaps[track] = max(gaps[track], all[j].at-all[j-1].at-max(0, own))
				}
				switch {
				case all[j].counter > all[j-1].counter:
					lost[track] += int(all[j].counter - all[j-1].counter - 1)
				default:
					r.Certain("%s: %s %d after %d", v.name, trackNames[track], all[j].counter, all[j-1].counter)
				}
			}
			if len(all) == 0 || all[len(all)-1].counter != uint64(pub.sent.count(track)-1) {
				r.Errorf("%s: no %s at the end", v.name, trackNames[track])
			}
		}
		gap := max(gaps[0], gaps[1])
		tab.row(v.name, below[i], gaps[audioTrack], gaps[videoTrack], lost[audioTrack], lost[videoTrack], verdict(gap <= time.Second))
		if bound := 5 * time.Second; gap > bound || long() && gap > time.Second {
			r.Errorf("%s: %v without media after the peer was %s", v.name, gap, how)
		}
	}
	late := pub.late.take()
	tab.row("sender late", "", percentile(late, 99), percentile(late, 100), "", "", "")
	tab.print(t)
	tr.look(t)
	tr.draw(t)
	return percentile(late, 100)
}

// inner returns the peer below the origin that has most others below it, or -1.
func (tr *tree) inner() int {
	best, most := -1, 0
	for i := 1; i < len(tr.peers); i++ {
		n := 0
		for j := range tr.places {
			if j != i && slices.Contains(tr.places[j].Path, tr.peers[i].id()) {
				n++
			}
		}
		if n > most {
			best, most = i, n
		}
	}
	return best
}

// silence makes everything that a peer sends or is sent disappear, HTTP aside, where this process may tell the kernel so; else it
// stops the peer.
func silence(t *testing.T, n *node) {
	t.Helper()
	ports := map[string][]string{"udp": {fmt.Sprint(n.mediaPort())}}
	addrs, _ := n.line["addrs"].([]any)
	for _, a := range addrs {
		parts := strings.Split(fmt.Sprint(a), "/")
		for i := 0; i+1 < len(parts); i++ {
			if parts[i] == "udp" || parts[i] == "tcp" {
				ports[parts[i]] = append(ports[parts[i]], parts[i+1])
			}
		}
	}
	table := fmt.Sprintf("castd_e2e_%d", os.Getpid())
	var rules strings.Builder
	fmt.Fprintf(&rules, "table inet %s {\n chain out {\n  type filter hook output priority 0;\n", table)
	for _, proto := range []string{"udp", "tcp"} {
		for _, side := range []string{"sport", "dport"} {
			if list := strings.Join(ports[proto], ", "); list != "" {
				fmt.Fprintf(&rules, "  %s %s { %s } drop\n", proto, side, list)
			}
		}
	}
	rules.WriteString(" }\n}\n")
	load := exec.Command("nft", "-f", "-")
	load.Stdin = strings.NewReader(rules.String())
	if out, err := load.CombinedOutput(); err != nil {
		t.Logf("the peer is stopped instead of cut off: nft: %v %s", err, out)
		if err := n.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Cleanup(func() { // the table is this test's own
		if out, err := exec.Command("nft", "delete", "table", "inet", table).CombinedOutput(); err != nil {
			t.Errorf("nft: %v %s", err, out)
		}
	})
}
