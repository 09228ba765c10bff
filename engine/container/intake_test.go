package container

import (
	"testing"
	"time"
)

func TestTimeline(t *testing.T) {
	var line Timeline
	tests := []struct {
		place     time.Duration
		timestamp int64
		exact     bool
		want      time.Duration
	}{
		{5 * time.Millisecond, 1000, true, 5 * time.Millisecond},
		{29 * time.Millisecond, 1960, true, 25 * time.Millisecond},   // the wall clock jitters
		{66 * time.Millisecond, 2920, true, 66 * time.Millisecond},   // it has moved on by more than 20 ms
		{500 * time.Millisecond, 3880, false, 86 * time.Millisecond}, // an arrival says nothing
	}
	for i, tt := range tests {
		if got := line.Time(tt.place, tt.timestamp, 48000, tt.exact); got != tt.want {
			t.Errorf("frame %d at %v, want %v", i, got, tt.want)
		}
	}
}
