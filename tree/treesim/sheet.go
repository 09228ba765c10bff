package treesim

import (
	"fmt"
	"time"

	"github.com/castd/castd/tree/treesim/picture"
)

// Sheet draws a run: the tree at its end, depths and delays, and what happened around the first fault. command is told as the
// one that made it.
func (r *Result) Sheet(command string) *picture.Sheet {
	sheet := &picture.Sheet{
		Title: fmt.Sprintf("%s: %d peers, resource index %v", r.Scenario, r.Peers, r.Index),
		Notes: []string{command, "trace " + r.Trace},
	}
	at := make(map[int]int, len(r.Snapshot.Nodes))
	for i, n := range r.Snapshot.Nodes {
		at[n.ID] = i
	}
	find := func(id int) int {
		if i, ok := at[id]; ok && id >= 0 {
			return i
		}
		return -1
	}
	tree := &picture.Tree{Title: fmt.Sprintf("The tree after %v minutes", r.Minutes)}
	var depths, delays []float64
	for _, n := range r.Snapshot.Nodes {
		p := picture.Peer{Parent: find(n.Parent), Backup: find(n.Backup), Name: n.City, Origin: n.ID == 0}
		if n.Depth < 0 {
			p.Parent = -1
		} else if n.ID != 0 {
			depths, delays = append(depths, float64(n.Depth)), append(delays, n.DelayMs)
		}
		if n.Slots > 0 && n.Depth > 0 {
			p.Colour = picture.Red + picture.Colour(n.Side)
		}
		tree.Peers = append(tree.Peers, p)
	}
	sheet.Pictures = append(sheet.Pictures, tree,
		&picture.Distribution{
			Title: "Depth", Axis: "hops from the origin", Series: []picture.Series{{Name: "depth", Values: depths}},
			Targets: []picture.Target{{Share: 0.95, Most: 7}},
		},
		&picture.Distribution{Title: "Delay", Axis: "delay from the origin (ms)", Series: []picture.Series{{Name: "delay", Values: delays}}},
	)
	if len(r.Gaps) > 0 {
		// As in the table: whoever was below one that crashed and missed nothing had a gap of 0.
		all := append(make([]float64, max(0, r.Below-len(r.Gaps))), r.Gaps...)
		d := &picture.Distribution{Title: "Gaps of video", Axis: "gap (ms)", Series: []picture.Series{{Name: "video", Values: all}}, Log: true}
		if r.Scenario == "kill" {
			d.Targets = []picture.Target{{Share: 0.5, Most: 150}, {Share: 0.95, Most: 200}, {Share: 0.99, Most: 400}}
		}
		sheet.Pictures = append(sheet.Pictures, d, r.timeline())
	}
	return sheet
}

func (r *Result) timeline() *picture.Timeline {
	ms := func(x float64) time.Duration { return time.Duration(x * float64(time.Millisecond)) }
	t := &picture.Timeline{
		Title: "Who has video", GapName: "video gap", Moments: []picture.Moment{{At: ms(r.FaultMs), Name: "fault"}},
	}
	for _, p := range r.Timeline {
		t.Served = append(t.Served, picture.Sample{At: ms(r.FaultMs + p.Ms), Share: p.Share})
	}
	if n := len(r.Timeline); n > 0 {
		t.From, t.To = t.Served[0].At, t.Served[n-1].At
	}
	for i, g := range r.Gaps {
		if begin := ms(r.GapsAt[i]); begin <= t.To {
			t.Gaps = append(t.Gaps, picture.Gap{At: begin, Length: ms(g)})
		}
	}
	if r.Scenario == "supernodes30" {
		t.Goals = []picture.Goal{{At: ms(r.FaultMs + 1000), Share: 0.99, Name: "99 % in 1 s"}, {At: ms(r.FaultMs + 5000), Share: 1, Name: "all in 5 s"}}
	}
	return t
}
