//go:build linux

package plugins

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// api serves a Host's plugins as the gateway does.
func api(t *testing.T, h *testHost) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/plugins/{plugin}", h)
	mux.Handle("/plugins/{plugin}/{path...}", h)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// ran is what came of a command.
func ran(t *testing.T, s *httptest.Server, plugin, body string) (out, errs, problem string, exit int) {
	t.Helper()
	resp, err := http.Post(s.URL+"/plugins/"+plugin+":run", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	exit = -1
	if resp.StatusCode != http.StatusOK {
		var p struct{ Detail string }
		if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
			t.Error(err)
		}
		return "", "", p.Detail, exit
	}
	var o, e bytes.Buffer
	for d := json.NewDecoder(resp.Body); ; {
		var part RunPart
		if err := d.Decode(&part); err == io.EOF {
			return o.String(), e.String(), problem, exit
		} else if err != nil {
			t.Fatal(err)
		}
		o.Write(part.Out)
		e.Write(part.Err)
		problem += part.Problem
		if part.Exit != nil {
			exit = *part.Exit
		}
	}
}

// TestCommand: a plugin's command gets arguments and input, its output and exit code come back, and what is wrong with it is told.
func TestCommand(t *testing.T) {
	h := newTestHost(t)
	h.install("helper", Change{Grant: []string{"command"}})
	h.install("ungranted", Change{})
	h.install("off", Change{Grant: []string{"command"}})
	if err := h.store.Disable("off"); err != nil {
		t.Fatal(err)
	}
	h.start()
	h.running("helper")
	s := api(t, h)
	first := h.running("helper")
	for _, tt := range []struct {
		plugin, body, out, errs, problem string
		exit                             int
	}{
		{"helper", `{"args":["echo","a b","\u00e4"],"input":"aGk="}`, "[\"a b\" \"\u00e4\"] \"hi\"\n", "done\n", "", 0},
		{"helper", `{"args":["fail"]}`, "", "it cannot be done\n", "", 3},
		{"helper", `{"args":["wild"]}`, "", "", "", 0},
		{"helper", `{}`, "", "", "", 2},
		{"helper", `[`, "", "", "not the JSON that is wanted", -1},
		{"helper", fmt.Sprintf(`{"args":[%q]}`, strings.Repeat("x", maxArg+1)), "", "", "at most 256 arguments", -1},
		{"ungranted", `{"args":["echo"]}`, "", "", "--grant command", -1},
		{"off", `{"args":["echo"]}`, "", "", "castd plugin enable off", -1},
		{"nobody", `{"args":["echo"]}`, "", "", "there is no plugin", -1},
		{"helper", `{"args":["die"]}`, "", "", "has ended meanwhile", -1},
	} {
		out, errs, problem, exit := ran(t, s, tt.plugin, tt.body)
		if out != tt.out || errs != tt.errs || exit != tt.exit || !strings.Contains(problem, tt.problem) || problem != "" && tt.problem == "" {
			t.Errorf("%s %.80s: %q %q %q %d", tt.plugin, tt.body, out, errs, problem, exit)
		}
	}
	h.wait("helper", "running again", func(s Status) bool { return s.State == StateRunning && s.PID != first.PID })
	if out, _, problem, _ := ran(t, s, "helper", `{"args":["much"]}`); len(out) != 100_000_000 {
		t.Errorf("of much output %d octets have come: %s", len(out), problem)
	}

	// Who gives up ends the command.
	resp, err := http.Post(s.URL+"/plugins/helper:run", "application/json", strings.NewReader(`{"args":["wait"]}`))
	if err != nil {
		t.Fatal(err)
	}
	var part RunPart
	if err := json.NewDecoder(resp.Body).Decode(&part); err != nil || string(part.Out) != "waiting\n" {
		t.Errorf("%+v %v", part, err)
	}
	resp.Body.Close()
	h.said("helper", "given up")
}

// TestPluginPaths: a plugin answers requests, and what it answers cannot do anything in a browser or to the connection.
func TestPluginPaths(t *testing.T) {
	h := newTestHost(t)
	h.install("helper", Change{Grant: []string{"command"}})
	h.start()
	h.running("helper")
	s := api(t, h)
	ask := func(method, path, body string) (*http.Response, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/plugins/"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "text/plain")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Error(err)
		}
		return resp, string(text)
	}
	resp, text := ask("PUT", "helper/echo?a=b", "body")
	if resp.StatusCode != 201 || text != "PUT a=b text/plain body" || !strings.Contains(resp.Header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("%d %q %v", resp.StatusCode, text, resp.Header)
	}
	for _, tt := range []struct {
		path   string
		status int
		want   string
	}{
		{"helper/much", 502, "more than 4 MiB"},
		{"helper/huge", 502, "failed"},
		{"helper/strange", 502, "the status 7"},
		{"helper/nothing", 404, "{}"},
		{"nobody/x", 404, "there is no plugin"},
		{"helper:dance", 404, "NAME:run"},
	} {
		if resp, text := ask("GET", tt.path, ""); resp.StatusCode != tt.status || !strings.Contains(text, tt.want) {
			t.Errorf("%s: %d %.200q", tt.path, resp.StatusCode, text)
		}
	}
	if resp, text := ask("GET", "helper/split", ""); resp.Header.Get("Set-Cookie") != "" || text != "x" || resp.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("%v %q", resp.Header, text)
	}
	if resp, text := ask("POST", "helper/echo", strings.Repeat("x", maxInput+1)); resp.StatusCode != 413 {
		t.Errorf("too much: %d %.200q", resp.StatusCode, text)
	}
	first := h.running("helper")
	if resp, text := ask("GET", "helper/die", ""); resp.StatusCode != 502 || !strings.Contains(text, "has ended meanwhile") {
		t.Errorf("dying: %d %q", resp.StatusCode, text)
	}
	h.wait("helper", "running again", func(s Status) bool { return s.State == StateRunning && s.PID != first.PID })
	if resp, _ := ask("GET", "helper/nothing", ""); resp.StatusCode != 404 {
		t.Errorf("after it came back: %d", resp.StatusCode)
	}
}
