package engine

import (
	"testing"
	"time"
)

// TestDues plays seconds of a parent's life: what it had, what came of that, and when it is left.
func TestDues(t *testing.T) {
	type second struct {
		owed, got uint64 // of sound; of video where video is set
		times     int
	}
	for name, c := range map[string]struct {
		past    []second
		video   bool // video and no sound
		verdict verdict
		at      time.Duration
	}{
		"all comes":                    {[]second{{220, 220, 60}}, false, pays, 0},
		"numbers come late":            {[]second{{330, 220, 1}, {110, 220, 1}, {330, 220, 1}, {110, 220, 60}}, false, pays, 0},
		"nothing is sent":              {[]second{{0, 0, 60}}, false, pays, 0},
		"the parent has nothing":       {[]second{{220, 220, 10}, {0, 0, 30}, {400, 400, 10}}, false, pays, 0},
		"nothing comes for a while":    {[]second{{220, 220, 10}, {110, 0, 1}, {330, 440, 20}}, false, pays, 0},
		"a line stands for seconds":    {[]second{{220, 220, 10}, {0, 0, 5}, {1320, 1320, 1}, {220, 220, 20}}, false, pays, 0},
		"nothing comes":                {[]second{{220, 220, 10}, {220, 0, 10}}, false, paysNone, 11250 * time.Millisecond},
		"nothing comes from the start": {[]second{{220, 0, 10}}, false, paysNone, 1250 * time.Millisecond},
		"half comes":                   {[]second{{220, 110, 20}}, false, paysFew, 9 * time.Second},
		"half comes of little":         {[]second{{10, 5, 60}}, false, pays, 0},
		"one in twenty is lost":        {[]second{{220, 209, 60}}, false, pays, 0},
		"it lies about its numbers":    {[]second{{1 << 60, 220, 20}}, false, paysFew, 9 * time.Second},
		"layers are left out":          {[]second{{190, 190, 40}, {190, 120, 9}, {190, 190, 60}}, true, pays, 0},
		"no video for long":            {[]second{{190, 190, 60}, {190, 10, 40}}, true, paysFew, 67 * time.Second},
		"the missed comes at once":     {[]second{{220, 2000, 2}, {220, 220, 60}}, false, pays, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var d dues
			d.newParent("parent")
			began := time.Unix(0, 0)
			now := began
			for _, s := range c.past {
				for range s.times {
					if v := d.play(s.owed, s.got, c.video, &now); v != pays {
						if v != c.verdict || now.Sub(began) != c.at {
							t.Fatalf("verdict %d after %v, want %d after %v", v, now.Sub(began), c.verdict, c.at)
						}
						return
					}
				}
			}
			if c.verdict != pays {
				t.Errorf("not left, want after %v", c.at)
			}
		})
	}
}

// play lets a second go by in looks. The numbers are told at every second of them; what is fewer than a look's worth comes at the end.
func (d *dues) play(owed, got uint64, video bool, now *time.Time) verdict {
	var sum [2]debt
	for i := range uint64(looks) {
		*now = now.Add(time.Second / looks)
		sound, other := debt{got: got / looks}, debt{}
		if i%2 == 1 {
			sound.owed, sound.lacks = owed/2, owed/2
		}
		if i == looks-1 {
			sound.got = got - got/looks*(looks-1)
		}
		if video {
			sound, other = other, sound
		}
		if d.look(sound, other, *now) {
			return paysNone
		}
	}
	sum, d.sum = d.sum, sum
	return d.second(sum[0], sum[1], circumstance{}, *now)
}

// What a pulse tells of after it has come is owed, and not lacking.
func TestDebt(t *testing.T) {
	for name, c := range map[string]struct {
		before, promised, sent uint64
		want                   debt
	}{
		"the first that is told":   {0, 1000, 0, debt{}},
		"nothing new":              {1000, 1000, 990, debt{}},
		"all has come":             {1000, 1025, 1025, debt{owed: 25}},
		"more has come":            {1000, 1025, 1030, debt{owed: 25}},
		"some has come":            {1000, 1025, 1010, debt{owed: 25, lacks: 15}},
		"nothing has come":         {1000, 1025, 990, debt{owed: 25, lacks: 25}},
		"nothing has ever come":    {1000, 1025, 0, debt{owed: 25, lacks: 25}},
		"a number that is made up": {1000, 1025, 1 << 47, debt{owed: 25, lacks: 25}},
	} {
		var d debt
		if d.owes(c.before, c.promised, c.sent); d != c.want {
			t.Errorf("%s: %+v, want %+v", name, d, c.want)
		}
	}
}

// Who gets too little wherever he goes wanders more and more seldom.
func TestDuesOfABadLine(t *testing.T) {
	var d dues
	now, left := time.Unix(0, 0), 0
	d.newParent("parent")
	for range 3600 {
		now = now.Add(time.Second)
		if d.second(debt{owed: 200, got: 100}, debt{}, circumstance{}, now) == paysFew {
			left++
			d.newParent("another")
		}
	}
	if left < 5 || left > 15 {
		t.Errorf("%d parents were left in an hour", left)
	}
}

// A parent whose numbers stand still is left as well where it says that it has media, and after a while where something is live.
func TestDuesOfSilence(t *testing.T) {
	for name, c := range map[string]struct {
		c        circumstance
		verdict  verdict
		from, to int // seconds
	}{
		"nothing is live":       {circumstance{}, pays, 0, 0},
		"it says that it feeds": {circumstance{live: true, fresh: true}, paysNone, claimedFor, claimedFor},
		"it has nothing itself": {circumstance{live: true}, hasNone, starvedFor, 2 * starvedFor},
	} {
		t.Run(name, func(t *testing.T) {
			var d dues
			d.newParent("parent")
			now := time.Unix(0, 0)
			for n := 1; n <= 60; n++ {
				now = now.Add(time.Second)
				v := d.second(debt{}, debt{}, c.c, now)
				if v == pays {
					continue
				}
				if v != c.verdict || n < c.from || n > c.to {
					t.Fatalf("verdict %d after %d s, want %d after %d to %d", v, n, c.verdict, c.from, c.to)
				}
				return
			}
			if c.verdict != pays {
				t.Error("not left")
			}
		})
	}
}
