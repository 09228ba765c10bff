package guest

import (
	"slices"
	"time"
)

const (
	// placeDwell is how long somebody stays in a section at least before who speaks now may take it.
	placeDwell = 3 * time.Second
	// maxSpoke bounds how many of those who spoke last are remembered.
	maxSpoke = 32
)

// place is one of the fixed sections in which a participant is sent video.
type place struct {
	carries string    // whose video; "": nobody's
	since   time.Time // when it became his
	placeWish
}

// placeWish is what a participant wants of a section.
type placeWish struct {
	pinned string // whose video he wants there; "": whoever speaks
	height int    // how many lines are enough; 0: as many as there are
	closed bool   // he wants nothing there
}

// arrangement says whose video is in which section: who speaks or spoke last before all others, and nobody twice. Who has a section stays
// in it: only somebody who speaks takes one from another, who has had it for a while, spoke longer ago and is not pinned. It is a pure
// value.
type arrangement struct {
	places []place
	spoke  []string // who was dominant, the last first
}

func newArrangement(n int) *arrangement { return &arrangement{places: make([]place, n)} }

// step takes who is dominant now, and who has video, in an order that does not change, and reports whether something has changed. Some
// changes are due later though nothing happens: it is to be called now and then.
func (a *arrangement) step(now time.Time, dominant string, present []string) (changed bool) {
	if dominant != "" && (len(a.spoke) == 0 || a.spoke[0] != dominant) {
		a.spoke = slices.DeleteFunc(a.spoke, func(p string) bool { return p == dominant })
		a.spoke = slices.Insert(a.spoke, 0, dominant)
		a.spoke = a.spoke[:min(len(a.spoke), maxSpoke)]
	}
	before := make([]string, len(a.places))
	for i := range a.places {
		before[i] = a.places[i].carries
	}
	a.leave(present)
	a.pin(now, present)
	waiting := slices.DeleteFunc(a.ranked(present), func(p string) bool { return a.placeOf(p) >= 0 })
	for i := range a.places {
		if p := &a.places[i]; p.carries == "" && !p.closed && len(waiting) > 0 {
			p.carries, p.since = waiting[0], now
			waiting = waiting[1:]
		}
	}
	for _, who := range waiting {
		if !slices.Contains(a.spoke, who) {
			break // the others took nobody's place by saying nothing
		}
		i := a.last(who)
		if i < 0 {
			break
		}
		if p := &a.places[i]; now.Sub(p.since) >= placeDwell {
			p.carries, p.since = who, now
		}
	}
	for i := range a.places {
		changed = changed || a.places[i].carries != before[i]
	}
	return changed
}

// leave empties the sections of those who have no video any more, and those that are closed.
func (a *arrangement) leave(present []string) {
	for i := range a.places {
		if p := &a.places[i]; p.closed || !slices.Contains(present, p.carries) {
			p.carries = ""
		}
	}
}

// pin puts those who are wanted in a section there. Of two sections that somebody is wanted in the first has him.
func (a *arrangement) pin(now time.Time, present []string) {
	for i := range a.places {
		p := &a.places[i]
		if p.closed || p.pinned == "" || p.pinned == p.carries || !slices.Contains(present, p.pinned) {
			continue
		}
		if at := a.placeOf(p.pinned); at >= 0 {
			if o := &a.places[at]; at < i && o.pinned == p.pinned {
				continue
			}
			a.places[at].carries = ""
		}
		p.carries, p.since = p.pinned, now
	}
}

// ranked returns the participants in the order in which they should be seen.
func (a *arrangement) ranked(present []string) []string {
	list := slices.Clone(present)
	slices.SortStableFunc(list, func(p, q string) int { return a.rank(p) - a.rank(q) })
	return list
}

func (a *arrangement) rank(p string) int {
	if i := slices.Index(a.spoke, p); i >= 0 {
		return i
	}
	return maxSpoke
}

// placeOf returns the section that somebody has, or -1.
func (a *arrangement) placeOf(p string) int {
	return slices.IndexFunc(a.places, func(o place) bool { return o.carries == p })
}

// last returns the last section of those who spoke longest ago, if that is longer than who did, or -1.
func (a *arrangement) last(who string) int {
	found, worst := -1, a.rank(who)+1
	for i := range a.places {
		if p := &a.places[i]; p.carries != "" && p.pinned != p.carries && a.rank(p.carries) >= worst {
			found, worst = i, a.rank(p.carries)
		}
	}
	return found
}
