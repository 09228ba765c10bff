package relay

import "github.com/castd/castd/engine/wire"

// Shed says what a queue refuses however short it is, because the peer that fills it cannot send as much: levels 1 and 2 are those of
// overload, 0 is nothing. Audio and the record are always taken.
func (q *Queue) Shed(level int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if level >= shedVideo && q.shed < shedVideo {
		for id, st := range q.streams {
			removed := q.lanes[laneVideo].removeStream(id, wire.MaxNumber+1)
			st.queued -= removed
			q.drops.Shed += uint64(removed)
			q.cutOffLocked(st)
			q.dropBurstLocked(id)
		}
	}
	q.shed = level
	q.noteLocked()
}

const (
	shedDiscardable = 1
	shedVideo       = 2
)

// cutOffLocked makes a stream begin again with its next group.
func (q *Queue) cutOffLocked(st *videoState) {
	st.skipping, st.from = true, st.newest+1
}

// shedsLocked reports whether an item of a video stream is not to be sent for now.
func (q *Queue) shedsLocked(st *videoState, it *Item) bool {
	switch {
	case q.shed >= shedVideo:
		q.cutOffLocked(st)
		return true
	case q.shed >= shedDiscardable:
		return it.Discardable || st.temporal > 0 && it.Temporal == st.temporal
	}
	return false
}
