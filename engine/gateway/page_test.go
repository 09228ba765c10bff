package gateway

import (
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Bounds of the files of the page together, in octets: as they are, and packed as browsers get them. A phone loads what the page
// begins with before it shows anything; the rest is loaded where it is needed.
const (
	maxPage       = 100_000
	maxPagePacked = 40_000
	maxRest       = 64_000
	maxRestPacked = 23_000
)

func TestPage(t *testing.T) {
	b := newBench(t)
	for _, path := range []string{"/", "/r/lobby", "/r/nowhere", "/web/index.html"} {
		w := b.do(call{method: "GET", path: path})
		h := w.Header()
		if w.Code != 200 || h.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(w.Body.String(), `id="player"`) {
			t.Errorf("%s: %d %v", path, w.Code, h)
		}
		policy := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: policy %q", path, policy)
			}
		}
		if strings.Contains(policy, "unsafe") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: headers %v", path, h)
		}
		if w := b.do(call{method: "GET", path: path, headers: []string{"If-None-Match: " + h.Get("ETag")}}); w.Code != 304 || w.Body.Len() != 0 {
			t.Errorf("%s again: %d", path, w.Code)
		}
	}
}

func TestPageFiles(t *testing.T) {
	b := newBench(t)
	begin, rest := [2]int{}, [2]int{} // as they are, and packed
	index := string(b.gateway.files["index.html"].body)
	names := slices.Sorted(maps.Keys(b.gateway.files))
	for _, name := range names {
		w := b.do(call{method: "GET", path: "/web/" + name})
		if w.Code != 200 || w.Header().Get("Content-Type") != webTypes[filepath.Ext(name)] {
			t.Errorf("%s: %d %s", name, w.Code, w.Header().Get("Content-Type"))
		}
		size := &rest
		if name == "index.html" || strings.Contains(index, `"/web/`+name+`"`) {
			size = &begin
		}
		size[0] += w.Body.Len()
		z := b.do(call{method: "GET", path: "/web/" + name, headers: []string{"Accept-Encoding: br, gzip"}})
		size[1] += z.Body.Len()
		r, err := gzip.NewReader(z.Body)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if body, err := io.ReadAll(r); err != nil || !bytes.Equal(body, w.Body.Bytes()) || z.Header().Get("Content-Encoding") != "gzip" {
			t.Errorf("%s: packed it is another file: %v", name, err)
		}
		if z.Header().Get("ETag") == w.Header().Get("ETag") || z.Header().Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s: %v", name, z.Header())
		}
	}
	t.Logf("the page begins with %d octets, packed %d; the rest has %d, packed %d", begin[0], begin[1], rest[0], rest[1])
	if begin[0] > maxPage || begin[1] > maxPagePacked || rest[0] > maxRest || rest[1] > maxRestPacked {
		t.Errorf("the page begins with %v octets, the rest has %v", begin, rest)
	}
	entries, err := os.ReadDir("web")
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(names) {
		t.Errorf("%d files in web, %d served", len(entries), len(names))
	}
}

var (
	otherHost = regexp.MustCompile(`(?:src|href|from|import|fetch|url)\s*[=(]?\s*["'(](?:https?:)?//`)
	reference = regexp.MustCompile(`(?:src|href)="/web/([^"]+)"|(?:from |import\()'\./([^']+)'`)
	inline    = regexp.MustCompile(`(?i)\son[a-z]+=|\sstyle=|<script(?:\s[^>]*)?>[^<]|javascript:|innerHTML|insertAdjacentHTML|document\.write|\beval\(`)
	usedID    = regexp.MustCompile(`byId\('([^']+)'\)`)
	givenID   = regexp.MustCompile(`\sid="([^"]+)"`)
)

// TestPageKeepsToItself checks what the policy would stop in the browser: other hosts, inline code; and that what the files
// name is there.
func TestPageKeepsToItself(t *testing.T) {
	b := newBench(t)
	given := map[string]bool{}
	for _, m := range givenID.FindAllStringSubmatch(string(b.gateway.files["index.html"].body), -1) {
		if given[m[1]] {
			t.Errorf("two elements have the id %s", m[1])
		}
		given[m[1]] = true
	}
	for _, id := range []string{"player", "state", "go-live", "stop-live", "copy-invite"} {
		if !given[id] {
			t.Errorf("no element has the id %s", id)
		}
	}
	for name, f := range b.gateway.files {
		text := string(f.body)
		if found := otherHost.FindString(text); found != "" {
			t.Errorf("%s wants another host: %s", name, found)
		}
		if found := inline.FindString(text); found != "" && filepath.Ext(name) != ".css" {
			t.Errorf("%s has %q", name, found)
		}
		for _, m := range reference.FindAllStringSubmatch(text, -1) {
			if _, ok := b.gateway.files[m[1]+m[2]]; !ok {
				t.Errorf("%s names %s, which is not there", name, m[1]+m[2])
			}
		}
		for _, m := range usedID.FindAllStringSubmatch(text, -1) {
			if !given[m[1]] {
				t.Errorf("%s uses the id %s, which is not there", name, m[1])
			}
		}
	}
}

// scripts puts the modules into a folder where node takes them for modules, beside a test of them; it returns node's path and the
// folder. Without node the test is skipped.
func scripts(t *testing.T) (node, dir string) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("there is no node to check with")
	}
	dir = t.TempDir()
	files := map[string][]byte{"package.json": []byte(`{"type": "module"}`)}
	for name, f := range newBench(t).gateway.files {
		if filepath.Ext(name) == ".js" {
			files[name] = f.body
		}
	}
	if files["test.mjs"], err = os.ReadFile("testdata/page.mjs"); err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return node, dir
}

// TestScripts lets node read the modules, where there is one.
func TestScripts(t *testing.T) {
	node, dir := scripts(t)
	found, err := filepath.Glob(filepath.Join(dir, "*.js"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no modules: %v", err)
	}
	for _, path := range found {
		if out, err := exec.CommandContext(t.Context(), node, "--check", path).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", path, err, out)
		}
	}
}

// TestScriptParts runs what needs no browser: testdata/page.mjs.
func TestScriptParts(t *testing.T) {
	node, dir := scripts(t)
	if out, err := exec.CommandContext(t.Context(), node, filepath.Join(dir, "test.mjs")).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestTakesGzip(t *testing.T) {
	for header, want := range map[string]bool{
		"": false, "gzip": true, "GZIP": true, "br, gzip": true, "br": false, "*": true, "gzip;q=0": false, "gzip; q=0.0": false,
		"gzip;q=0.5": true, "identity, gzip ; q=1": true, "gzipped": false, "gzip;": true,
	} {
		if got := takesGzip([]string{header}); got != want {
			t.Errorf("%q: %v", header, got)
		}
	}
}
