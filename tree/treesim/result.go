package treesim

import (
	"math"
	"slices"

	"github.com/castd/castd/tree"
)

// Result is what a run measured. Times are in milliseconds, shares in per cent. Gaps are those of peers that a fault, or the crash
// of somebody above them, cut off; they count from the time of the first fault.
type Result struct {
	Scenario string  `json:"scenario"`
	Peers    int     `json:"peers"`
	Minutes  float64 `json:"minutes"`
	Seed     uint64  `json:"seed"`

	RefusedJoins   int     `json:"refused_joins"` // without a place 5 s after they asked
	Loops          int     `json:"loops"`         // that lived for longer than a second
	SlotViolations int     `json:"slot_violations"`
	DepthP95       int     `json:"depth_p95"`
	DepthMax       int     `json:"depth_max"`
	RDPP50         float64 `json:"rdp_p50"`
	RDPP95         float64 `json:"rdp_p95"`
	OriginStreams  int     `json:"origin_streams"` // median over time: orphans may sit there for a while
	AudioGapP99    float64 `json:"audio_gap_ms_p99"`
	VideoGapP50    float64 `json:"video_gap_ms_p50"`
	VideoGapP95    float64 `json:"video_gap_ms_p95"`
	VideoGapP99    float64 `json:"video_gap_ms_p99"`
	Served1s       float64 `json:"served_1s_pct"`
	Served5s       float64 `json:"served_5s_pct"`
	DeliveryAudio  float64 `json:"delivery_audio_pct"` // that came within 300 ms of its time
	DeliveryVideo  float64 `json:"delivery_video_pct"`
	Control        float64 `json:"control_pct"` // of the programme's bit rate, received, mean
	Moves          float64 `json:"moves_per_peer_minute"`
	Trace          string  `json:"trace"`

	// What follows is for people and tests.
	Index           float64 `json:"resource_index"`
	Running         int     `json:"running"`
	Placed          int     `json:"placed"`
	OriginMost      int     `json:"origin_streams_max"`
	WrongPaths      int     `json:"wrong_paths"` // that did not match the parents for 2 s
	LoopsSeen       int     `json:"loops_seen"`
	DepthP50        int     `json:"depth_p50"`
	ReferenceP50    float64 `json:"reference_rdp_p50"` // relative delays in a tree built with all knowledge
	ReferenceP95    float64 `json:"reference_rdp_p95"`
	DelayP50        float64 `json:"delay_ms_p50"`
	DelayP95        float64 `json:"delay_ms_p95"`
	JoinP50         float64 `json:"join_ms_p50"` // until the place is taken
	JoinP95         float64 `json:"join_ms_p95"`
	JoinP99         float64 `json:"join_ms_p99"`
	MediaP50        float64 `json:"media_ms_p50"` // until the first media
	MediaP95        float64 `json:"media_ms_p95"`
	Below           int     `json:"below"`    // peers that got media through one that crashed, once for each crash
	Cut             int     `json:"cut"`      // gaps of video
	Unserved        int     `json:"unserved"` // that did not end
	Stalls          float64 `json:"stalls_pct"`
	Indirect        int     `json:"indirect_moves"` // by peers whose parent was well
	GoodbyeP99      float64 `json:"goodbye_video_gap_ms_p99"`
	GoodbyeGaps     int     `json:"goodbye_gaps"`
	OtherGaps       int     `json:"other_gaps"` // by moves
	OtherP50        float64 `json:"other_video_gap_ms_p50"`
	OtherP99        float64 `json:"other_video_gap_ms_p99"`
	WithBackup      float64 `json:"with_backup_pct"`
	DisjointBackup  float64 `json:"disjoint_backup_pct"` // of those that have one
	DualAudio       float64 `json:"dual_audio_pct"`
	Protected       float64 `json:"protected_pct"` // peers below others whose parent gets all from both of its own
	Overloaded      int     `json:"overloaded"`
	Starved         int     `json:"starved"` // children without video, because their parent cannot send it
	ControlLeaf     float64 `json:"control_leaf_pct"`
	ControlLeafKbps float64 `json:"control_leaf_kbps"` // in and out
	ControlGiver    float64 `json:"control_giver_pct"`

	ControlBySort []ControlSort `json:"control_by_sort"` // they add up to the shares above

	LeafSteps  float64 `json:"leaf_steps_per_s"`
	GiverSteps float64 `json:"giver_steps_per_s"`
	Events     int64   `json:"events"`
	Steps      int64   `json:"steps"`
	Messages   int64   `json:"messages"`
	Adverts    float64 `json:"adverts_per_s"`

	FaultMs float64 `json:"fault_ms"`          // when faults could begin
	HealMs  float64 `json:"heal_ms,omitempty"` // from the end of a partition until all have a place

	Reasons map[string]int `json:"parent_changes"`

	// For pictures: gaps of video in ms; the share of peers that have video around the first fault; and the tree at the end.
	Gaps     []float64 `json:"-"`
	GapsAt   []float64 `json:"-"` // when they began, in ms since the simulation began
	Timeline []Point   `json:"-"`
	Snapshot Snapshot  `json:"-"`
}

// ControlSort is what one sort of control traffic takes of the programme's bit rate, received, in per cent: the mean over all peers, of
// those without slots, and of those with.
type ControlSort struct {
	Sort  string  `json:"sort"`
	All   float64 `json:"all_pct"`
	Leaf  float64 `json:"leaf_pct"`
	Giver float64 `json:"giver_pct"`
}

// Point is one of a timeline.
type Point struct {
	Ms    float64 // since the fault
	Share float64 // of the peers that are there and have had video, 0 to 1
}

// Snapshot is the tree at one time.
type Snapshot struct{ Nodes []Node }

// Node is a peer of a snapshot.
type Node struct {
	ID       int // of the peer; 0 is the origin
	Parent   int // -1: none
	Backup   int // -1: none
	Depth    int // -1: without a place
	Slots    int
	Children int // that are fed
	Branch   int // the child of the origin that it is below
	Side     int // 0 or 1: which of the two sides of the tree that is
	DelayMs  float64
	City     string
	Lat, Lon float64 // degrees
}

// Broken says in words which invariants did not hold.
func (r *Result) Broken() []string {
	var out []string
	add := func(bad bool, what string) {
		if bad {
			out = append(out, what)
		}
	}
	add(r.RefusedJoins > 0 && r.Index >= 1.15, "peers had no place 5 s after they asked")
	add(r.Loops > 0, "loops lived for more than a second")
	add(r.SlotViolations > 0, "peers fed more children than slots and reserve")
	add(r.WrongPaths > 0, "paths did not match the parents for 2 s")
	return out
}

func (s *Sim) result() *Result {
	m := &s.m
	for i := range s.peers {
		p := &s.peers[i]
		if p.state == departed {
			continue
		}
		for k := range p.streams {
			if st := p.streams[k]; st.offAt != 0 {
				m.gap(s, int32(i), k, s.now-st.offAt, st, false)
			}
		}
		m.moves += p.moves
		if s.countsJoins() && p.state == up && !p.liar && p.mediaAt == 0 && p.cameAt >= s.faultAt && p.cameAt < s.end-slow {
			m.waits = append(m.waits, never)
		}
	}
	r := &Result{
		Scenario: s.scenario.Name, Peers: s.cfg.Peers, Minutes: s.cfg.Minutes, Seed: s.cfg.Seed, Index: s.scenario.Index,
		RefusedJoins: m.refused, Loops: m.loops, LoopsSeen: m.loopsSeen, SlotViolations: m.slotViolations, WrongPaths: m.wrongPaths,
		FaultMs: inMs(s.faultAt), Running: s.running, Unserved: m.unserved, GoodbyeGaps: len(m.goodbye[0]), Reasons: m.reasons,
		Events: m.events, Steps: m.steps, Messages: m.messages, Timeline: m.timeline, Trace: s.log.sum(),
	}
	origin := sorted(m.originSends)
	r.OriginStreams, r.OriginMost = int(quantile(origin, 0.5)), int(quantile(origin, 1))
	s.shape(r)
	s.recovery(r)
	joins, medias := sorted(m.joins), sorted(m.medias)
	r.JoinP50, r.JoinP95, r.JoinP99 = inMs(quantile(joins, 0.5)), inMs(quantile(joins, 0.95)), inMs(quantile(joins, 0.99))
	r.MediaP50, r.MediaP95 = inMs(quantile(medias, 0.5)), inMs(quantile(medias, 0.95))
	everybody := m.leaves.plus(m.givers)
	share := func(t *traffic, octets float64) float64 {
		return round(100 * octets * 8 / (programme * 1e6) / max(1, t.seconds))
	}
	r.ControlLeaf, r.ControlGiver = share(&m.leaves, m.leaves.received()), share(&m.givers, m.givers.received())
	r.ControlLeafKbps = round((m.leaves.received() + m.leaves.out) * 8 / 1000 / max(1, m.leaves.seconds))
	r.Control = share(&everybody, everybody.received())
	for k := range sorts {
		r.ControlBySort = append(r.ControlBySort, ControlSort{
			Sort: k.String(), All: share(&everybody, everybody.in[k]), Leaf: share(&m.leaves, m.leaves.in[k]), Giver: share(&m.givers, m.givers.in[k]),
		})
	}
	r.LeafSteps = round(m.leaves.steps / max(1, m.leaves.seconds))
	r.GiverSteps = round(m.givers.steps / max(1, m.givers.seconds))
	r.Moves = round(float64(m.moves) / (float64(max(1, m.seconds)) / 60))
	r.Adverts = round(float64(s.adverts.count) / (float64(s.end) / 1e9))
	return r
}

func (s *Sim) recovery(r *Result) {
	m := &s.m
	for _, c := range s.causes {
		r.Below += c.below
	}
	// Whoever was below one that crashed and missed nothing had a gap of 0.
	whole := func(list []int64) []int64 {
		list = sorted(list)
		return append(make([]int64, max(0, r.Below-len(list))), list...)
	}
	gaps := whole(m.gaps[0])
	r.VideoGapP50, r.VideoGapP95, r.VideoGapP99 = inMs(quantile(gaps, 0.5)), inMs(quantile(gaps, 0.95)), inMs(quantile(gaps, 0.99))
	r.AudioGapP99 = inMs(quantile(whole(m.gaps[1]), 0.99))
	r.Cut = len(m.gaps[0])
	if len(gaps) > 0 {
		r.Stalls = round(100 - within(gaps, playout))
	}
	served := append(slices.Clone(gaps), m.waits...)
	r.Served1s, r.Served5s = round(within(served, quick)), round(within(served, slow))
	others := sorted(m.others[0])
	r.OtherGaps, r.OtherP50, r.OtherP99 = len(others), inMs(quantile(others, 0.5)), inMs(quantile(others, 0.99))
	r.GoodbyeP99 = inMs(quantile(sorted(m.goodbye[0]), 0.99))
	for _, c := range s.causes {
		r.Indirect += c.indirect
	}
	total := float64(max(1, m.seconds)) * 1e9
	r.DeliveryVideo = round(100 * max(0, 1-float64(m.late[0])/total))
	r.DeliveryAudio = round(100 * max(0, 1-float64(m.late[1])/total))
	for i, g := range m.gaps[0] {
		r.Gaps, r.GapsAt = append(r.Gaps, inMs(g)), append(r.GapsAt, inMs(m.begun[i]))
	}
	if m.healedAt > 0 {
		r.HealMs = inMs(max(m.wholeAt, m.healedAt) - m.healedAt)
		if m.wholeAt == 0 {
			r.HealMs = inMs(s.end - m.healedAt)
		}
	}
}

// shape looks at the tree.
func (s *Sim) shape(r *Result) {
	var depths, rdps, delays []int64
	backups, disjoint, dual, members, deep, safe := 0, 0, 0, 0, 0, 0
	for i := range s.peers {
		p := &s.peers[i]
		if p.state != up {
			continue
		}
		st := &p.status
		n := Node{
			ID: i, Parent: int(p.primary), Backup: int(p.backup), Depth: -1, Slots: p.slots,
			City: cities[p.city].name, Lat: cities[p.city].lat, Lon: cities[p.city].lon,
		}
		for _, c := range p.children {
			if c.Kind != tree.Backup {
				n.Children++
			}
		}
		if st.Placed {
			n.Depth = st.Depth
			r.Placed++
			if len(st.Path) > 1 {
				n.Branch = int(s.index(st.Path[1]))
				n.Side = int(st.Path[1][7] & 1)
			}
			d := s.delay(int32(i))
			n.DelayMs = inMs(d)
			if i != 0 {
				depths = append(depths, int64(st.Depth))
				delays = append(delays, d)
				rdps = append(rdps, 1000*d/s.way(0, int32(i)))
			}
		}
		if i != 0 {
			members++
			if p.backup >= 0 {
				backups++
				if s.disjoint(p) {
					disjoint++
				}
				if p.feeds.Copy != tree.CopyNone {
					dual++
				}
			}
		}
		if up := p.primary; up > 0 {
			deep++
			if s.peers[up].feeds.Copy == tree.CopyAll {
				safe++
			}
		}
		if p.over {
			r.Overloaded++
		}
		r.Starved += p.starved
		r.Snapshot.Nodes = append(r.Snapshot.Nodes, n)
	}
	slices.Sort(depths)
	slices.Sort(rdps)
	slices.Sort(delays)
	r.DepthP50, r.DepthP95, r.DepthMax = int(quantile(depths, 0.5)), int(quantile(depths, 0.95)), int(quantile(depths, 1))
	r.RDPP50, r.RDPP95 = round(float64(quantile(rdps, 0.5))/1000), round(float64(quantile(rdps, 0.95))/1000)
	ideal := s.reference()
	r.ReferenceP50, r.ReferenceP95 = round(float64(quantile(ideal, 0.5))/1000), round(float64(quantile(ideal, 0.95))/1000)
	r.DelayP50, r.DelayP95 = inMs(quantile(delays, 0.5)), inMs(quantile(delays, 0.95))
	r.WithBackup = round(100 * float64(backups) / float64(max(1, members)))
	r.DisjointBackup = round(100 * float64(disjoint) / float64(max(1, backups)))
	r.Protected = round(100 * float64(safe) / float64(max(1, deep)))
	r.DualAudio = round(100 * float64(dual) / float64(max(1, members)))
}

// disjoint reports whether a peer's two paths share nobody but the origin.
func (s *Sim) disjoint(p *peer) bool {
	other := s.peers[p.backup].status.Path
	for _, id := range p.status.Path[min(1, len(p.status.Path)):] {
		if slices.Contains(other, id) {
			return false
		}
	}
	return len(other) > 0
}

// round keeps three decimals.
func round(x float64) float64 { return math.Round(x*1000) / 1000 }
