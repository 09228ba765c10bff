//go:build linux

package e2e_test

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// nodePlugin builds examples/plugin-node in a copy, as a stranger would, and runs its own tests.
func nodePlugin(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	example, proto := filepath.Join(dir, "examples/plugin-node"), "plugins/sdk/protocol/plugin.proto"
	for _, path := range []string{proto, "package.json", "package-lock.json", ".npmrc", "build.mjs", "src", "test"} {
		from, to := filepath.Join(root, "examples/plugin-node", path), filepath.Join(example, path)
		if path == proto {
			from, to = filepath.Join(root, proto), filepath.Join(dir, proto)
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("cp", "-R", from, to).CombinedOutput(); err != nil {
			t.Fatalf("copy the example: %v\n%s", err, out)
		}
	}
	for _, args := range [][]string{{"ci", "--prefer-offline", "--no-audit", "--no-fund", "--no-progress"}, {"test"}} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*patience)
		defer cancel()
		npm := exec.CommandContext(ctx, "npm", args...)
		npm.Dir = example
		if out, err := npm.CombinedOutput(); err != nil {
			t.Fatalf("npm %v: %v\n%s", args, err, out)
		}
	}
	return filepath.Join(example, "dist/castd-plugin-webhook")
}

// webhook is what the plugin posts to.
type webhook struct {
	*httptest.Server
	secret string

	mu     sync.Mutex // guards what follows
	events []hookEvent
	runs   []string // lives of the plugin
	bad    []string // what was wrong with requests
}

// hookEvent is an event as the plugin posts it.
type hookEvent struct {
	run    string
	Number int    `json:"number"`
	Type   string `json:"type"`
	Room   struct {
		Name string `json:"name"`
	} `json:"room"`
	Participant struct {
		Name string `json:"name"`
	} `json:"participant"`
}

func newWebhook(t *testing.T) *webhook {
	t.Helper()
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	h := &webhook{secret: "whsec_" + base64.StdEncoding.EncodeToString(key)}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var post struct {
			Run    string      `json:"run"`
			Events []hookEvent `json:"events"`
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.%s", r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp"), body)
		if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); err != nil || r.Header.Get("webhook-signature") != want {
			h.bad = append(h.bad, fmt.Sprintf("the signature %q of %q: %v", r.Header.Get("webhook-signature"), body, err))
		}
		if err := json.Unmarshal(body, &post); err != nil {
			h.bad = append(h.bad, fmt.Sprintf("%q: %v", body, err))
		}
		if n := len(h.runs); n == 0 || h.runs[n-1] != post.Run {
			h.runs = append(h.runs, post.Run)
		}
		for _, e := range post.Events {
			e.run = post.Run
			h.events = append(h.events, e)
		}
	}))
	t.Cleanup(h.Close)
	return h
}

// got counts events of a type, by the life of the plugin that posted them, and of a participant where name is not "".
func (h *webhook) got(run int, kind, name string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, e := range h.events {
		if run < len(h.runs) && e.run == h.runs[run] && e.Type == kind && e.Room.Name == "talk" && (name == "" || e.Participant.Name == name) {
			n++
		}
	}
	return n
}

// TestPluginNode has a plugin in JavaScript post what happens in a room, kills it, and runs the conformance kit against it.
func TestPluginNode(t *testing.T) {
	t.Parallel()
	program, hook, other := nodePlugin(t), newWebhook(t), newWebhook(t)
	out, errs, code := castd(t, "plugin", "test", program, "--set", "url="+other.URL, "--set", "secret="+other.secret)
	if code != 0 || strings.Count(out, "ok       ") < 10 {
		t.Errorf("plugin test: exit code %d:\n%s%s", code, out, errs)
	}
	other.Close()

	p := launch(t, "peer", "start", "--room", "talk", "--mode", "conference", "--http", "127.0.0.1:0")
	ready := p.ready()
	out, errs, code = castd(t, "plugin", "install", program, "--data-dir", p.dir, "--grant", "rooms,network",
		"--set", "url="+hook.URL, "--set", "secret="+hook.secret)
	if code != 0 || !strings.Contains(out, "It is running.") {
		t.Fatalf("install: exit code %d: %s%s", code, out, errs)
	}
	until(t, "the room begins", func() bool { return hook.got(0, "room.begin", "") == 1 })
	ann := joinCall(t, ready.text("http"), ready.text("token"), "talk", "Ann", 400)
	until(t, "Ann has come", func() bool { return hook.got(0, "participant.joined", "Ann") == 1 })
	ann.leave(t)
	until(t, "Ann has gone", func() bool { return hook.got(0, "participant.left", "Ann") == 1 })

	if err := syscall.Kill(int(pluginList(t, p.dir).number("pid")), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "it comes back", func() bool { return hook.got(1, "room.begin", "") == 1 })
	joinCall(t, ready.text("http"), ready.text("token"), "talk", "Bob", 700)
	until(t, "Bob has come", func() bool { return hook.got(1, "participant.joined", "Bob") == 1 })
	a := apiOf(t, p)
	if n := a.metric(`castd_plugin_webhook_delivered_events_total{plugin="webhook"}`); n < 2 {
		t.Errorf("castd_plugin_webhook_delivered_events_total is %v", n)
	}
	if out, errs, code := castd(t, "plugin", "disable", "webhook", "--data-dir", p.dir); code != 0 {
		t.Fatalf("disable: exit code %d: %s%s", code, out, errs)
	}
	if n := hook.got(1, "room.end", ""); n != 1 {
		t.Errorf("when the plugin has ended, the webhook knows of %d ends of the room", n)
	}

	info, _, _ := castd(t, "plugin", "info", "webhook", "--data-dir", p.dir)
	for name, text := range map[string]string{"castd's log": p.stderr(), "plugin info": info} {
		if strings.Contains(text, hook.secret[6:]) || strings.Contains(text, hook.URL) {
			t.Errorf("%s has the secret or the URL:\n%s", name, text)
		}
	}
	hook.mu.Lock()
	defer hook.mu.Unlock()
	for _, bad := range append(hook.bad, other.bad...) {
		t.Error(bad)
	}
	last := map[string]int{}
	for _, e := range hook.events {
		if last[e.run]++; e.Number != last[e.run] {
			t.Errorf("event %d has the number %d", last[e.run], e.Number)
			break
		}
	}
}
