package relay

import (
	"slices"
	"time"

	"github.com/castd/castd/engine/wire"
)

// When to ask for what is missing.
//
// Origin numbers grow by one, so a number that has not come when a later one has is reordered, lost, or late at the parent
// as well. The receiver asks its parent Reorder after it saw the gap, or as soon as Later packets have come behind it.
// A pulse that names the newest number uncovers losses at the end of a burst, which no later packet would.
//
// Then it asks again every interval, and after Tries times and the time for a last answer it gives the number up. Interval
// is half of the round trip, not all of it: one in ten of the exchanges fails where a line loses 5 % each way, and a listener
// at depth five has little more than one repair's time to spare. TestDepthFive's chain (five hops of 25 ms, 5 % loss each
// way) brings this share of the packets within 250 ms, and this many more packets over each hop:
//
//	                     interval = RTT/2        3 RTT/4              RTT
//	audio                99.3 %   +33 %      99.3 %   +22 %      97.0 %   +13 %
//	audio, each twice    99.99 %   +2 %      99.98 %   +2 %      99.97 %   +1 %
//	video                99.9 %   +37 %      99.2 %   +25 %      99.0 %   +15 %
//	video, with parity   99.99 %  +21 %      99.8 %   +15 %      99.8 %   +11 %
//
// (besides the redundancy itself). A fifth try brings nothing within that time. Three times the patience with gaps saves a
// few per cent of the packets, and leaves 0.1 to 0.3 % more of the video late. The interval is at least 15 ms: timers are
// coarse, and on a line that short there is time.
//
// A number is not given up while nothing newer comes either: then it is the parent that is silent, or has lost his own, and
// what is missing has better chances with everything else once that is mended. Then all tries are made anew. A second of
// silence ends that.
//
// A hole at the top of the tree is a hole for everyone below; all of them ask, and relays pass the packet on when it comes,
// asked again or not. A number that was given up and comes after all is taken: only the counters differ.

// RepairConfig describes a Repair. Zero values mean the defaults.
type RepairConfig struct {
	Reorder  time.Duration // patience with a gap; default 4 ms. Where the hop adds redundancy, longer saves needless repairs
	Later    int           // packets behind a gap that end the patience; default 3
	RTT      time.Duration // round trip to the parent until SetRTT; default 50 ms
	Interval time.Duration // least time between two tries; default 15 ms
	Tries    int           // default 4
	Bound    int           // numbers tracked; default 4096. Beyond it the oldest are given up
}

func (c RepairConfig) withDefaults() RepairConfig {
	if c.Reorder <= 0 {
		c.Reorder = 4 * time.Millisecond
	}
	if c.Later <= 0 {
		c.Later = 3
	}
	if c.RTT <= 0 {
		c.RTT = 50 * time.Millisecond
	}
	if c.Interval <= 0 {
		c.Interval = 15 * time.Millisecond
	}
	if c.Tries <= 0 {
		c.Tries = 4
	}
	if c.Bound <= 0 {
		c.Bound = 4096
	}
	return c
}

// retryInterval returns the time between two tries.
func (c *RepairConfig) retryInterval() time.Duration { return max(c.Interval, c.RTT/2) }

const (
	maxLeap    = 4096 // how far a mark may be above what came
	backlogGap = 100 * time.Millisecond
	maxGiven   = 1024                  // numbers given up that are remembered
	silence    = 60 * time.Millisecond // without anything new, the parent is silent
	maxSilence = time.Second
)

// Repair knows which numbers of one stream are missing at this receiver and when to ask for them. Time is an argument and
// does not go back. It is not safe for concurrent use.
//
// The first number that arrives, or SetStart, is where it starts. Numbers before that are the backlog that a parent sends
// to a newcomer; they come in order, and holes in them are asked for as well. Whatever of it has not come when it has
// been quiet for 100 ms is missing, too.
type Repair struct {
	cfg RepairConfig

	started bool
	start   uint64 // lowest number that counts
	next    uint64 // lowest number that is not expected yet
	top     uint64 // highest number that arrived
	fresh   uint64 // how many numbers arrived above all others
	freshAt time.Time

	missing []hole // by number
	dead    int    // of them arrived, skipped or given up
	skips   spans
	given   numberRing
	hold    time.Time
	resumes uint64 // while that lasts, numbers up to here come in order
	passed  uint64 // and what is missing below has been passed over

	backlog      bool // between backlogFirst and start
	backlogFirst uint64
	backlogNext  uint64
	backlogDue   time.Time

	stats RepairStats
}

// hole is a missing number.
type hole struct {
	number uint64
	seen   time.Time // when it was found missing
	due    time.Time // next try, or the end
	mark   uint64    // Repair.fresh before what uncovered it
	tries  int
	silent bool // all tries were made, but the parent is silent
	dead   bool
}

// RepairStats count since the Repair was made.
type RepairStats struct {
	Asked     uint64 // tries
	Repaired  uint64 // numbers that came after they were asked for
	Abandoned uint64 // numbers given up
	Late      uint64 // of these, came after all or were wanted again
}

// NewRepair returns a Repair that nothing has arrived at.
func NewRepair(cfg RepairConfig) *Repair { return &Repair{cfg: cfg.withDefaults()} }

// SetRTT tells the round trip time to the parent, for the tries to come.
func (r *Repair) SetRTT(rtt time.Duration) {
	if rtt > 0 {
		r.cfg.RTT = rtt
	}
}

// SetReorder changes the patience with gaps seen from now on; for a hop whose redundancy begins or ends.
func (r *Repair) SetReorder(d time.Duration) {
	if d > 0 {
		r.cfg.Reorder = d
	}
}

// SetStart says that n is the next number to come: what is before it is not asked for. Lower than what is expected
// already, it has no effect.
func (r *Repair) SetStart(n uint64) {
	if n > wire.MaxNumber || r.started && n <= r.next {
		return
	}
	r.started, r.start, r.next, r.backlog = true, n, n, false
	r.top = max(r.top, n)
	for i := range r.missing {
		r.bury(i)
	}
	r.compact()
}

// Hold stops asking until then: a new parent is about to send what is missing by himself, in order. Once something of it has
// come, what is below and still missing was lost on the way, and is asked for.
func (r *Repair) Hold(until time.Time) { r.hold, r.passed = until, 0 }

// Resumes tells up to which number the new parent sends in order; what is above comes as it is published.
func (r *Repair) Resumes(last uint64) { r.resumes = last }

// pass notes that a number came of those that a new parent sends in order.
func (r *Repair) pass(number uint64, now time.Time) {
	if number <= r.passed || !now.Before(r.hold) {
		return
	}
	i, _ := r.find(r.passed)
	for ; i < len(r.missing) && r.missing[i].number < number; i++ {
		r.missing[i].due, r.missing[i].mark = now.Add(r.cfg.Reorder), r.fresh
	}
	r.passed = number
}

// Retry makes all that is missing due now, with all tries: there is a new parent to ask.
func (r *Repair) Retry(now time.Time) {
	for i := range r.missing {
		r.missing[i].tries, r.missing[i].silent, r.missing[i].due = 0, false, now
	}
}

// Arrived notes that a packet with the number came. It reports whether it was missing.
func (r *Repair) Arrived(number uint64, now time.Time) bool {
	if number > wire.MaxNumber {
		return false
	}
	if !r.started {
		r.started, r.start, r.next = true, number, number
	}
	switch {
	case number >= r.next:
		mark := r.fresh
		r.fresh++
		r.freshAt = now
		r.top = number
		r.lack(r.next, number, now, now.Add(r.cfg.Reorder), mark)
		r.next = number + 1
		if number <= r.resumes {
			r.pass(number, now)
		}
		return false
	case number < r.start:
		return r.arrivedBacklog(number, now)
	}
	r.top = max(r.top, number)
	if !r.fill(number) {
		return false
	}
	r.pass(number, now)
	return true
}

// fill closes the hole of the number and reports whether there was one.
func (r *Repair) fill(number uint64) bool {
	if i, ok := r.find(number); ok && !r.missing[i].dead {
		if r.missing[i].tries > 0 {
			r.stats.Repaired++
		}
		r.bury(i)
		r.compact()
		return true
	}
	if r.given.take(number) {
		r.stats.Late++
		return true
	}
	return false
}

// arrivedBacklog notes a packet from before the start and reports whether it was missing.
func (r *Repair) arrivedBacklog(number uint64, now time.Time) (wanted bool) {
	switch {
	case !r.backlog:
		r.backlog, r.backlogFirst, r.backlogNext = true, number, number+1
	case number >= r.backlogNext:
		r.lack(r.backlogNext, number, now, now.Add(r.cfg.Reorder), r.fresh)
		r.backlogNext = number + 1
	default:
		wanted = r.fill(number)
	}
	r.pass(number, now)
	r.backlogDue = now.Add(backlogGap)
	if r.backlogNext >= r.start {
		r.start, r.backlog = r.backlogFirst, false
	}
	return wanted
}

// Highest notes that the parent has sent number: what has not come up to it is missing. Marks that are implausibly far
// ahead are believed only in part.
func (r *Repair) Highest(number uint64, now time.Time) {
	if !r.started || number < r.next {
		return
	}
	number = min(number, r.top+maxLeap, wire.MaxNumber)
	if number >= r.next {
		r.lack(r.next, number+1, now, now.Add(r.cfg.Reorder), r.fresh)
		r.next = number + 1
	}
}

// Wanted makes a number missing (again): a manifest named it, and there is no packet or none that is right. Numbers from
// before the start, and skipped ones, stay out.
func (r *Repair) Wanted(number uint64, now time.Time) {
	if !r.started {
		return
	}
	if number >= r.next {
		r.Highest(number, now)
		return
	}
	known := number >= r.start || r.backlog && number >= r.backlogFirst && number < r.backlogNext
	if !known {
		return
	}
	if r.given.take(number) {
		r.stats.Late++
	}
	r.lack(number, number+1, now, now, r.fresh)
}

// Expected reports whether the number should have come: one above it has, or the parent has said that it was sent.
func (r *Repair) Expected(number uint64) bool { return r.started && number < r.next }

// Quiet reports whether nothing newer than all before has come for so long that what is above it is missing rather than on its way.
func (r *Repair) Quiet(now time.Time) bool { return now.Sub(r.freshAt) >= silence }

// Skip says that numbers first to last never come.
func (r *Repair) Skip(first, last uint64) {
	if last = min(last, wire.MaxNumber); first > last {
		return
	}
	r.skips.add(first, last)
	i, _ := r.find(first)
	for ; i < len(r.missing) && r.missing[i].number <= last; i++ {
		r.bury(i)
	}
	r.compact()
	if r.started && first <= r.next && last >= r.next {
		r.next = last + 1
		r.top = max(r.top, last)
	}
}

// Due appends the numbers to ask for now to dst, lowest first, and counts that as a try of each. It gives up those whose tries are
// used up.
func (r *Repair) Due(now time.Time, dst []uint64) []uint64 {
	held := now.Before(r.hold)
	if r.backlog && !held && !now.Before(r.backlogDue) {
		r.lack(r.backlogNext, r.start, now, now, r.fresh)
		r.start, r.backlog = r.backlogFirst, false
	}
	interval := r.cfg.retryInterval()
	for i := range r.missing {
		h := &r.missing[i]
		if held && h.number >= r.passed {
			break
		}
		if h.dead || now.Before(r.dueOf(h)) {
			continue
		}
		if h.tries >= r.cfg.Tries {
			switch {
			case now.Sub(r.freshAt) >= silence && now.Sub(h.seen) < maxSilence:
				h.silent, h.due = true, now.Add(interval)
				continue
			case h.silent && now.Sub(r.freshAt) < silence:
				h.silent, h.tries = false, 0
			default:
				r.abandon(i)
				continue
			}
		}
		h.tries++
		h.due = now.Add(interval)
		if h.tries == r.cfg.Tries {
			h.due = h.due.Add(r.cfg.RTT)
		}
		r.stats.Asked++
		dst = append(dst, h.number)
	}
	r.compact()
	return dst
}

// Next returns when Due has something to do.
func (r *Repair) Next() (next time.Time, ok bool) {
	soonest := func(due time.Time, held bool) {
		if held && due.Before(r.hold) {
			due = r.hold
		}
		if !ok || due.Before(next) {
			next, ok = due, true
		}
	}
	if r.backlog {
		soonest(r.backlogDue, true)
	}
	for i := range r.missing {
		if h := &r.missing[i]; !h.dead {
			soonest(r.dueOf(h), h.number >= r.passed)
		}
	}
	return next, ok
}

// Missing reports whether the number is being asked for.
func (r *Repair) Missing(number uint64) bool {
	i, ok := r.find(number)
	return ok && !r.missing[i].dead
}

// First returns the lowest number that is being asked for.
func (r *Repair) First() (number uint64, ok bool) {
	for i := range r.missing {
		if !r.missing[i].dead {
			return r.missing[i].number, true
		}
	}
	return 0, false
}

// Len returns how many numbers are being asked for.
func (r *Repair) Len() int { return len(r.missing) - r.dead }

// Abandoned returns how many numbers were given up so far.
func (r *Repair) Abandoned() uint64 { return r.stats.Abandoned }

// Lost returns how many of them have not come after all.
func (r *Repair) Lost() uint64 { return r.stats.Abandoned - r.stats.Late }

// Stats returns the counters.
func (r *Repair) Stats() RepairStats { return r.stats }

// dueOf returns when there is something to do about the hole.
func (r *Repair) dueOf(h *hole) time.Time {
	if h.tries == 0 && r.fresh-h.mark >= uint64(r.cfg.Later) && h.seen.Before(h.due) {
		return h.seen
	}
	return h.due
}

// find returns where the number is in missing, or would be.
func (r *Repair) find(number uint64) (int, bool) {
	return slices.BinarySearchFunc(r.missing, number, func(h hole, n uint64) int {
		switch {
		case h.number < n:
			return -1
		case h.number > n:
			return 1
		}
		return 0
	})
}
