package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// filmed is somebody who calls by a page, with a tone and a colour of his own.
type filmed struct {
	*pageCall
	colour [3]int
}

// shownTiles is what a page shows of the others' cameras.
type shownTiles struct {
	Tiles []struct {
		MID, Participant, Name string
		Large, Pinned          bool
		Colour                 []int
		Lines                  int
	}
	Offers, Sections int
	Told             string
	Troubles         []string
}

func joinByFilm(t *testing.T, b *browsers, url, name string, tone float64, colour [3]int) *filmed {
	t.Helper()
	b.do(t, command{"do": "call", "as": name, "url": url, "name": name, "voice": command{"frequency": tone, "colour": colour}}, nil)
	return &filmed{&pageCall{b, name, tone}, colour}
}

func (f *filmed) tiles(t *testing.T) (s shownTiles) {
	t.Helper()
	f.b.do(t, command{"do": "tiles", "as": f.name}, &s)
	return s
}

// press presses a button of the page.
func (f *filmed) press(t *testing.T, selector string) {
	t.Helper()
	f.b.do(t, command{"do": "press", "as": f.name, "selector": selector}, nil)
}

// sees waits until the page shows these and no others, each with his colour, and the given one large; "" for whoever.
func (f *filmed) sees(t *testing.T, what, large string, others ...*filmed) (last shownTiles) {
	t.Helper()
	eventually(t, what, func() (wrong []string) {
		last = f.tiles(t)
		names := []string{}
		for _, tile := range last.Tiles {
			names = append(names, tile.Name)
			i := slices.IndexFunc(others, func(o *filmed) bool { return o.name == tile.Name })
			if i < 0 {
				continue
			}
			if !others[i].like(tile.Colour) {
				wrong = append(wrong, fmt.Sprintf("%s is said to be %v, want %v", tile.Name, tile.Colour, others[i].colour))
			}
			if large != "" && tile.Large != (tile.Name == large) {
				wrong = append(wrong, fmt.Sprintf("%s large: %v", tile.Name, tile.Large))
			}
		}
		want := []string{}
		for _, o := range others {
			want = append(want, o.name)
		}
		if slices.Sort(names); !slices.Equal(names, slices.Sorted(slices.Values(want))) {
			wrong = append(wrong, fmt.Sprintf("%s is shown %v, want %v", f.name, names, want))
		}
		if len(wrong) > 0 {
			wrong = append(wrong, fmt.Sprintf("%+v", last))
		}
		return append(wrong, last.Troubles...)
	})
	return last
}

// like reports whether a colour is the one that he sends, as far as a codec keeps it.
func (f *filmed) like(colour []int) bool {
	if len(colour) != 3 {
		return false
	}
	for i, c := range f.colour {
		if d := colour[i] - c; d < -70 || d > 70 {
			return false
		}
	}
	return true
}

// TestPageVideo: three pages of two peers see each other. Who speaks is large, whoever is pinned stays so, cameras go off and on, and all of
// it by what was offered at the beginning.
func TestPageVideo(t *testing.T) {
	b := startBrowsers(t)
	hub := launch(t, "hub", "start", "--room", "talk", "--mode", "conference", "--http", "127.0.0.1:0")
	other := launch(t, "other", "start", "--room", "talk", "--http", "127.0.0.1:0", "--bootstrap", hub.address())
	ann := joinByFilm(t, b, hub.page("talk"), "Ann", 400, [3]int{200, 30, 30})
	bob := joinByFilm(t, b, other.page("talk"), "Bob", 700, [3]int{30, 180, 30})
	eve := joinByFilm(t, b, other.page("talk"), "Eve", 1200, [3]int{40, 40, 220})
	for _, f := range []*filmed{ann, bob, eve} {
		f.press(t, "#call-camera")
	}
	first := ann.sees(t, "three cameras", "", bob, eve)
	bob.sees(t, "three cameras", "", ann, eve)
	eve.sees(t, "three cameras", "", ann, bob)
	ann.fitsScreens(t, "pictures")

	// All talk all the time; who does alone becomes dominant.
	bob.press(t, "#call-mute")
	ann.press(t, "#call-mute")
	ann.sees(t, "Eve alone talks", "Eve", bob, eve)
	bob.press(t, "#call-mute")
	eve.press(t, "#call-mute")
	ann.sees(t, "Bob alone talks", "Bob", bob, eve)
	ann.press(t, `#call-pictures button:has-text("Eve")`)
	ann.sees(t, "Eve is pinned", "Eve", bob, eve)
	ann.press(t, `#call-pictures button:has-text("Eve")`)
	ann.sees(t, "Eve is not pinned any more", "Bob", bob, eve)

	eve.press(t, "#call-camera")
	ann.sees(t, "Eve's camera is off", "Bob", bob)
	eve.press(t, "#call-camera")
	last := ann.sees(t, "Eve's camera is on", "Bob", bob, eve)
	if last.Offers != first.Offers || last.Sections != first.Sections {
		t.Errorf("%d offers and %d sections at first, %d and %d at last", first.Offers, first.Sections, last.Offers, last.Sections)
	}
	bob.press(t, "#call-leave")
	ann.sees(t, "Bob has left", "Eve", eve)
	if said := ann.tiles(t).Told; strings.TrimSpace(said) != "" {
		t.Errorf("the page says %q", said)
	}
}

// TestPageLayers: a page gets as many lines as it wants, and no change stops the picture for more than half a second, where the machine had
// time for it.
func TestPageLayers(t *testing.T) {
	b := startBrowsers(t)
	hub := launch(t, "hub", "start", "--room", "talk", "--mode", "conference", "--http", "127.0.0.1:0")
	other := launch(t, "other", "start", "--room", "talk", "--http", "127.0.0.1:0", "--bootstrap", hub.address())
	ann := joinByFilm(t, b, hub.page("talk"), "Ann", 400, [3]int{200, 30, 30})
	bob := joinByFilm(t, b, other.page("talk"), "Bob", 700, [3]int{30, 180, 30})
	ann.press(t, "#call-camera")
	mid := bob.sees(t, "Ann's camera", "Ann", ann).Tiles[0].MID
	lines := func(what string, ok func(int) bool) {
		t.Helper()
		eventually(t, what, func() []string {
			if s := bob.tiles(t); len(s.Tiles) == 1 && ok(s.Tiles[0].Lines) {
				return nil
			} else {
				return []string{fmt.Sprintf("%+v", s)}
			}
		})
	}
	large := func(n int) bool { return n == 360 } // of which browsers send two sizes
	small := func(n int) bool { return n == 180 }
	lines("as large as there is", large)
	var stills, starved []float64
	for range 3 {
		for _, c := range []struct {
			height int
			ok     func(int) bool
		}{{180, small}, {0, large}} {
			var found struct{ Longest, Starved float64 }
			want := command{"type": "want", "sections": []command{{"mid": mid, "height": c.height}}}
			b.do(t, command{"do": "still", "as": "Bob", "mid": mid, "ms": 4000, "message": want}, &found)
			lines(fmt.Sprintf("%d lines are enough", c.height), c.ok)
			stills, starved = append(stills, found.Longest), append(starved, found.Starved)
		}
	}
	t.Logf("the picture stood still for %.0f ms at most at each of the changes; the pages got no time for %.0f ms", stills, starved)
	for i, still := range stills {
		if still > 500 && starved[i] < 150 {
			t.Errorf("at change %d the picture stood still for %.0f ms", i+1, still)
		}
	}
	for direction := range 2 {
		if least := min(stills[direction], stills[direction+2], stills[direction+4]); least > 500 {
			t.Errorf("at each change in one direction the picture stood still, %.0f ms at least", least)
		}
	}
}
