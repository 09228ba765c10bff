package engine

import (
	"math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree"
)

// A parent that lives and does not feed is worse than a dead one: nothing on its hop is silent. Its pulses tell the newest numbers
// that it has; where those go on and the packets do not come, not even when they are asked for again, it withholds them, or has
// promised more than its line carries. What a parent above it withholds counts only after a while: then its own numbers stand
// still. What a second parent sends does not count: the audio of that one would hide that nothing comes from the first.

// Bounds of what a parent may owe, of the packets of all streams that come from it.
const (
	// owedLeast is how many packets a parent must have had in a second for the second to say anything. Sound alone makes fifty.
	owedLeast = 20
	// noneFor is for how long nothing at all may come of what the parent has told of. Its pulses go the way of the packets: what one of
	// them told of is on its way when it comes, or lost, and not all of twenty packets are lost while pulses come.
	noneFor = 750 * time.Millisecond
	// looks is how often in a second it is looked whether anything came.
	looks = 4
	// claimedFor is the same for a parent whose numbers stand still while it says that it has had media within the last second.
	claimedFor = 4
	// starvedFor is for how many seconds at least nothing may come while something is live, whatever the parent says: who is above
	// it may do the same. Those who starve together do not leave together, and less and less often, as it may be the whole room.
	starvedFor = 5
	// fewSound is over how many seconds what comes of sound and records is averaged, and how long a new parent has until it is judged by
	// that: at first it sends what was missed. Repairs included, a fifth may be missing, so that a second of silence is
	// forgiven; numbers are told twice a second, and a shorter average would be off by more than that.
	fewSound = 8
	// fewVideo is the same for video. A peer that carries more than it can leaves layers of video out, never sound, until its surplus
	// children have found other places: that takes a while, and is no lie.
	fewVideo = 30
	// fewLately is over how many seconds too little must come as well, and fewLevel for how much longer at each level below the first:
	// all below one whose line is thin get too little, and if those next to it move first, the others need not.
	fewLately = 3
	fewLevel  = 3
	// fewStay is how much longer who has left two parents for that stays with each further one: most likely his own line is thin,
	// and he must not wander for ever. fewForgotten is when that is forgotten.
	fewStay      = time.Minute
	fewForgotten = 20 * time.Minute
)

// verdict is what follows from what a parent owes.
type verdict int

const (
	pays     verdict = iota
	paysFew          // another parent would be better
	hasNone          // so it would, but this one may do no wrong
	paysNone         // it is none
)

// account is what a parent has had of some streams, and what of that has come, in packets a second.
type account struct{ owed, got float64 }

// add takes a second into averages over n seconds, and reports whether too little comes.
func (a *account) add(owed, got uint64, n float64) (few bool) {
	a.owed += (float64(owed) - a.owed) / n
	a.got += (float64(min(got, owed+owedLeast)) - a.got) / n
	return a.owed >= owedLeast && a.got < 0.8*a.owed
}

// dues is what a room's parent has had and what of it has come. It belongs to the room's goroutine.
type dues struct {
	parent       peer.ID
	seconds      int       // since it is the parent
	unpaid       uint64    // packets that it has told of since anything came
	unpaidSince  time.Time // when the first of them was known
	sum          [2]debt   // of sound and records, and of video, in this second so far
	claimed      int       // of the last seconds, in a row, in which nothing came although it had some
	starved      int       // in which nothing came although something is live
	starvedFor   int       // that are borne
	sound, video account
	lately       account // of both
	few          int     // seconds in a row in which too little came
	left         int     // parents that were left because too little came
	leftAt       time.Time
}

// debt is what a parent had to give in some time, and what of it came. lacks is the part of owed that is newer than all it has sent
// before: numbers are told after the packets, and what they tell of at the end of a stream has come already.
type debt struct{ owed, got, lacks uint64 }

// farAhead is how many packets beyond the numbers that it has told of a parent may send; what is further is made up.
const farAhead = 4096

// owes adds what a parent newly tells of a stream, of which it has sent the packets up to sent.
func (d *debt) owes(before, promised, sent uint64) {
	if before == 0 || promised <= before {
		return
	}
	if sent > promised && sent-promised > farAhead {
		sent = 0
	}
	d.owed += promised - before
	d.lacks += promised - min(promised, max(before, sent))
}

// circumstance is what else is known.
type circumstance struct {
	depth int  // of this peer
	live  bool // something is, and the hub says that it goes on
	fresh bool // the parent says that it has had media within the last second
}

// newParent begins anew.
func (d *dues) newParent(p peer.ID) {
	*d = dues{parent: p, left: d.left, leftAt: d.leftAt, starvedFor: starvedFor + rand.IntN(starvedFor)}
}

// look takes what has come since the last look, and reports whether the parent withholds everything.
func (d *dues) look(sound, video debt, now time.Time) (none bool) {
	for i, o := range [...]debt{sound, video} {
		d.sum[i].owed += o.owed
		d.sum[i].got += o.got
	}
	if sound.got+video.got > 0 {
		d.unpaid = 0
		return false
	}
	if d.unpaid == 0 {
		d.unpaidSince = now
	}
	d.unpaid += min(sound.lacks+video.lacks, 1<<32)
	return d.unpaid >= owedLeast && now.Sub(d.unpaidSince) >= noneFor
}

// second takes what came of sound and records, and of video.
func (d *dues) second(sound, video debt, c circumstance, now time.Time) verdict {
	d.seconds++
	came := sound.got+video.got > 0
	count := func(n *int, yes bool) {
		if *n++; !yes || came {
			*n = 0
		}
	}
	count(&d.claimed, c.fresh)
	count(&d.starved, c.live)
	if d.claimed >= claimedFor {
		return paysNone
	}
	quiet := d.sound.add(sound.owed, sound.got, fewSound) && d.seconds > fewSound
	dark := d.video.add(video.owed, video.got, fewVideo) && d.seconds > fewVideo
	lately := d.lately.add(sound.owed+video.owed, sound.got+video.got, fewLately)
	if d.few++; !quiet && !dark || !lately {
		d.few = 0
	}
	stay := fewStay * time.Duration(min(max(0, d.left-1), 10))
	starved := d.starved >= d.starvedFor
	if starved {
		d.starved, d.starvedFor = 0, min(2*d.starvedFor, 32*starvedFor)
		return hasNone
	}
	if d.few <= fewLevel*max(0, c.depth-2) || now.Sub(d.leftAt) < stay {
		return pays
	}
	if now.Sub(d.leftAt) > fewForgotten {
		d.left = 0
	}
	d.left++
	d.leftAt = now
	d.seconds, d.few = 0, 0 // where there is no other it has as long again
	return paysFew
}

// lookDuesLoop counts what the parent owes and gives, and leaves one that gives nothing. It is called looks times a second.
func (r *Room) lookDuesLoop(now time.Time) {
	l := r.links.Load()
	var sound, video debt
	for _, s := range *r.all.Load() {
		if !s.local && s.feeder(l) != l.primary {
			continue
		}
		d := &sound
		if s.kind == wire.KindVideo {
			d = &video
		}
		promised, given := s.promised.Load(), s.given.Load()
		d.owes(s.promisedBefore, promised, s.givenTo.Load())
		d.got += given - s.givenBefore
		s.promisedBefore, s.givenBefore = promised, given
	}
	if l.primary != r.dues.parent {
		r.dues.newParent(l.primary)
		r.parentFresh.Store(false)
		return
	}
	if l.primary != "" && r.dues.look(sound, video, now) {
		r.leaveDebtorLoop(l, paysNone)
	}
}

// watchDuesLoop leaves a parent that does not give what it has. It is called once a second, after a look.
func (r *Room) watchDuesLoop(now time.Time) {
	l := r.links.Load()
	if l.primary == "" || l.primary != r.dues.parent {
		return
	}
	c := circumstance{depth: l.place.Depth}
	for _, s := range *r.all.Load() {
		if st := s.state.Load(); !s.local && st != nil && st.Live && s.feeder(l) == l.primary {
			c.live = true
		}
	}
	c.fresh = c.live && r.parentFresh.Load()
	c.live = c.live && !r.silentLoop(now)
	sound, video := r.dues.sum[0], r.dues.sum[1]
	r.dues.sum = [2]debt{}
	if v := r.dues.second(sound, video, c, now); v != pays {
		r.leaveDebtorLoop(l, v)
	}
}

// silentLoop reports whether the hub's last beacons say that nobody sends anything: whoever is live is muted, or cut off and may come
// back. Beacons are signed, so that a parent cannot say so in the hub's place.
func (r *Room) silentLoop(now time.Time) bool {
	b := r.beacon.Load()
	return b != nil && b.silent && now.Sub(b.at) < 2*idleBeacon
}

func (r *Room) leaveDebtorLoop(l *links, v verdict) {
	r.e.metrics.withheld.Add(1)
	r.e.log.Info("parent does not send what it has: leaving it", "peer", shortID(l.primary))
	in := tree.Distrust{Peer: tree.ID(l.primary), Reason: "withheld media", Late: v != paysNone}
	if v == hasNone || l.place.Depth == 1 { // there is no other origin
		in.For = time.Duration(starvedFor) * time.Second
	}
	r.step(in)
}
