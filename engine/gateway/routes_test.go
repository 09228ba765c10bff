package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"
)

// document is what of OpenAPI is compared.
type document struct {
	OpenAPI string `yaml:"openapi"`
	Paths   map[string]map[string]any
}

func readDocument(t *testing.T) (routes []string, open map[string]bool) {
	t.Helper()
	var d document
	if err := yaml.Unmarshal(openAPIText, &d); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(d.OpenAPI, "3.1") {
		t.Errorf("openapi %q", d.OpenAPI)
	}
	open = map[string]bool{}
	for path, methods := range d.Paths {
		for method, operation := range methods {
			if method == "parameters" {
				continue
			}
			name := strings.ToUpper(method) + " " + path
			routes = append(routes, name)
			o, ok := operation.(map[string]any)
			if !ok || o["responses"] == nil || o["summary"] == nil {
				t.Errorf("%s: no summary or responses", name)
			}
			if s, there := o["security"]; there && fmt.Sprint(s) == "[]" {
				open[name] = true
			}
		}
	}
	slices.Sort(routes)
	return routes, open
}

func TestRoutesAreDescribed(t *testing.T) {
	b := newBench(t)
	described, open := readDocument(t)
	var served []string
	for _, rt := range b.gateway.routes() {
		name := strings.NewReplacer("{$}", "", "{path...}", "{path}").Replace(rt.pattern)
		served = append(served, name)
		if (rt.need == forAll) != open[name] {
			t.Errorf("%s: open is %v, described as %v", name, rt.need == forAll, open[name])
		}
	}
	slices.Sort(served)
	if !slices.Equal(served, described) {
		t.Errorf("served\n%s\ndescribed\n%s", strings.Join(served, "\n"), strings.Join(described, "\n"))
	}
}

// TestReferences checks that every $ref of the document leads somewhere.
func TestReferences(t *testing.T) {
	var d map[string]any
	if err := yaml.Unmarshal(openAPIText, &d); err != nil {
		t.Fatal(err)
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				var at any = d
				for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
					m, _ := at.(map[string]any)
					at = m[part]
				}
				if at == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, e := range v {
				walk(e)
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(d)
}

// TestTokensAreNeeded tries every route without a token, with a wrong one, and with those of rooms.
func TestTokensAreNeeded(t *testing.T) {
	b := newBench(t)
	forViewers := []string{"POST /whep/{room}", "POST /call/{room}", "GET /api/v1/rooms/{room}", "GET /api/v1/rooms/{room}/chat", "GET /api/v1/events"}
	for _, rt := range b.gateway.routes() {
		if rt.need == forAll {
			continue
		}
		method, path, _ := strings.Cut(rt.pattern, " ")
		path = strings.NewReplacer("{room}", "lobby", "{session}", "none", "{$}", "").Replace(path)
		b.gateway.limits = newLimits()
		for _, token := range []string{"", "wrong"} {
			w := b.do(call{method: method, path: path, token: token})
			if w.Code != 401 || w.Header().Get("WWW-Authenticate") == "" {
				t.Errorf("%s with %q: %d", rt.pattern, token, w.Code)
			}
		}
		if slices.Contains(forViewers, rt.pattern) || strings.Contains(path, "/none") {
			continue // their own tests tell
		}
		if w := b.do(call{method: method, path: path, token: viewer}); w.Code != 403 {
			t.Errorf("%s with a room token: %d", rt.pattern, w.Code)
		}
		if w := b.do(call{method: method, path: path, token: speaker}); w.Code != 403 && rt.pattern != "POST /whip/{room}" {
			t.Errorf("%s with a speaker's token: %d", rt.pattern, w.Code)
		}
	}
}

func TestUnknown(t *testing.T) {
	b := newBench(t)
	for _, tt := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/nothing", 404},
		{"POST", "/record/lobby", 404},
		{"GET", "/api/v1/", 404},
		{"GET", "/api/v2/status", 404},
		{"GET", "/r/", 404},
		{"GET", "/r/lobby/more", 404},
		{"GET", "/web/", 404},
		{"GET", "/web/page.go", 404},
		{"GET", "/web/..%2fpage.go", 404},
		{"POST", "/r/lobby", 405},
		{"POST", "/", 405},
		{"DELETE", "/api/v1/status", 405},
		{"BREW", "/api/v1/status", 405},
		{"PUT", "/api/v1/rooms/lobby", 405},
	} {
		w := b.do(call{method: tt.method, path: tt.path, token: admin})
		if w.Code != tt.want || (w.Code == 405) != (w.Header().Get("Allow") != "") {
			t.Errorf("%s %s: %d, Allow %q", tt.method, tt.path, w.Code, w.Header().Get("Allow"))
		}
	}
}

func TestMediaIsLeftOut(t *testing.T) {
	b := newBench(t, func(c *Config) { c.MediaUpload, c.MediaDownload = nil, nil })
	if w := b.do(call{method: "GET", path: "/api/v1/rooms/lobby/media", token: admin}); w.Code != 404 {
		t.Errorf("status %d", w.Code)
	}
}

func TestPanicIsAnswered(t *testing.T) {
	b := newBench(t, func(c *Config) {
		c.MediaDownload = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("oh") })
		c.MediaUpload = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(200)
			panic("oh")
		})
	})
	if w := b.do(call{method: "GET", path: "/api/v1/rooms/lobby/media", token: admin}); w.Code != 500 || strings.Contains(w.Body.String(), "oh") {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	// An answer that has begun is cut off, not completed.
	defer func() {
		if v := recover(); v != http.ErrAbortHandler { //nolint:errorlint // as net/http compares
			t.Errorf("panicked with %v", v)
		}
	}()
	b.do(call{method: "POST", path: "/api/v1/rooms/lobby/media", token: admin})
}

func TestMetrics(t *testing.T) {
	engines := prometheus.NewRegistry()
	engines.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "castd_engine_test", Help: "test"}, func() float64 { return 7 }))
	b := newBench(t, func(c *Config) { c.MetricsGatherer = engines })
	b.offer("/whip/lobby", admin)
	b.offer("/whip/cellar", admin)
	b.do(call{method: "GET", path: "/" + strings.Repeat("x", 100)})
	w := b.do(call{method: "GET", path: "/metrics", token: admin})
	for _, line := range []string{
		"castd_engine_test 7",
		`castd_gateway_sessions{protocol="whip"} 1`,
		`castd_gateway_sessions{protocol="whep"} 0`,
		`castd_http_requests_total{route="POST /whip/{room}",status="201"} 1`,
		`castd_http_requests_total{route="POST /whip/{room}",status="404"} 1`,
		`castd_http_requests_total{route="",status="404"} 1`,
	} {
		if !strings.Contains(w.Body.String(), line+"\n") {
			t.Errorf("no %s in\n%s", line, w.Body)
		}
	}
}

func TestNewChecksItsConfig(t *testing.T) {
	ok := Config{Service: newFakeService(), Guests: &fakeGuests{}}
	for name, change := range map[string]func(*Config){
		"no service":     func(c *Config) { c.Service = nil },
		"no guests":      func(c *Config) { c.Guests = nil },
		"public name":    func(c *Config) { c.PublicURL = "radio.example" },
		"public scheme":  func(c *Config) { c.PublicURL = "ftp://radio.example" },
		"trusted origin": func(c *Config) { c.TrustedOrigins = []string{"radio.example/page"} },
	} {
		c := ok
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := New(ok); err != nil {
		t.Error(errors.Unwrap(err))
	}
}
