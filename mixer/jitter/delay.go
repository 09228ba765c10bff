package jitter

import "math"

// The target is chosen as WebRTC's NetEq does since 2022, by two rules. Against delays that grow and shrink, the buffer should
// hold out the worst of each half second in 95 of 100 cases. Packets that overtake each other are rarer and come alone, so
// each is weighed by itself: one percent more of them lost is worth 20 ms of delay. The larger of both is the target.
const (
	baseWindow     = 2 * Rate // over which the fastest packet is looked for
	resample       = Rate / 2 // of which the worst delay counts
	quantile       = 0.95
	underrunForget = 0.983
	reorderForget  = 0.9993
	lossWorth      = 20 * Rate / 1000 * 100 // samples of delay for losing everything
)

// baseSlots and baseSlot divide the window: a minimum over parts of it needs no list of packets, so that no flood makes it long.
const (
	baseSlots = 20
	baseSlot  = baseWindow / baseSlots
)

// baseDelay is the least of arrival less timestamp over the last two seconds before the last packet.
type baseDelay struct {
	least [baseSlots]int64
	epoch [baseSlots]int64 // which part of time a slot is of; those of empty slots are out of the window
	value int64

	// calm follows value slowly, that is by 1/128 of the difference with each packet, and at once where it changes by more than
	// calmJump: the fastest of some hundred packets is by chance now a bit faster and now slower, which is no reason to stretch.
	calm  float64
	begun bool
}

// calmJump is a change of the way that is no chance, in samples.
const calmJump = 20 * Rate / 1000

// add takes a packet and returns its relative delay.
func (b *baseDelay) add(arrival, at int64) int64 {
	epoch := max(arrival, 0)/baseSlot + baseSlots
	way := arrival - at
	slot := epoch % baseSlots
	if b.epoch[slot] != epoch || way < b.least[slot] {
		b.epoch[slot], b.least[slot] = epoch, way
	}
	b.value = way
	for i, e := range b.epoch {
		if e > epoch-baseSlots && e <= epoch {
			b.value = min(b.value, b.least[i])
		}
	}
	if off := float64(b.value) - b.calm; b.begun && math.Abs(off) < calmJump {
		b.calm += off / 128
	} else {
		b.calm, b.begun = float64(b.value), true
	}
	return way - b.value
}

// delayManager knows how long packets take and what follows from it. All times are in samples.
type delayManager struct {
	base     baseDelay
	underrun histogram
	reorder  histogram

	worst      int64 // relative delay since windowFrom
	windowFrom int64
	begun      bool

	start, least, most, wanted int64 // Config.Start, MinDelay, MaxDelay, BaseMinimum

	free   int64 // target without limits
	target int64
}

func newDelayManager(c Config) delayManager {
	m := delayManager{
		underrun: histogram{forget: underrunForget}, reorder: histogram{forget: reorderForget},
		start: samples(c.Start), free: samples(c.Start),
	}
	m.limit(samples(c.MinDelay), samples(c.MaxDelay), samples(c.BaseMinimum))
	return m
}

// limit sets the limits of the target.
func (m *delayManager) limit(least, most, wanted int64) {
	m.least, m.most, m.wanted = least, most, wanted
	m.update()
}

func (m *delayManager) update() {
	m.target = max(m.least, min(m.most, max(m.wanted, m.free)))
}

// packet takes a packet that arrived, and whether a later one was there before it.
func (m *delayManager) packet(arrival, at int64, reordered bool) {
	delay := m.base.add(arrival, at)
	if reordered {
		m.reorder.add(delay)
	} else {
		m.reorder.add(0)
		m.observe(arrival, delay)
	}
}

// secondary takes a copy of an earlier packet that is not there. It is as good as that packet itself, that late: where losses
// happen often, the target grows until copies come in time.
func (m *delayManager) secondary(arrival, at int64) {
	m.observe(arrival, arrival-at-m.base.value)
}

// observe takes a relative delay.
func (m *delayManager) observe(arrival, delay int64) {
	if !m.begun || arrival < m.windowFrom {
		m.begun, m.windowFrom = true, arrival
	}
	m.worst = max(m.worst, delay)
	if arrival-m.windowFrom < resample {
		return
	}
	m.underrun.add(m.worst)
	m.worst, m.windowFrom = 0, arrival
	m.free = int64(m.underrun.quantile(quantile)+1) * bucket
	m.free = max(m.free, cheapest(&m.reorder, m.free))
	m.update()
}

// cheapest returns the delay at which the reordered packets that are lost and the delay beyond the given one cost least.
func cheapest(h *histogram, anyway int64) int64 {
	best, cost := int64(0), float64(0)
	lost := 1.0
	for i := range buckets {
		lost = max(0, lost-h.share(i))
		extra := max(0, int64(i)*bucket-anyway)
		c := float64(extra) + lossWorth*lost
		if i == 0 || c < cost-1e-6 {
			best, cost = int64(i+1)*bucket, c
		}
	}
	return best
}
