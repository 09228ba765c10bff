// Package apicheck compares answers of the gateway with its OpenAPI document. It is for tests: those of the gateway, and those that
// run whole peers. It knows the part of OpenAPI 3.1 and JSON Schema that the document uses, and takes what it does not know for
// an error of the document.
package apicheck

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

// Document is an OpenAPI document. It is safe for concurrent use.
type Document struct {
	root map[string]any
}

// Parse reads a document.
func Parse(text []byte) (*Document, error) {
	d := &Document{}
	if err := yaml.Unmarshal(text, &d.root); err != nil {
		return nil, fmt.Errorf("read OpenAPI document: %w", err)
	}
	if len(object(d.root["paths"])) == 0 {
		return nil, errors.New("read OpenAPI document: it has no paths")
	}
	return d, nil
}

// Operations lists what is described as "METHOD /path/{parameter}", sorted.
func (d *Document) Operations() []string {
	var out []string
	for path, item := range object(d.root["paths"]) {
		for method := range object(item) {
			if method != "parameters" {
				out = append(out, strings.ToUpper(method)+" "+path)
			}
		}
	}
	slices.Sort(out)
	return out
}

// Open reports whether an operation of Operations needs no token.
func (d *Document) Open(operation string) bool {
	security, ok := d.operation(operation)["security"].([]any)
	return ok && len(security) == 0
}

func (d *Document) operation(name string) map[string]any {
	method, path, _ := strings.Cut(name, " ")
	return object(object(object(d.root["paths"])[path])[strings.ToLower(method)])
}

// Check reports how an answer to a request differs from what is described: the status must be listed, the type of the body one of
// its types, and a JSON body must fit the schema without a key that is not described. A request to what is not described must be
// answered with a problem, 404 or 405.
func (d *Document) Check(method, path string, status int, header http.Header, body []byte) error {
	if method == http.MethodHead {
		method = http.MethodGet
		body = nil
	}
	name, known := d.find(method, path)
	where := fmt.Sprintf("%s %s: %d", method, path, status)
	if name == "" {
		want := http.StatusNotFound
		if known {
			want = http.StatusMethodNotAllowed
			if status == want && header.Get("Allow") == "" {
				return fmt.Errorf("%s: without Allow", where)
			}
		}
		// A request that is refused as a whole is not looked at further.
		if status != want && status != http.StatusForbidden {
			return fmt.Errorf("%s: this is not described, want %d", where, want)
		}
		return d.problem(where, status, header, body)
	}
	responses := object(d.operation(name)["responses"])
	response, ok := responses[strconv.Itoa(status)]
	if !ok && status == http.StatusInternalServerError {
		response, ok = responses["default"]
	}
	if !ok {
		return fmt.Errorf("%s: %s does not list this status", where, name)
	}
	if status >= 400 {
		if err := d.problem(where, status, header, body); err != nil {
			return err
		}
	}
	r, err := d.resolve(response)
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	for h := range object(r["headers"]) {
		if header.Get(h) == "" {
			return fmt.Errorf("%s: without %s", where, h)
		}
	}
	return d.content(where, object(r["content"]), header, body)
}

func (d *Document) content(where string, content map[string]any, header http.Header, body []byte) error {
	if len(content) == 0 || body == nil {
		return nil
	}
	kind, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil || content[kind] == nil {
		return fmt.Errorf("%s: type %q is not one of %s", where, header.Get("Content-Type"), strings.Join(slices.Sorted(maps.Keys(content)), ", "))
	}
	if kind != "application/json" && kind != "application/problem+json" {
		return nil
	}
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return fmt.Errorf("%s: %w in %.200q", where, err, body)
	}
	if err := d.Validate(object(content[kind])["schema"], v); err != nil {
		return fmt.Errorf("%s: %w in %.1000q", where, err, body)
	}
	return nil
}

// problem checks a problem document (RFC 9457).
func (d *Document) problem(where string, status int, header http.Header, body []byte) error {
	if kind := header.Get("Content-Type"); kind != "application/problem+json" {
		return fmt.Errorf("%s: came as %q", where, kind)
	}
	if body == nil {
		return nil
	}
	var p struct {
		Type, Title, Detail, Code string
		Status                    int
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return fmt.Errorf("%s: %w in %.200q", where, err, body)
	}
	switch {
	case p.Type == "" || p.Title == "" || p.Code == "":
		return fmt.Errorf("%s: without type, title or code: %s", where, body)
	case p.Status != status:
		return fmt.Errorf("%s: says status %d", where, p.Status)
	case p.Detail == "" || !strings.ContainsAny(p.Detail[len(p.Detail)-1:], ".?!"):
		return fmt.Errorf("%s: says %q, which is no sentence", where, p.Detail)
	}
	return nil
}

// find returns the operation that a request is for, "" if there is none; known says that other methods have the path.
func (d *Document) find(method, path string) (name string, known bool) {
	path, _, _ = strings.Cut(path, "?")
	best := -1
	for template, item := range object(d.root["paths"]) {
		fixed, ok := match(template, path)
		if !ok {
			continue
		}
		known = true
		if _, ok := object(item)[strings.ToLower(method)]; ok && fixed > best {
			name, best = method+" "+template, fixed
		}
	}
	return name, known
}

// match compares a path with a template and counts the fixed parts.
func match(template, path string) (fixed int, ok bool) {
	t, p := strings.Split(template, "/"), strings.Split(path, "/")
	if len(t) != len(p) {
		return 0, false
	}
	for i := range t {
		switch {
		case strings.HasPrefix(t[i], "{"):
			if p[i] == "" {
				return 0, false
			}
		case t[i] != p[i]:
			return 0, false
		default:
			fixed++
		}
	}
	return fixed, true
}

// object returns v as an object; nil if it is none.
func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}
