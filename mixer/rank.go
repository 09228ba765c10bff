package mixer

import "slices"

// keep is how many dB louder than one who is heard another must be to take his place.
const keep = 3

// pinnedBonus puts the pinned before all others.
const pinnedBonus = 1000

// rank chooses who is heard: the loudest of those that talk or did within the hangover, pinned ones first. An input that
// has a slot keeps it against one that is hardly louder. m.ranking holds the result, at most Config.Talkers.
func (m *Mixer) rank() {
	m.ranking = m.ranking[:0]
	for _, in := range m.inputs {
		if in.muted || in.held || in.alone || !in.activity.recent(m.tick, hangover) && !m.passing(in) {
			continue
		}
		m.ranking = append(m.ranking, in)
	}
	if len(m.ranking) > m.cfg.Talkers {
		slices.SortFunc(m.ranking, louder)
		m.ranking = m.ranking[:m.cfg.Talkers]
	}
}

// louder orders inputs for SortFunc: who is heard first comes first; equals by ID.
func louder(a, b *input) int {
	switch x, y := a.score(), b.score(); {
	case x > y:
		return -1
	case x < y:
		return 1
	}
	return int(a.id) - int(b.id)
}

func (in *input) score() float64 {
	s := in.activity.level
	if in.slot != nil && !in.slot.leaving {
		s += keep
	}
	if in.pinned {
		s += pinnedBonus
	}
	return s
}
