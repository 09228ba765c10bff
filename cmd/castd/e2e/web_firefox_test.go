package e2e_test

import "testing"

// TestFirefox lets Firefox ESR and Chromium publish for each other, by the page. Firefox has another implementation of all of it:
// ICE, DTLS, SDP and codecs.
func TestFirefox(t *testing.T) {
	f := startDriver(t, "browser/firefox.mjs")
	c := startBrowsers(t)
	o := origin(t)
	page := o.page("lobby")
	for _, pair := range []struct {
		name              string
		publisher, viewer *browsers
	}{{"firefox publishes", f, c}, {"chromium publishes", c, f}} {
		t.Run(pair.name, func(t *testing.T) {
			pair.publisher.do(t, command{"do": "publish", "as": "broadcaster", "url": page}, nil)
			for what, viewer := range map[string]*browsers{"the other browser": pair.viewer, "the same browser": pair.publisher} {
				viewer.do(t, command{"do": "watch", "as": "viewer", "url": page}, nil)
				var got reception
				viewer.do(t, command{"do": "flow", "as": "viewer", "seconds": 2}, &got)
				t.Logf("%s: %.1f pictures/s, %d wide", what, got.FPS, got.Width)
				got.plays(t)
				if got.Connections != 1 {
					t.Errorf("%s needed %d connections", what, got.Connections)
				}
				viewer.do(t, command{"do": "leave", "as": "viewer"}, nil)
			}
			pair.publisher.do(t, command{"do": "leave", "as": "broadcaster"}, nil)
		})
	}
}
