package tree

import (
	"math/rand/v2"
	"testing"
	"time"
)

// What is passed on does not replace what was heard later from the peer itself, however often it comes round; only what is newer does.
func TestHearsayGrowsOld(t *testing.T) {
	const self = 10 * time.Second // when the peer said itself that it is full
	for _, c := range []struct {
		name string
		at   time.Duration
		age  time.Duration
		free uint32
	}{
		{"said before", 11 * time.Second, 3 * time.Second, 0},
		{"said before, long ago", 50 * time.Second, 41 * time.Second, 0},
		{"said since", 12 * time.Second, time.Second, 3},
		{"by itself", 11 * time.Second, 0, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			var k cache
			rng := rand.New(rand.NewPCG(1, 2))
			k.add(instant(time.Second), rng, Candidate{Peer: "p", Free: 2})
			k.add(instant(self), rng, Candidate{Peer: "p", Free: 0})
			news := k.add(instant(c.at), rng, Candidate{Peer: "p", Free: 3, Age: c.age})
			e := k.find("p")
			if e.Free != c.free || news != (c.free > 0) {
				t.Errorf("free is %d, news %v; want %d", e.Free, news, c.free)
			}
			if want := instant(max(self, c.at-c.age)); e.seen != want {
				t.Errorf("it is taken to have been said at %v, want %v", time.Duration(e.seen), time.Duration(want))
			}
		})
	}
}

// What is passed to and fro grows older by the way as well as by the time that it is kept.
func TestToldToAndFro(t *testing.T) {
	now := simStart
	routers := [2]*Router{}
	for i := range routers {
		c := DefaultConfig(ID([]string{"a", "b"}[i]))
		routers[i] = New(c)
		routers[i].Step(now, Start{Origin: i == 0})
	}
	c := Candidate{Peer: "p", Free: 1}
	routers[0].Step(now, Candidates{List: []Candidate{c}, Advert: true})
	for i := range 10 {
		now = now.Add(time.Second)
		r := routers[(i+1)%2]
		from := routers[i%2]
		from.Step(now, Tick{})
		told := from.told(from.cache.find("p"))
		if least := time.Duration(i+1)*time.Second + time.Duration(i)*onTheWay; told.Age < least {
			t.Fatalf("told the %d. time, it is %v old, want %v at least", i+1, told.Age, least)
		}
		r.cache = cache{} // it knows nobody but from here
		r.Step(now, Candidates{List: []Candidate{told}})
	}
}
