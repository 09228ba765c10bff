//go:build linux

package plugins

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/castd/castd/plugins/sdk/protocol"
)

// dialled is what comes of a call, in short.
func dialled(t *testing.T, base, plugin, body string) string {
	t.Helper()
	resp, err := http.Post(base+"/plugins/"+plugin+":dial", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var p struct{ Detail string }
		if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
			t.Error(err)
		}
		return fmt.Sprint(resp.StatusCode, " ", p.Detail)
	}
	var all []string
	for d := json.NewDecoder(resp.Body); ; {
		var e DialEvent
		if err := d.Decode(&e); err == io.EOF {
			return strings.Join(all, ", ")
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %d %s", e.State, e.Cause, e.Reason)))
	}
}

// TestEndpoint has a plugin call people outside who are busy, answer, do not, and whose line breaks; the one who answers is in the room.
func TestEndpoint(t *testing.T) {
	h := newTestHost(t)
	h.install("phone", Change{Grant: []string{"rooms", "send", "audio", "dial"}, Set: []string{"do=quiet"}})
	h.install("judge", Change{Grant: []string{"policy"}})
	h.install("ungranted", Change{})
	h.start()
	h.running("phone")
	h.running("judge")
	s := api(t, h)
	for _, tt := range []struct{ plugin, body, want string }{
		{"phone", `{"room":"lobby","number":"busy"}`, "ended 17 the line is taken"},
		{"phone", `{"room":"lobby","number":"nobody"}`, "ended 31"},
		{"phone", `{"room":"lobby","number":"chatter"}`, "ended 41 the plugin phone says too much of a call"},
		{"phone", `{"room":"elsewhere","number":"busy"}`, "404 this peer is in no room elsewhere"},
		{"phone", `{"room":"lobby"}`, "400 the body is not the JSON"},
		{"phone", `{"room":"lobby","number":"a\nb"}`, "400 the body is not the JSON"},
		{"ungranted", `{"room":"lobby","number":"busy"}`, "--grant dial"},
		{"nobody", `{"room":"lobby","number":"busy"}`, "404 there is no plugin"},
		{"phone", `{"room":"lobby","number":"die"}`, "ended 41 the plugin phone has ended meanwhile"},
	} {
		if got := dialled(t, s.URL, tt.plugin, tt.body); !strings.Contains(got, tt.want) {
			t.Errorf("%s %s: %q", tt.plugin, tt.body, got)
		}
	}
	if text := h.said("judge", "asked dial"); !strings.Contains(text, "in lobby") {
		t.Errorf("the policy was asked %q", text)
	}
}

// TestEndpointNoAnswer: a call that nobody answers ends.
func TestEndpointNoAnswer(t *testing.T) {
	h := newTestHost(t)
	h.install("phone", Change{Grant: []string{"rooms", "send", "audio", "dial"}, Set: []string{"do=quiet"}})
	h.start()
	h.running("phone")
	var got []string
	h.mu.Lock()
	sup := h.Host.running["phone"]
	h.mu.Unlock()
	p, err := sup.whenRunning(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	place(t.Context(), p, "phone", &protocol.PlaceRequest{Number: "forever"}, 3*time.Second, func(e DialEvent) bool {
		got = append(got, fmt.Sprint(e.State, " ", e.Cause))
		return true
	})
	if s := strings.Join(got, ", "); s != "ringing 0, ended 19" {
		t.Errorf("it is told %q", s)
	}
}
