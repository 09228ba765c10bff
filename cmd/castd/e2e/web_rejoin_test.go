package e2e_test

import (
	"testing"
	"time"
)

// goesOn checks that a viewer has kept his connection and his tracks since before, and sees and hears again.
func goesOn(t *testing.T, b *browsers, before reception) {
	t.Helper()
	var f reception
	var got struct{ Ms, Silent float64 }
	b.do(t, command{"do": "back", "as": "viewer", "ms": 20000}, &got)
	b.do(t, command{"do": "state", "as": "viewer", "state": "live"}, nil)
	b.do(t, command{"do": "flow", "as": "viewer", "seconds": 2}, &f)
	t.Logf("%.1f s later it flows: %.1f pictures/s, %d connections, %d offers", got.Ms/1000, f.FPS, f.Connections, f.Offers)
	f.plays(t)
	if f.Connections != before.Connections || f.Offers != before.Offers || f.State != "connected" || f.Tracks != before.Tracks {
		t.Errorf("the viewer was renegotiated: %+v after %+v", f, before)
	}
}

// TestPublisherComesBack loads the page of a publisher again, and kills his browser. Viewers hold their connection.
func TestPublisherComesBack(t *testing.T) {
	b := startBrowsers(t)
	o := origin(t)
	page := o.page("lobby")
	b.do(t, command{"do": "publish", "as": "broadcaster", "url": page}, nil)
	b.do(t, command{"do": "watch", "as": "viewer", "url": page}, nil)
	var before reception
	b.do(t, command{"do": "flow", "as": "viewer", "seconds": 1}, &before)

	var button struct{ Label string }
	b.do(t, command{"do": "again", "as": "broadcaster"}, &button)
	if button.Label != "Go on" {
		t.Errorf("the button says %q", button.Label)
	}
	goesOn(t, b, before)

	b.do(t, command{"do": "crash", "as": "publisher"}, nil)
	time.Sleep(2 * time.Second)
	var s said
	b.do(t, command{"do": "state", "as": "viewer"}, &s)
	t.Logf("meanwhile the viewer's page says %q", s.Text)
	b.do(t, command{"do": "publish", "as": "broadcaster", "url": page}, nil)
	goesOn(t, b, before)

	live, ended := 0, 0
	for _, e := range o.seen(is("stream")) {
		if e.text("state") == "live" {
			live++
		} else {
			ended++
		}
	}
	if live != 2 || ended != 0 {
		t.Errorf("%d streams went live and %d ended, want the same two all the time", live, ended)
	}
	b.do(t, command{"do": "unpublish", "as": "broadcaster"}, nil)
	o.wait("end of both streams", 2, is("stream", "state", "ended")) // who says goodbye is not waited for
}

// TestViewerSleeps stops a viewer's browser for longer than the peer keeps a session without a word from it.
func TestViewerSleeps(t *testing.T) {
	b := startBrowsers(t)
	o := origin(t)
	b.do(t, command{"do": "publish", "as": "broadcaster", "url": o.page("lobby"), "source": "clock.js"}, nil)
	b.do(t, command{"do": "watch", "as": "viewer", "url": o.page("lobby")}, nil)
	b.do(t, command{"do": "sleep", "as": "viewer", "seconds": 10}, nil)
	begin := time.Now()
	var got struct{ Ms, Silent float64 }
	b.do(t, command{"do": "back", "as": "viewer", "ms": 40000}, &got)
	t.Logf("a picture %.1f s after it woke up; without one and without a word for %.1f s", time.Since(begin).Seconds(), got.Silent/1000)
	if got.Silent > 10_000 {
		t.Errorf("a dead picture was said to be live for %.1f s", got.Silent/1000)
	}
	var f reception
	b.do(t, command{"do": "flow", "as": "viewer", "seconds": 2}, &f)
	f.plays(t)
}
