package tree

import (
	"testing"
	"time"
)

// Times of callers come back as they were, also those before a router's first Step, and none is so far away that it overflows.
func TestInstant(t *testing.T) {
	r := &Router{began: time.Unix(1000, 0)}
	for _, d := range []time.Duration{-time.Hour, -time.Nanosecond, 0, time.Nanosecond, time.Hour, 48 * time.Hour} {
		at := r.began.Add(d)
		i := r.instant(at)
		if got := r.wall(i); !got.Equal(at) {
			t.Errorf("%v after the first Step comes back as %v", d, got.Sub(r.began))
		}
		if d >= 0 && i.IsZero() {
			t.Errorf("%v after the first Step is no time", d)
		}
		if i.Before(r.instant(r.began)) != (d < 0) || i.After(r.instant(r.began)) != (d > 0) {
			t.Errorf("%v after the first Step is in the wrong order", d)
		}
		if got := i.Sub(r.instant(r.began)); got != d {
			t.Errorf("%v after the first Step is %v after it", d, got)
		}
	}
	if d := instant(1).Sub(r.instant(time.Time{})); d <= 0 {
		t.Errorf("what was never is %v ago", d)
	}
}
