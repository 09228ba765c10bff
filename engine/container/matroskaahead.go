package container

import (
	"math"
	"time"

	"github.com/castd/castd/engine/codec"
)

// Limits of lookAhead: frames of a track, and octets of all.
const (
	aheadFrames = 32
	aheadSize   = 8 << 20
)

// lookAhead finds H264 tracks with B-frames where the decoder configuration does not tell, from the first frames.
func (m *matroskaReader) lookAhead() {
	for i := range m.tracks {
		e := m.entries[uint64(m.tracks[i].ID)]
		if e.codec != codec.H264 || e.ordered {
			continue
		}
		seen, size, next := 0, 0, 0
		latest := time.Duration(math.MinInt64)
		for seen < aheadFrames && size < aheadSize && !m.tracks[i].Reordered {
			if next == len(m.queue) {
				if m.err == nil {
					m.err = m.step()
				}
				if m.err != nil && next == len(m.queue) {
					break
				}
				continue
			}
			f := m.queue[next]
			next++
			size += len(f.Data)
			if f.Track != e.id {
				continue
			}
			seen++
			m.tracks[i].Reordered = f.Time < latest || codec.HasBSlices(f.Data, e.lengths)
			latest = max(latest, f.Time)
		}
	}
}
