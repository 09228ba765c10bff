package engine

import (
	"math"
	"testing"
)

// The share is one where there is sound alone, the part of the rates beside a picture, and is told when it has changed.
func TestAudioShare(t *testing.T) {
	type second struct {
		sound, video uint64
		hears, sees  bool
	}
	rep := func(n int, s second) (out []second) {
		for range n {
			out = append(out, s)
		}
		return out
	}
	quiet, call := second{0, 0, false, false}, second{8000, 0, true, false}
	film, still := second{8000, 192_000, true, true}, second{8000, 0, true, true}
	for name, c := range map[string]struct {
		seconds []second
		last    float64 // that was told; 0: none was
		told    int
	}{
		"nothing":                {rep(5, quiet), 0, 0},
		"sound":                  {rep(60, call), 1, 1},
		"a picture":              {rep(60, film), 0.04, 1},
		"a picture comes":        {append(rep(30, call), rep(30, film)...), 0.04, 2},
		"a picture goes":         {append(rep(30, film), rep(30, call)...), 1, 2},
		"it begins to be seen":   {append(rep(5, still), rep(60, film)...), 0.04, -1},
		"a pause of a second":    {append(append(rep(30, film), still), rep(30, film)...), 0.04, 1},
		"sound stops":            {append(rep(30, call), rep(30, quiet)...), 1, 1},
		"pictures without sound": {rep(30, second{100, 192_000, false, true}), 0, 0},
	} {
		var a audioShare
		last, told := 0.0, 0
		for _, s := range c.seconds {
			if share, news := a.second(s.sound, s.video, s.hears, s.sees); news {
				last = share
				told++
			}
		}
		if math.Abs(last-c.last) > shareStep*last || c.told >= 0 && told != c.told || told > 12 {
			t.Errorf("%s: told %v at last, %d times; want %v, %d", name, last, told, c.last, c.told)
		}
	}
}
