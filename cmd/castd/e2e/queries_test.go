package e2e_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"
)

// TestTables asks a running peer for its rooms, peers, guests and ports, as people and as scripts do.
func TestTables(t *testing.T) {
	t.Parallel()
	o := origin(t)
	l := audience(t, "listener", o)
	a := apiOf(t, o)
	if got := a.offer("/whep/lobby", a.roomToken("lobby", `{}`), offerOf(t, webrtc.RTPTransceiverDirectionRecvonly)); got.status != 201 {
		t.Fatalf("no guest: %d", got.status)
	}
	objects := func(args ...string) []event {
		t.Helper()
		out, errs, code := castd(t, append(args, "--json", "--data-dir", o.dir)...)
		if code != 0 {
			t.Fatalf("%v: exit code %d: %s", args, code, errs)
		}
		var list []event
		for line := range strings.Lines(out) {
			var e event
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatalf("%v: %v in %q", args, err, line)
			}
			list = append(list, e)
		}
		return list
	}
	text := func(args ...string) string {
		t.Helper()
		out, errs, code := castd(t, append(args, "--data-dir", o.dir)...)
		if code != 0 {
			t.Fatalf("%v: exit code %d: %s", args, code, errs)
		}
		return out
	}
	room := o.ready().text("room")
	if rooms := objects("rooms"); len(rooms) != 1 || rooms[0].text("room") != room || rooms[0].text("name") != "lobby" || rooms[0].text("role") != "owner" {
		t.Errorf("rooms %v", rooms)
	}
	if s := text("rooms"); !strings.HasPrefix(s, "NAME") || !strings.Contains(s, room) {
		t.Errorf("rooms\n%s", s)
	}
	roles := map[string]string{}
	for _, p := range objects("peers", "lobby") {
		if p.text("protocol") != "" {
			roles[p.text("protocol")] = "guest"
		} else {
			roles[p.text("peer")] = p.text("role")
		}
	}
	if roles[l.ready().text("peer")] != "child" || roles["whep"] != "guest" || len(roles) != 2 {
		t.Errorf("peers %v", roles)
	}
	if s := text("peers"); !strings.Contains(s, "child") || !strings.Contains(s, "whep") || !strings.Contains(s, "LOSS") {
		t.Errorf("peers\n%s", s)
	}
	if _, _, code := castd(t, "peers", "attic", "--data-dir", o.dir); code != 3 {
		t.Errorf("peers of a room that is not there: exit code %d", code)
	}
	u, err := url.Parse(a.base)
	if err != nil {
		t.Fatal(err)
	}
	ports := map[string]float64{}
	for _, p := range objects("ports") {
		if p.text("state") != "open" || p.text("note") == "" {
			t.Errorf("port %v", p)
		}
		ports[p.text("use")] = p.number("port")
	}
	if strconv.Itoa(int(ports["gateway"])) != u.Port() || ports["media"] != o.ready().number("media_port") || ports["peers"] <= 0 {
		t.Errorf("ports %v", ports)
	}
	if out, errs, code := castd(t, "__complete", "tree", "--data-dir", o.dir, "lo"); code != 0 || !strings.HasPrefix(out, "lobby\t") {
		t.Errorf("completion: %d %s%s", code, out, errs)
	}
}

// TestConfigCheckOfAFile: wrong is 2, and says in which line.
func TestConfigCheckOfAFile(t *testing.T) {
	t.Parallel()
	config := filepath.Join(t.TempDir(), "castd.yml")
	if err := os.WriteFile(config, []byte("upload: 20M\nmedia-prot: 9000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, code := castd(t, "config", "check", config, "--data-dir", folder(t))
	if code != 2 || !strings.Contains(out, config+":2: ") || !strings.Contains(out, `"media-port"`) || strings.Count(errs, "\n") != 1 {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
}

// TestEventsOverHTTP: who comes back gets what is now, and then what happens.
func TestEventsOverHTTP(t *testing.T) {
	t.Parallel()
	o := origin(t)
	l := audience(t, "listener", o)
	a := apiOf(t, o)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.base+"/api/v1/events?room=lobby", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	req.Header.Set("Last-Event-ID", "3")
	res, err := a.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	next := func() event {
		t.Helper()
		for lines.Scan() {
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok {
				continue
			}
			var e event
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				t.Fatal(err)
			}
			schema := map[string]any{"$ref": "#/components/schemas/Event"}
			if err := a.document.Validate(schema, map[string]any(e)); err != nil {
				t.Error(err)
			}
			return e
		}
		t.Fatal(lines.Err())
		return nil
	}
	if e := next(); !is("peer", "peer", l.ready().text("peer"))(e) {
		t.Errorf("it begins with %v", e)
	}
	l.stop()
	for e := next(); !is("left", "peer", l.ready().text("peer"))(e); {
		e = next()
	}
}
