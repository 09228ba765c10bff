package plugins

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	now := time.Unix(1000, 0)
	fail := func(b *backoff, ran time.Duration) (time.Duration, bool) {
		now = now.Add(ran)
		return b.fail(now.Add(-ran), now, r)
	}
	var b backoff
	if d, ok := fail(&b, time.Second); d != firstDelay || !ok {
		t.Errorf("first failure: %v, %v", d, ok)
	}
	for i, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
		if d, ok := fail(&b, time.Second); d > want || d < want*3/4 || !ok {
			t.Errorf("failure %d: %v, %v", i+2, d, ok)
		}
	}
	if _, ok := fail(&b, time.Second); ok {
		t.Error("the fifth failure in ten minutes does not break")
	}
	b = backoff{}
	for i := range 30 {
		if d, ok := fail(&b, 3*time.Minute); d != firstDelay || !ok {
			t.Fatalf("failure %d, each after three minutes: %v, %v", i, d, ok)
		}
	}
}
