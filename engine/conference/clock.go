package conference

import (
	"time"

	"github.com/castd/castd/mixer"
)

// tickLength is 20 ms.
const tickLength = mixer.FrameSamples * time.Second / 48000

// catchUp is how many ticks that were missed are made up for. What is heard of more than that is a pause either way, and after a longer one,
// as when the machine was asleep, nobody wants to hear the past.
const catchUp = 5

// due says which ticks to run, where next is the first that was not run and now the one that the clock shows: those from first to now.
// skipped are those before first that are left out.
func due(next, now uint64) (first, skipped uint64) {
	if now < next || now-next <= catchUp {
		return next, 0
	}
	return now, now - next
}

// clock counts ticks since it began.
type clock struct{ origin time.Time }

// tick returns the number of the newest tick at a time.
func (c clock) tick(now time.Time) uint64 { return uint64(max(0, now.Sub(c.origin)/tickLength)) }

// at returns when a tick is.
func (c clock) at(tick uint64) time.Time { return c.origin.Add(time.Duration(tick) * tickLength) }
