package relay

import "github.com/castd/castd/engine/wire"

func (q *Queue) pushLocked(it Item) bool {
	l := lane(it.Kind)
	if l == laneVideo {
		return q.pushVideoLocked(it)
	}
	if q.lenLocked() >= q.bound {
		q.relieveLocked(l)
		if q.lenLocked() >= q.bound {
			q.countLocked(&it)
			return false
		}
	}
	q.lanes[l].push(it)
	return true
}

func (q *Queue) pushVideoLocked(it Item) bool {
	st := q.streamLocked(it.Stream)
	if st == nil {
		q.countLocked(&it)
		return false
	}
	newer := it.Number > st.newest
	st.newest = max(st.newest, it.Number)
	st.temporal = max(st.temporal, it.Temporal)
	if it.Number < st.from {
		q.countLocked(&it)
		return false
	}
	if q.shedsLocked(st, &it) {
		q.drops.Shed++
		return false
	}
	length := q.lenLocked()
	if st.skipping {
		// Only a group newer than the cut ends it, and only where the queue has room for more than its first packets.
		if !newer || !it.startsGroup() || length >= q.soft() {
			q.countLocked(&it)
			return false
		}
		st.skipping, st.from = false, it.Number
	}
	if length >= q.soft() && (it.Discardable || st.temporal > 0 && it.Temporal == st.temporal) {
		q.drops.Discardable++
		return false
	}
	if length >= q.bound {
		q.cutLocked()
		if st.skipping && newer && it.startsGroup() {
			st.skipping, st.from = false, it.Number
		}
		if st.skipping || it.Number < st.from || q.lenLocked() >= q.bound {
			q.countLocked(&it)
			return false
		}
	}
	q.lanes[laneVideo].push(it)
	st.queued++
	return true
}

// relieveLocked makes room for an item of the lane l, if there is anything that matters less.
func (q *Queue) relieveLocked(l int) {
	if q.lanes[laneVideo].len() > 0 {
		q.cutLocked()
		return
	}
	for _, victim := range [...]int{laneAudio, laneRecord} {
		if victim >= l && q.lanes[victim].len() > 0 {
			it := q.lanes[victim].pop()
			q.countLocked(&it)
			return
		}
	}
}

// cutLocked drops video of the stream that has most of it in the queue; see rule 2 at the top of queue.go.
func (q *Queue) cutLocked() {
	var victim wire.StreamID
	var st *videoState
	for id, s := range q.streams { // the choice does not depend on the order
		if s.queued > 0 && (st == nil || s.queued > st.queued || s.queued == st.queued && id < victim) {
			victim, st = id, s
		}
	}
	if st == nil {
		return
	}
	video := &q.lanes[laneVideo]
	start, before := uint64(0), false
	for i := video.len() - 1; i >= 0; i-- { // newest start of a group that waits
		if it := video.at(i); it.Stream == victim && it.startsGroup() {
			start = max(start, it.Number)
		}
	}
	for i := range video.len() {
		if it := video.at(i); it.Stream == victim && it.Number < start {
			before = true
			break
		}
	}
	if start > 0 && before {
		st.from = max(st.from, start)
	} else {
		start = wire.MaxNumber + 1
		st.skipping, st.from = true, st.newest+1
		q.dropBurstLocked(victim)
	}
	removed := video.removeStream(victim, start)
	st.queued -= removed
	q.drops.Video += uint64(removed)
}

// streamLocked returns the state of a video stream, or nil if there are too many.
func (q *Queue) streamLocked(id wire.StreamID) *videoState {
	if st := q.streams[id]; st != nil {
		return st
	}
	if len(q.streams) >= maxQueueStreams {
		for other, st := range q.streams {
			if st.queued == 0 && !st.skipping {
				delete(q.streams, other)
			}
		}
		if len(q.streams) >= maxQueueStreams {
			return nil
		}
	}
	st := &videoState{}
	q.streams[id] = st
	return st
}

func (q *Queue) countLocked(it *Item) {
	switch lane(it.Kind) {
	case laneRecord:
		q.drops.Record++
	case laneAudio:
		q.drops.Audio++
	default:
		q.drops.Video++
	}
}

// soft is the length from which on video that no other frame needs is dropped.
func (q *Queue) soft() int { return (q.bound + 1) / 2 }
