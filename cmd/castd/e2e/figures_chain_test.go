//go:build linux

package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/castd/castd/engine/container"
)

// TestFigureChain: ten peers that feed at most two others each. What is published at the first by WHIP arrives everywhere as it
// was sent, at WHEP viewers and in files that the last one and one behind it write.
//
// What a hop adds is measured twice. On the wire: from a packet's coming in at a peer to its going out to a child, by the
// kernel's clock. And by viewers: the difference of arrival times of a packet at the viewers of adjacent peers, all in this
// process. A viewer's packets wait at his peer for the manifest that vouches for them, which comes ten times a second. That wait is the
// same at all depths but the origin's, who trusts himself; so the difference between depth 0 and 1 is mostly that wait, and the
// difference between d and d+1 is what the hop adds to the manifest's way, which is forwarded as any packet is, plus what the
// leaf and this process add to one and not to the other. The first is the figure, the second what people see.
func TestFigureChain(t *testing.T) { attempt(t, chain) }

func chain(t *testing.T, r *findings) (worst time.Duration) {
	tr := startTree(t, 10, "--max-children", "2")
	tr.draw(t)
	if n := tr.places[0].ordinary(); n > 2 {
		r.Certain("the origin has %d ordinary children, want at most 2", n)
	}
	line := tr.line()
	first, last := tr.peers[0], tr.peers[line[len(line)-1]]
	ogg, webm := inTemp(t, "last.ogg"), inTemp(t, "behind.webm")
	at := spawn(t, "listen at the last", last.dir, "listen", first.room(), "--data-dir", last.dir, "--json", "--out", ogg, "--until-end")
	at.ready()
	behind := launch(t, "listen behind the last", append([]string{"listen", first.room(), "--out", webm, "--until-end"}, last.bootstrap()...)...)
	behind.wait("parent", 1, is("joined"))

	wires := tap(t, tr.peers)
	var late lateness
	stop := echo(t, &late)
	defer stop()
	pub := first.publish(t, 10*time.Second)
	var viewers []*viewer
	for depth, i := range line {
		viewers = append(viewers, tr.peers[i].watch(t, fmt.Sprintf("depth %d", depth), &pub.sent))
	}
	time.Sleep(time.Second)
	runs, span := 1, 10*time.Second
	if long() {
		runs, span = 5, time.Minute
	}
	var best hopFigure
	for range runs {
		if wires != nil {
			wires.take()
		}
		pub.late.take()
		late.take()
		from := clock()
		time.Sleep(span)
		tr.look(t) // peers may have moved
		f := hopFigures(tr, line, viewers, wires, from, clock())
		for _, l := range []struct {
			name string
			all  []time.Duration
		}{{"sender late", pub.late.take()}, {"loopback echo", late.take()}} {
			f.tab.row(l.name, percentile(l.all, 50), percentile(l.all, 99), percentile(l.all, 100), len(l.all))
			worst = max(worst, percentile(l.all, 100))
		}
		f.tab.print(t)
		if f.packets > 0 && (best.packets == 0 || f.p99 < best.p99) {
			best = f
		}
	}
	t.Logf("a hop adds %v (p50, figure 1 ms), %v (p99, figure 5 ms; %d packets) in the best of %d runs of %v", best.p50, best.p99, best.packets, runs, span)
	if long() && (best.p50 > time.Millisecond || best.p99 > 5*time.Millisecond) {
		r.Errorf("the figure of a hop is missed")
	}
	pub.finish()
	checkViewers(t, r, pub, viewers)
	pub.leave(t)
	for _, p := range []*process{at, behind} {
		if code := p.exit(); code != 0 {
			r.Errorf("%s ended with %d", p.name, code)
		}
	}
	checkFile(r, ogg, &pub.sent, false)
	checkFile(r, webm, &pub.sent, true)
	if len(r.wrong) > 0 {
		tr.look(t)
		tr.draw(t)
		for _, i := range line {
			t.Logf("%s:\n%s", tr.peers[i].name, tr.peers[i].counters())
		}
	}
	return worst
}

// checkViewers compares what viewers got with what was sent, to the end.
func checkViewers(t *testing.T, r *findings, pub *publisher, viewers []*viewer) {
	t.Helper()
	tab := newTable("viewer", "audio", "video", "first audio", "first video", "last audio", "last video", "median delay")
	for _, v := range viewers {
		for track := range trackNames {
			if !v.waitFor(track, uint64(pub.sent.count(track)-1), 3*time.Second) {
				r.Errorf("%s: the last %s did not come", v.name, trackNames[track])
			}
			v.check(r, track, v.posted+time.Second)
		}
		a, b := v.got(audioTrack), v.got(videoTrack)
		if len(a) > 0 && len(b) > 0 {
			tab.row(v.name, len(a), len(b), a[0].counter, b[0].counter, a[len(a)-1].counter, b[len(b)-1].counter, percentile(v.delays(), 50))
		}
		if v.over.Load() {
			r.Errorf("%s: the session has ended", v.name)
		}
	}
	tab.print(t)
}

// delays returns how long packets took from the publisher to the viewer, but for the first second.
func (v *viewer) delays() []time.Duration {
	var all []time.Duration
	for track := range trackNames {
		for _, a := range v.got(track) {
			if s, ok := v.sent.packet(track, a.counter); ok && s.at > v.posted+time.Second {
				all = append(all, a.at-s.at)
			}
		}
	}
	return all
}

// hopFigure is what one run says of hops.
type hopFigure struct {
	tab      *table
	p50, p99 time.Duration
	packets  int
}

// hopFigures looks at what was sent in a time: on the wire at all peers that have a parent and children now, and at viewers whose
// peers are parent and child now. viewers are those of the peers of line.
func hopFigures(tr *tree, line []int, viewers []*viewer, wires *wiretap, from, to time.Duration) hopFigure {
	f := hopFigure{tab: newTable("hop", "p50", "p99", "max", "packets")}
	row := func(name string, all []time.Duration) {
		f.tab.row(name, percentile(all, 50), percentile(all, 99), percentile(all, 100), len(all))
	}
	var onWire, seen []time.Duration
	if wires != nil {
		w := wires.take()
		for i, at := range tr.places {
			parent := tr.index(at.Parent)
			if parent < 0 {
				continue
			}
			var all []time.Duration
			for child := range tr.places {
				if tr.places[child].Parent == tr.peers[i].id() {
					all = append(all, hopDelays(w, tr.peers[parent].mediaPort(), tr.peers[i].mediaPort(), tr.peers[child].mediaPort())...)
				}
			}
			if len(all) > 0 {
				row(fmt.Sprintf("wire, %s at depth %d", tr.peers[i].name, at.Depth), all)
				onWire = append(onWire, all...)
			}
		}
	}
	for b, j := range line {
		for a, i := range line {
			if tr.places[j].Parent != tr.peers[i].id() {
				continue
			}
			all := differences(viewers[a], viewers[b], from, to)
			row(fmt.Sprintf("viewers, depth %d to %d", tr.places[i].Depth, tr.places[j].Depth), all)
			if i != 0 {
				seen = append(seen, all...)
			}
		}
	}
	row("all on the wire", onWire)
	row("all viewers below depth 1", seen)
	if len(onWire) == 0 {
		onWire = seen
	}
	f.p50, f.p99, f.packets = percentile(onWire, 50), percentile(onWire, 99), len(onWire)
	return f
}

// differences returns how much later packets came to b than to a.
func differences(a, b *viewer, from, to time.Duration) []time.Duration {
	var all []time.Duration
	for track := range trackNames {
		at := map[uint64]time.Duration{}
		for _, x := range a.got(track) {
			at[x.counter] = x.at
		}
		for _, x := range b.got(track) {
			if first, ok := at[x.counter]; ok && first >= from && first < to {
				all = append(all, x.at-first)
			}
		}
	}
	return all
}

// checkFile compares a file with what was sent: every frame, whole and in order, from the first on.
func checkFile(r *findings, path string, sent *programme, video bool) {
	f, err := os.Open(path)
	if err != nil {
		r.Errorf("%v", err)
		return
	}
	defer f.Close()
	d, err := container.Open(f)
	if err != nil {
		r.Errorf("%s: %v", path, err)
		return
	}
	want := [2][][]byte{}
	for _, s := range sent.all(audioTrack) {
		want[audioTrack] = append(want[audioTrack], s.payload)
	}
	for _, s := range sent.all(videoTrack) {
		if s.start {
			want[videoTrack] = append(want[videoTrack], nil)
		}
		at := len(want[videoTrack]) - 1
		want[videoTrack][at] = append(want[videoTrack][at], s.payload[vp8DescriptorSize:]...)
	}
	if !video {
		want[videoTrack] = nil
	}
	var got [2]int
	for {
		frame, err := d.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			r.Errorf("%s: %v", path, err)
			return
		}
		track := audioTrack
		for _, tr := range d.Tracks() {
			if tr.ID == frame.Track && tr.Codec == "vp8" {
				track = videoTrack
			}
		}
		if i := got[track]; i >= len(want[track]) || !bytes.Equal(frame.Data, want[track][i]) {
			s, _ := readStamp(frame.Data)
			r.Errorf("%s: %s frame %d is not what was sent (%d octets, stamp %d)", path, trackNames[track], i, len(frame.Data), s.counter)
			return
		}
		got[track]++
	}
	for track := range trackNames {
		if got[track] != len(want[track]) {
			r.Errorf("%s: %d frames of %s, %d were sent", path, got[track], trackNames[track], len(want[track]))
		}
	}
}
