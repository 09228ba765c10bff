package treesim

import (
	"slices"
	"time"
)

// Targets of a live room.
const (
	playout  = 200 * milli // of a viewer: a gap beyond it is seen
	deadline = 300 * milli // media that comes later counts as not delivered
	quick    = second
	slow     = 5 * second
)

// measures is what a run has counted so far. Gaps and traffic count from the time at which faults may begin.
type measures struct {
	events, steps                             int64
	messages, pulses                          int64
	refused, loops, loopsSeen, slotViolations int
	wrongPaths, corrected, unreachable        int
	opened, goodbyes, crashes, asks, alone    int
	originFed                                 int
	originSends                               []int64    // each second
	gaps                                      [2][]int64 // of video and audio, after faults and crashes
	goodbye                                   [2][]int64 // after goodbyes
	others                                    [2][]int64 // by moves
	unserved                                  int        // gaps that did not end
	late                                      [2]int64   // ns that did not come in time
	seconds                                   int64      // of peers that get, or should get, media
	reasons                                   map[string]int
	joins, medias                             []int64
	waits                                     []int64 // of those who came after the fault, where that counts
	setups                                    []int64
	leaves, givers                            traffic
	moves                                     int
	timeline                                  []Point
	playing                                   int     // have video now
	members                                   int     // have had it, and are there
	begun                                     []int64 // when the gaps of video began
	healedAt, wholeAt                         int64   // end of a partition, and when all had a place again
}

func (m *measures) init(*Sim) { m.reasons = make(map[string]int) }

func (m *measures) reason(r string) { m.reasons[r]++ }

func (m *measures) hopSetup(*Sim, int32, int32) {}

func (m *measures) joined(s *Sim, p *peer) { m.joins = append(m.joins, s.now-p.cameAt) }

func (m *measures) firstMedia(s *Sim, p *peer) {
	m.medias = append(m.medias, s.now-p.cameAt)
	if s.countsJoins() && p.cameAt >= s.faultAt && p.cameAt < s.end-slow {
		m.waits = append(m.waits, s.now-p.cameAt)
	}
}

// gap takes a gap that has ended, or, where ended is false, one whose peer has gone or the run is over.
func (m *measures) gap(s *Sim, n int32, stream int, d int64, st stream, ended bool) {
	if st.offAt < s.faultAt {
		return
	}
	m.late[stream] += max(0, d-deadline)
	if !ended && d < slow {
		return // it could have ended in time
	}
	if st.cause >= 0 && s.causes[st.cause].goodbye {
		m.goodbye[stream] = append(m.goodbye[stream], d)
		return
	}
	if st.cause < 0 {
		m.others[stream] = append(m.others[stream], d)
		return
	}
	if !ended && stream == 0 {
		m.unserved++
	}
	m.gaps[stream] = append(m.gaps[stream], d)
	if stream == 0 {
		m.begun = append(m.begun, st.offAt)
		s.causes[st.cause].affected++
	}
}

// departed closes the account of a peer that goes.
func (m *measures) departed(s *Sim, p *peer) {
	m.moves += p.moves
	for i := range p.streams {
		if st := p.streams[i]; st.offAt != 0 && (st.cause < 0 || s.now-st.offAt > 0) {
			m.gap(s, -1, i, s.now-st.offAt, st, false)
		}
	}
}

// second adds a second of a peer's life.
func (m *measures) second(s *Sim, n int32, p *peer) {
	s.background(n, p)
	if n == 0 || p.liar {
		return
	}
	m.seconds++
	if p.begun != all && s.now-p.cameAt > slow {
		m.late[0] += second
		if p.begun&audio == 0 {
			m.late[1] += second
		}
	}
}

// quantile returns the q-th of sorted numbers, 0 where there are none.
func quantile(sorted []int64, q float64) int64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func sorted(list []int64) []int64 {
	out := slices.Clone(list)
	slices.Sort(out)
	return out
}

func inMs(ns int64) float64 { return float64(ns/int64(10*time.Microsecond)) / 100 }

// within is the share of numbers that are at most limit, in per cent; all of them where there are none.
func within(list []int64, limit int64) float64 {
	if len(list) == 0 {
		return 100
	}
	n := 0
	for _, d := range list {
		if d <= limit {
			n++
		}
	}
	return 100 * float64(n) / float64(len(list))
}

// Timeline: what share of the peers that are there and have had video has it now, around the first fault.
const (
	sampleFrom  = 2 * second // before the fault
	sampleUntil = 20 * second
	sampleEvery = 50 * milli
)

func (s *Sim) sample() {
	m := &s.m
	m.timeline = append(m.timeline, Point{Ms: inMs(s.now - s.faultAt), Share: float64(m.playing) / float64(max(1, m.members))})
	if s.now < s.faultAt+sampleUntil {
		s.after(sampleEvery, payload{kind: evSample})
	}
}
