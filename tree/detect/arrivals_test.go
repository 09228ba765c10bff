package detect

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestLimit(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct{ p50, p995, want time.Duration }{
		{0, 0, Least},
		{20 * ms, 20 * ms, Least},
		{20 * ms, 25 * ms, 80 * ms},
		{20 * ms, 40 * ms, 100 * ms},
		{60 * ms, 70 * ms, 200 * ms},
		{100 * ms, 100 * ms, 180 * ms},
		{20 * ms, 300 * ms, Most},
		{50 * ms, 20 * ms, 150 * ms},
	} {
		if got := Limit(c.p50, c.p995); got != c.want {
			t.Errorf("Limit(%v, %v) = %v, not %v", c.p50, c.p995, got, c.want)
		}
	}
}

// link is a synthetic network: packets every 20 ms with some jitter, and stalls as those of wireless links, whose lengths follow a
// power law. perHour is how many stalls of more than 80 ms there are.
type link struct {
	name    string
	perHour float64
	alpha   float64
	jitter  time.Duration
	alarms  float64       // an hour, at most
	limit   time.Duration // at most
}

// hours plays a link and returns the alarms an hour and the limit at the end.
func (l link) hours(n int, seed uint64) (alarms float64, limit time.Duration) {
	const shortest = 30 * time.Millisecond
	rng := rand.New(rand.NewPCG(seed, 1))
	rate := l.perHour * math.Pow(float64(80*time.Millisecond)/float64(shortest), l.alpha) / float64(time.Hour)
	began := time.Unix(1_700_000_000, 0)
	var a Arrivals
	var stall, until, arrived time.Time
	stall = began.Add(time.Duration(rng.ExpFloat64() / rate))
	alarmed := 0
	for sent := began; sent.Sub(began) < time.Duration(n)*time.Hour; {
		at := sent.Add(time.Duration(rng.ExpFloat64() * float64(l.jitter)))
		for !sent.Before(stall) {
			until = stall.Add(time.Duration(float64(shortest) * math.Pow(1-rng.Float64(), -1/l.alpha)))
			stall = stall.Add(time.Duration(rng.ExpFloat64() / rate))
		}
		at = latest(at, until, arrived)
		if !arrived.IsZero() && at.Sub(arrived) > a.Limit() && at.Sub(began) > 5*time.Second {
			alarmed++
		}
		arrived = at
		a.Note(at, sent.Unix()%100 != 0)
		if sent.Unix()%100 == 0 { // a second of silence out of a hundred
			sent = sent.Add(FillIn)
		} else {
			sent = sent.Add(20 * time.Millisecond)
		}
	}
	return float64(alarmed) / float64(n), a.Limit()
}

func latest(times ...time.Time) (t time.Time) {
	for _, o := range times {
		if o.After(t) {
			t = o
		}
	}
	return t
}

// False alarms are rare on a cable and at home, and few enough on a bad wireless link, as the limit follows the link.
//
//	go test -run TestFalseAlarms -v ./tree/detect
func TestFalseAlarms(t *testing.T) {
	for _, l := range []link{
		{"wired", 0.25, 8, 500 * time.Microsecond, 3, 100 * time.Millisecond},
		{"home Wi-Fi", 9.5, 5.8, 2 * time.Millisecond, 5, 180 * time.Millisecond},
		{"bad Wi-Fi", 522, 4.9, 4 * time.Millisecond, 20, Most},
	} {
		alarms, limit := l.hours(10, 7)
		t.Logf("%-10s %6.2f false alarms an hour, limit %v at the end", l.name, alarms, limit)
		if alarms > l.alarms || limit > l.limit {
			t.Errorf("%s: %.2f false alarms an hour with a limit of %v; at most %v with %v", l.name, alarms, limit, l.alarms, l.limit)
		}
	}
}

// A link that gets worse, and better again, is followed within a minute.
func TestLimitFollows(t *testing.T) {
	var a Arrivals
	now := time.Unix(1_700_000_000, 0)
	rng := rand.New(rand.NewPCG(1, 2))
	run := func(jitter time.Duration) time.Duration {
		for range 3000 {
			now = now.Add(20*time.Millisecond - jitter/2 + time.Duration(rng.Int64N(int64(jitter))))
			a.Note(now, true)
		}
		return a.Limit()
	}
	if d := run(time.Millisecond); d > 100*time.Millisecond {
		t.Errorf("a quiet link's limit is %v", d)
	}
	if d := run(50 * time.Millisecond); d < 100*time.Millisecond {
		t.Errorf("a jittery link's limit is %v", d)
	}
	run(time.Millisecond)
	if d := run(time.Millisecond); d > 100*time.Millisecond {
		t.Errorf("a quiet link's limit is %v again", d)
	}
}

// Neither a failure nor the time in which this process did not run makes the limit longer.
func TestLongSilenceSaysNothing(t *testing.T) {
	var a Arrivals
	now := time.Unix(1_700_000_000, 0)
	for i := range 1000 {
		now = now.Add(20 * time.Millisecond)
		if i%10 == 0 {
			now = now.Add(5 * time.Second)
		}
		a.Note(now, true)
	}
	if d := a.Limit(); d != 80*time.Millisecond {
		t.Errorf("the limit is %v", d)
	}
}

func BenchmarkNote(b *testing.B) {
	var a Arrivals
	now := time.Unix(1_700_000_000, 0)
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(7 * time.Millisecond)
		a.Note(now, true)
	}
}
