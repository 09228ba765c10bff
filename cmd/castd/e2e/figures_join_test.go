//go:build linux

package e2e_test

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// TestFigureJoin: viewers who join a running video whose publisher makes a key frame every ten seconds by itself. Half of them
// come to the publisher's own peer, half to one below it.
//
// A join is measured from before the POST to the arrival of the last packet of the first complete key frame. How far behind a
// viewer is, is told by the clock of a player: it can show the picture of RTP time T when everything before has come in time,
// which is at T plus the largest of (arrival - T) so far. The difference of that between the viewer who joined and one who was
// there before, for the pictures that came a second after the POST, is what the late viewer is behind.
func TestFigureJoin(t *testing.T) { attempt(t, join) }

func join(t *testing.T, r *findings) (worst time.Duration) {
	joins := 20
	tr := startTree(t, 3, "--max-children", "1")
	tr.draw(t)
	line := tr.line()
	pub := tr.peers[0].publish(t, 10*time.Second)
	here, there := tr.peers[0], tr.peers[line[len(line)-1]]
	before := []*viewer{here.watch(t, "before, here", &pub.sent), there.watch(t, "before, there", &pub.sent)}
	for _, v := range before {
		if !v.waitFor(videoTrack, 1, patience) {
			t.Fatalf("%s: no video", v.name)
		}
	}
	time.Sleep(4 * time.Second) // the group of pictures has become old
	start, wishes := clock(), pub.wishes.Load()
	var pictures, behind []time.Duration
	var all []*viewer
	for i := range joins {
		peer, old := here, before[0]
		if i%2 == 1 {
			peer, old = there, before[1]
		}
		v := peer.watch(t, fmt.Sprintf("join %d", i), &pub.sent)
		all = append(all, v)
		at, ok := v.firstPicture(patience)
		if !ok {
			r.Errorf("%s: no complete key frame", v.name)
			continue
		}
		pictures = append(pictures, at-v.posted)
		time.Sleep(time.Until(began.Add(v.posted + 1300*time.Millisecond)))
		if d, ok := v.behind(old, v.posted+time.Second); ok {
			behind = append(behind, d)
		} else {
			r.Errorf("%s: no video a second after it joined", v.name)
		}
		if i%4 == 3 {
			v.leave(t)
		}
	}
	asked, took := pub.wishes.Load()-wishes, clock()-start
	pub.finish()
	for _, v := range append(before, all...) {
		for _, c := range v.complaints() {
			r.Certain("%s: %s", v.name, c)
		}
	}
	for i, v := range all {
		if i%4 == 3 {
			continue // has left
		}
		for track := range trackNames {
			v.waitFor(track, uint64(pub.sent.count(track)-1), 3*time.Second)
			v.check(r, track, v.posted+time.Second)
		}
	}
	tab := newTable("", "median", "p90", "max", "figure", "")
	tab.row("first picture after POST", percentile(pictures, 50), percentile(pictures, 90), percentile(pictures, 100), "150 ms", verdict(percentile(pictures, 100) <= 150*time.Millisecond))
	tab.row("behind others after 1 s", percentile(behind, 50), percentile(behind, 90), percentile(behind, 100), "300 ms", verdict(percentile(behind, 100) <= 300*time.Millisecond))
	tab.row(fmt.Sprintf("key frames asked for in %v", took.Round(100*time.Millisecond)), asked, "", "", "1 in 3 s", verdict(float64(asked) <= allowedWishes(took)))
	late := pub.late.take()
	tab.row("sender late", percentile(late, 50), percentile(late, 90), percentile(late, 100), "", "")
	tab.print(t)
	if float64(asked) > allowedWishes(took) {
		r.Certain("the publisher was asked for %d key frames in %v", asked, took)
	}
	if p := percentile(pictures, 50); p > time.Second {
		r.Errorf("the first picture took %v", p)
	}
	if p := percentile(behind, 50); p > time.Second {
		r.Errorf("who joined is %v behind", p)
	}
	if long() && (percentile(pictures, 50) > 150*time.Millisecond || percentile(behind, 50) > 300*time.Millisecond) {
		r.Errorf("the figures are missed")
	}
	return percentile(late, 100)
}

// allowedWishes is how often a publisher may be asked for a key frame in a time.
func allowedWishes(d time.Duration) float64 { return math.Floor(d.Seconds()/3) + 1 }

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "MISSED"
}

// firstPicture returns when the last packet of the first complete key frame came.
func (v *viewer) firstPicture(within time.Duration) (time.Duration, bool) {
	deadline := clock() + within
	for clock() < deadline {
		count := map[int]int{}
		for _, a := range v.got(videoTrack) {
			s, ok := v.sent.packet(videoTrack, a.counter)
			if !ok || !s.key {
				continue
			}
			if count[s.frame]++; count[s.frame] == keyPackets {
				return a.at, true
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	return 0, false
}

// behind returns how much later a player of this viewer shows the pictures that came after from, than one of the other.
func (v *viewer) behind(other *viewer, from time.Duration) (time.Duration, bool) {
	mine, others := v.shown(from-time.Second), other.shown(from-time.Second)
	var worst time.Duration
	found := false
	for frame, at := range mine {
		if o, ok := others[frame]; ok && at.arrived >= from {
			worst, found = max(worst, at.shown-o.shown), true
		}
	}
	return worst, found
}

type showing struct{ arrived, shown time.Duration }

// shown returns when a player that began at from could show each picture.
func (v *viewer) shown(from time.Duration) map[int]showing {
	all := map[int]showing{}
	var late time.Duration // largest of arrival - time so far
	var first uint32
	started := false
	for _, a := range v.got(videoTrack) {
		if a.at < from {
			continue
		}
		s, ok := v.sent.packet(videoTrack, a.counter)
		if !ok {
			continue
		}
		if !started {
			first, started = a.timestamp, true
		}
		at := time.Duration(int32(a.timestamp-first)) * time.Second / 90000
		if d := a.at - at; late == 0 || d > late {
			late = d
		}
		if s.marker {
			all[s.frame] = showing{a.at, at + late}
		}
	}
	return all
}
