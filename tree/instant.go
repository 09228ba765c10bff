package tree

import "time"

// instant is a time in nanoseconds since a router's first Step, which is at 1; 0 is none. A router keeps hundreds of times and compares
// them at each Step, and a time.Time takes three times the room and the work.
type instant int64

// longAgo is before everything; times that callers name are taken for it at least, so that nothing overflows.
const longAgo = -instant(1) << 61

// instant is the time that a caller names.
func (r *Router) instant(t time.Time) instant { return max(instant(t.Sub(r.began)), longAgo) + 1 }

// wall is the inverse of Router.instant.
func (r *Router) wall(t instant) time.Time { return r.began.Add(time.Duration(t - 1)) }

// Add returns the time d later.
func (t instant) Add(d time.Duration) instant { return t + instant(d) }

// Sub returns how much later t is than u.
func (t instant) Sub(u instant) time.Duration { return time.Duration(t - u) }

// Before tells whether t is before u.
func (t instant) Before(u instant) bool { return t < u }

// After tells whether t is after u.
func (t instant) After(u instant) bool { return t > u }

// IsZero tells whether there is no time.
func (t instant) IsZero() bool { return t == 0 }

func earlier(a, b instant) instant { return min(a, b) }

func later(a, b instant) instant { return max(a, b) }
