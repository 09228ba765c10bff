package bench

import (
	"sync"
	"testing"
)

// TestChoirEnds: a run that is stopped at its beginning may end a choir before its goroutine has begun.
func TestChoirEnds(t *testing.T) {
	for range 100 {
		var c choir
		var sending sync.WaitGroup
		c.begin(&sending)
		c.end()
		sending.Wait()
	}
}
