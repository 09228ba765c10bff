package guest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestArrangement plays scripts: each line is "at MS dominant: who has video -> who is where", or "want SECTION WISH" before a step.
func TestArrangement(t *testing.T) {
	for name, c := range map[string]struct {
		sections int
		script   string
	}{
		"who speaks comes first, then who spoke, then the others": {3, `
			at 0 -: a b c d e -> a b c
			at 1000 e: a b c d e -> a b c
			at 3000 e: a b c d e -> a b e
			at 4000 d: a b c d e -> a d e
			at 8000 c: a b c d e -> c d e
			at 20000 b: a b c d e -> c d b`},
		"who speaks stays where he is": {3, `
			at 0 a: a b c -> a b c
			at 9000 c: a b c -> a b c
			at 9020 b: a b c -> a b c`},
		"no flapping between two who talk in turn": {2, `
			at 0 a: a b c -> a b
			at 100 c: a b c -> a b
			at 200 a: a b c -> a b
			at 300 c: a b c -> a b
			at 3000 a: a b c -> a c
			at 3100 b: a b c -> a c
			at 6000 a: a b c -> a b`},
		"who goes leaves room": {2, `
			at 0 a: a b c -> a b
			at 10 a: b c -> c b
			at 20 a: c -> c -
			at 30 a: c b a -> c a`},
		"pinned": {3, `
			at 0 a: a b c d -> a b c
			want 2 d
			at 10 a: a b c d -> a b d
			at 9000 c: a b c d -> a c d
			want 0 c
			at 9100 b: a b c d -> c b d
			want 2 -
			at 19000 a: a b c d -> c b a`},
		"pinned twice": {2, `
			want 0 b
			want 1 b
			at 0 a: a b c -> b a
			at 10 a: a c -> c a
			at 20 a: a b c -> b a`},
		"closed": {2, `
			want 0 closed
			at 0 a: a b -> - a
			want 0 -
			at 10 a: a b -> b a
			want 1 closed
			at 20 a: a b -> b -`},
		"fewer than sections": {4, `
			at 0 -: -> - - - -
			at 1 x: a -> a - - -
			at 2 x: a x -> a x - -`},
	} {
		t.Run(name, func(t *testing.T) {
			a := newArrangement(c.sections)
			for line := range strings.Lines(c.script) {
				f := strings.Fields(line)
				switch {
				case len(f) == 0:
				case f[0] == "want":
					var i int
					fmt.Sscan(f[1], &i)
					w := placeWish{pinned: f[2]}
					if f[2] == "closed" {
						w = placeWish{closed: true}
					} else if f[2] == "-" {
						w = placeWish{}
					}
					a.places[i].placeWish = w
				default:
					var ms int64
					fmt.Sscan(f[1], &ms)
					arrow := slices.Index(f, "->")
					dominant := strings.Trim(strings.TrimSuffix(f[2], ":"), "-")
					before := carried(a)
					changed := a.step(time.UnixMilli(ms), dominant, f[3:arrow])
					if got, want := strings.Join(carried(a), " "), strings.Join(f[arrow+1:], " "); got != want || changed != !slices.Equal(before, carried(a)) {
						t.Fatalf("%s: got %s, changed %v", strings.TrimSpace(line), got, changed)
					}
				}
			}
		})
	}
}

func carried(a *arrangement) (list []string) {
	for _, p := range a.places {
		if p.carries == "" {
			list = append(list, "-")
		} else {
			list = append(list, p.carries)
		}
	}
	return list
}

// TestArrangementHolds: whatever happens, nobody is in two sections, nobody without video in any, none is empty while somebody waits, and
// nobody who is not pinned loses his to another one before his time.
func TestArrangementHolds(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 11))
	for range 200 {
		a := newArrangement(1 + random.IntN(5))
		now := time.Unix(1000, 0)
		all := strings.Split("abcdefgh", "")
		present := slices.Clone(all)
		for range 200 {
			now = now.Add(time.Duration(random.IntN(1500)) * time.Millisecond)
			wishes := false
			switch random.IntN(5) {
			case 0:
				random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
				present = slices.Clone(all[:random.IntN(len(all))])
			case 1:
				w := placeWish{pinned: []string{"", "a", "b", "z"}[random.IntN(4)], closed: random.IntN(4) == 0}
				a.places[random.IntN(len(a.places))].placeWish = w
				wishes = true
			}
			before := slices.Clone(a.places)
			a.step(now, all[random.IntN(len(all))], present)
			open, used := 0, map[string]bool{}
			for i, p := range a.places {
				if !p.closed {
					open++
				}
				if p.carries == "" {
					continue
				}
				if used[p.carries] || p.closed || !slices.Contains(present, p.carries) {
					t.Fatalf("%v of %v", a.places, present)
				}
				used[p.carries] = true
				b := before[i]
				if b.carries != "" && b.carries != p.carries && !wishes && p.pinned != p.carries && slices.Contains(present, b.carries) && now.Sub(b.since) < placeDwell &&
					!slices.ContainsFunc(a.places, func(o place) bool { return o.pinned == b.carries }) {
					t.Fatalf("%v, then %v", before, a.places)
				}
			}
			if len(used) != min(open, len(present)) {
				t.Fatalf("%v of %v", a.places, present)
			}
		}
	}
}
