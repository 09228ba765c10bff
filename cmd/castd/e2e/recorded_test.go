//go:build linux

package e2e_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// TestRecorded: while somebody writes the room to a file, the data channel, the API, the command line and the page of another peer say who;
// not so of who only listens.
func TestRecorded(t *testing.T) {
	b := startBrowsers(t)
	hub := launch(t, "hub", "start", "--room", "talk", "--mode", "conference", "--http", "127.0.0.1:0")
	ready := hub.ready()
	ann := joinCall(t, ready.text("http"), ready.text("token"), "talk", "Ann", 400)
	launch(t, "silent", "listen", "talk", "--bootstrap", hub.address()).ready()
	spy := launch(t, "spy", "listen", "talk", "--bootstrap", hub.address(), "--out", inTemp(t, "talk.ogg"))
	spy.ready()
	ann.until(t, "she is recorded", func() bool {
		return len(ann.state.Recording) == 1 && ann.state.Recording[0].Peer == spy.ready().text("peer") && ann.state.Mixer.Readable
	})
	var info struct {
		Recording []struct{ Peer, Participant, Since string }
	}
	_, text := newGuest(t, ready.text("http"), ready.text("token")).request(context.Background(), t, http.MethodGet, "/api/v1/rooms/talk", "", "")
	if err := json.Unmarshal(text, &info); err != nil || len(info.Recording) != 1 || info.Recording[0].Participant == "" {
		t.Errorf("the API tells %+v, %v", info, err)
	}
	if out, errs, code := castd(t, "status", "talk", "--data-dir", hub.dir); code != 0 || !strings.Contains(out, "recorded  by") {
		t.Errorf("castd status: %s%s", out, errs)
	}
	var s said
	b.do(t, command{"do": "visit", "url": hub.page("talk"), "say": "recorded"}, &s)
	if !s.Visible || !strings.HasPrefix(s.Text, "Recorded by") {
		t.Errorf("the page says %+v", s)
	}
	b.do(t, command{"do": "visit", "url": hub.page("talk"), "say": "mixed"}, &s)
	if !strings.Contains(s.Text, "can hear it") {
		t.Errorf("the page says %+v", s)
	}
	if code, _ := spy.stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
	ann.until(t, "she is not recorded any more", func() bool { return len(ann.state.Recording) == 0 })
	hub.wait("that a recording has ended", 2, is("recording"))
}
