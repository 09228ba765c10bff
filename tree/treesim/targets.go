package treesim

import "fmt"

// Row is a line of a run's table.
type Row struct {
	Name   string
	Value  string
	Target string // "" where there is none
	OK     bool   // the target is reached; true where there is none
}

// Rows tells what was measured beside what is to be reached. A target that means nothing to the scenario is left out.
func (r *Result) Rows() []Row {
	var rows []Row
	most := func(name string, value, limit float64, unit string) {
		rows = append(rows, Row{name, number3(value) + unit, "<= " + number3(limit) + unit, value <= limit})
	}
	least := func(name string, value, limit float64, unit string) {
		rows = append(rows, Row{name, number3(value) + unit, ">= " + number3(limit) + unit, value >= limit})
	}
	exact := func(name string, value, target int) {
		rows = append(rows, Row{name, fmt.Sprint(value), fmt.Sprint(target), value == target})
	}
	info := func(name, value string) { rows = append(rows, Row{name, value, "", true}) }

	whole := r.Scenario != "partition" && r.Scenario != "origincrash"
	info("peers at the end, with a place", fmt.Sprintf("%d, %d", r.Running, r.Placed))
	if r.Index >= 1.15 && whole {
		exact("joins without a place after 5 s", r.RefusedJoins, 0)
	} else {
		info("joins without a place after 5 s", fmt.Sprint(r.RefusedJoins))
	}
	exact("loops longer than 1 s", r.Loops, 0)
	exact("more children than slots", r.SlotViolations, 0)
	exact("paths that are wrong for 2 s", r.WrongPaths, 0)
	if r.Index >= 1.15 && whole {
		most("depth p95", float64(r.DepthP95), 7, "")
		most("depth max", float64(r.DepthMax), 10, "")
		most("relative delay p50", r.RDPP50, 2.2, "")
		most("relative delay p95", r.RDPP95, 3.5, "")
		exact("streams that the origin sends", r.OriginStreams, 2)
		info("at most, with orphans", fmt.Sprint(r.OriginMost))
	}
	info("relative delay with all knowledge", number3(r.ReferenceP50)+", "+number3(r.ReferenceP95))
	info("delay p50, p95", number3(r.DelayP50)+", "+number3(r.DelayP95)+" ms")
	info("time to a place p50, p95, p99", number3(r.JoinP50)+", "+number3(r.JoinP95)+", "+number3(r.JoinP99)+" ms")
	info("time to media p50, p95", number3(r.MediaP50)+", "+number3(r.MediaP95)+" ms")
	switch r.Scenario {
	case "kill":
		most("video gap p50", r.VideoGapP50, 150, " ms")
		most("video gap p95", r.VideoGapP95, 200, " ms")
		most("video gap p99", r.VideoGapP99, 400, " ms")
		most("audio gap p99", r.AudioGapP99, 0, " ms")
		most("gaps that a buffer of 200 ms does not hide", r.Stalls, 1, " %")
		exact("moves of others than direct children", r.Indirect, 0)
	case "supernodes30":
		least("media again in 1 s", r.Served1s, 99, " %")
		least("media again in 5 s", r.Served5s, 100, " %")
		info("video gap p50, p95, p99", r.gaps())
	case "restart50", "flash":
		least("media, or media again, in 5 s", r.Served5s, 99, " %")
		info("video gap p50, p95, p99", r.gaps())
	case "partition":
		most("one tree again after", r.HealMs, 15_000, " ms")
		info("video gap p50, p95, p99", r.gaps())
	default:
		info("video gap p50, p95, p99", r.gaps())
		info("audio gap p99", number3(r.AudioGapP99)+" ms")
		info("media again in 1 s, 5 s", number3(r.Served1s)+", "+number3(r.Served5s)+" %")
	}
	info("below those who crashed, gaps of video, without end", fmt.Sprintf("%d, %d, %d", r.Below, r.Cut, r.Unserved))
	info("gaps after goodbyes, p99", fmt.Sprintf("%d, %s ms", r.GoodbyeGaps, number3(r.GoodbyeP99)))
	info("gaps by moves, p50, p99", fmt.Sprintf("%d, %s, %s ms", r.OtherGaps, number3(r.OtherP50), number3(r.OtherP99)))
	if r.Scenario == "steady" || r.Scenario == "rich" {
		least("audio in time", r.DeliveryAudio, 99.9, " %")
		least("video in time", r.DeliveryVideo, 99.5, " %")
		most("voluntary moves per peer and minute", r.Moves, 0.5, "")
	} else {
		info("audio, video in time", number3(r.DeliveryAudio)+", "+number3(r.DeliveryVideo)+" %")
		info("voluntary moves per peer and minute", number3(r.Moves))
	}
	most("control, of 1.5 Mbit/s", r.Control, 4, " %")
	info("control of a leaf, in and out", fmt.Sprintf("%s %%, %s kbit/s", number3(r.ControlLeaf), number3(r.ControlLeafKbps)))
	info("control of a peer that feeds", number3(r.ControlGiver)+" %")
	for _, c := range r.ControlBySort {
		info("- "+c.Sort+": all, leaf, peer that feeds", fmt.Sprintf("%.2f, %.2f, %.2f %%", c.All, c.Leaf, c.Giver))
	}
	info("steps a second: leaf, peer that feeds", number3(r.LeafSteps)+", "+number3(r.GiverSteps))
	info("backup: have one, disjoint, with audio", fmt.Sprintf("%s, %s, %s %%", number3(r.WithBackup), number3(r.DisjointBackup), number3(r.DualAudio)))
	info("parents that get all from both of theirs, by children", number3(r.Protected)+" %")
	info("uplinks over their load, children without video", fmt.Sprintf("%d, %d", r.Overloaded, r.Starved))
	return rows
}

func (r *Result) gaps() string {
	return number3(r.VideoGapP50) + ", " + number3(r.VideoGapP95) + ", " + number3(r.VideoGapP99) + " ms"
}

// number3 writes a number with at most three digits after the point, and fewer where it is large.
func number3(x float64) string {
	switch {
	case x == float64(int64(x)):
		return fmt.Sprint(int64(x))
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}
