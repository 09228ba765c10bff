//go:build linux

package e2e_test

import (
	"fmt"
	"testing"
	"time"
)

// TestFigureChain: ten peers that feed at most two others each.
func TestFigureChain(t *testing.T) {
	tr := startTree(t, 10, "--max-children", "2")
	tr.draw(t)
	if n := tr.places[0].ordinary(); n > 2 {
		t.Errorf("the origin has %d ordinary children, want at most 2", n)
	}
	line := tr.line()
	pub := tr.peers[0].publish(t, 10*time.Second)
	var viewers []*viewer
	for depth, i := range line {
		viewers = append(viewers, tr.peers[i].watch(t, fmt.Sprintf("depth %d", depth), &pub.sent))
	}
	time.Sleep(10 * time.Second)
	pub.finish()
	for _, v := range viewers {
		for track := range trackNames {
			last := uint64(pub.sent.count(track) - 1)
			if !v.waitFor(track, last, 3*time.Second) {
				t.Errorf("%s: the last %s did not come", v.name, trackNames[track])
			}
			v.check(t, track, v.posted+time.Second)
		}
	}
	if t.Failed() {
		tr.look(t)
		tr.draw(t)
		for _, i := range line {
			t.Logf("%s:\n%s", tr.peers[i].name, tr.peers[i].counters())
		}
	}
	tab := newTable("viewer", "audio", "video", "first audio", "first video")
	for _, v := range viewers {
		a, b := v.got(audioTrack), v.got(videoTrack)
		if len(a) > 0 && len(b) > 0 {
			tab.row(v.name, len(a), len(b), a[0].counter, b[0].counter)
		}
	}
	tab.print(t)
}
