package jitter

// leader is the playout map of the buffer that this one follows.
type leader struct {
	on        bool
	output    int64
	timestamp uint32
	until     int64 // until when the buffer stretches its way there, see Approach
}

// approachTime is how long the way may take. A mixer's packets come for a second before they are heard in place of another's.
const approachTime = 800 * Rate / 1000

// Follow makes the buffer play a timestamp at a position of the mixer's timeline, as another mixer's buffer does with the same
// packets, whatever its own target is. It holds for all positions, one sample for one, until the next Follow or Lead. What is
// missing when its time comes is made up for, and dropped when it comes later. A map that knows nothing, or is seconds off what
// arrives, is left aside.
func (b *Buffer) Follow(m Map) {
	if m.Known {
		b.leader = leader{on: true, output: m.Output, timestamp: m.Timestamp}
	}
}

// Approach does what Follow does, of a buffer that is heard already: for 800 ms it goes there by stretching, so that nothing has to be
// made up. What is left then is jumped over.
func (b *Buffer) Approach(m Map) {
	until := b.leader.until
	if !b.leader.on {
		until = b.now + approachTime
	}
	b.Follow(m)
	b.leader.until = until
}

// approaching reports whether the buffer is on its way to where the leader is. Of what is not heard nothing is on a way.
func (b *Buffer) approaching() bool {
	return b.leader.on && b.now < b.leader.until && (b.state == playing || b.state == concealed)
}

// approach stretches what waits on the tape, of which that much is left over for the next frame, towards where the leader is.
func (b *Buffer) approach(left, step int64) {
	at, ok := b.wanted(b.output)
	if !ok {
		return
	}
	off := at - b.position()
	n := distance(off, 0)
	if e := b.queue.first(); e != nil && e.at <= b.next {
		left += step // it can be decoded in this pull
	}
	moved := 0
	if off < 0 {
		moved = b.join.expand(&b.tape, int(min(n, maxLag)), alikeUrgent)
		b.stats.InsertedSamplesForDeceleration += uint64(moved)
	} else {
		moved = b.join.compress(&b.tape, int(min(n, left)), alikeUrgent)
		b.stats.RemovedSamplesForAcceleration += uint64(moved)
	}
	// What is left at last is less than a period.
	switch {
	case moved > 0 || n > maxLag:
	case off <= 0 && b.tape.len() >= after:
		b.tape.repeat(int(n))
		b.leader.until = 0
	case off > 0 && n <= left && int(n)+after <= b.tape.len():
		b.tape.skip(int(n))
		b.leader.until = 0
	}
}

// Lead ends Follow: from where it is, the buffer goes its own way.
func (b *Buffer) Lead() {
	b.leader.on = false
}

// wanted returns the timestamp on the buffer's timeline that the leader plays at a position.
func (b *Buffer) wanted(output int64) (int64, bool) {
	l := &b.leader
	if !l.on || !b.place.begun {
		return 0, false
	}
	// The sender's clock may have jumped behind what is played now: the offset that is nearer holds.
	at := b.place.ts + b.place.offset + int64(int32(l.timestamp-uint32(b.place.ts)))
	if b.state != idle {
		played := b.next + int64(int32(l.timestamp-uint32(b.next+b.rtp)))
		if distance(played, b.next) < distance(at, b.next) {
			at = played
		}
	}
	at += output - l.output
	return at, distance(at, b.now) < maxFollow
}

// maxFollow is by how much a map may differ from the present: more is another stream's.
const maxFollow = 10 * Rate

func distance(a, b int64) int64 { return max(a-b, b-a) }

// align moves to where the leader is, and says whether there is one.
func (b *Buffer) align() bool {
	at, ok := b.wanted(b.output)
	if !ok || b.approaching() {
		b.hold = 0
		return false
	}
	b.leader.until = 0
	if b.state == idle {
		b.state, b.run = muted, fadeFrom+fadeOver
		b.next, b.rtp = at, -b.place.offset
		return true
	}
	b.next, b.made = b.next+b.made, 0
	off := at - b.position()
	if off == 0 {
		return true
	}
	b.stats.ForcedMoves++
	n := int(distance(off, 0))
	switch {
	case b.hold == 0 && off > 0 && n+after <= b.tape.len():
		b.tape.skip(n)
		return true
	case b.hold == 0 && off < 0 && n <= maxLag && b.tape.len() >= after:
		b.tape.repeat(n)
		return true
	}
	b.tape.drop()
	b.seam = true
	b.hold = max(0, b.next-at)
	b.next = max(b.next, at)
	return true
}
