package apicheck

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

const sample = `
openapi: 3.1.0
security: [{bearer: []}]
paths:
  /a:
    get:
      security: []
      responses:
        "200": {content: {application/json: {schema: {$ref: "#/components/schemas/A"}}}}
        "404": {$ref: "#/components/responses/problem"}
        default: {$ref: "#/components/responses/problem"}
  /a/{id}:
    parameters: []
    post: {responses: {"201": {headers: {Location: {}}}}}
  /a/b:
    post: {responses: {"204": {}}}
components:
  responses:
    problem: {content: {application/problem+json: {schema: {type: object, properties: {type: {type: string}, title: {}, status: {}, detail: {}, code: {}}}}}}
  schemas:
    A:
      allOf:
        - {type: object, required: [name], properties: {name: {type: string, enum: [x, y]}}}
        - {type: object, properties: {list: {type: array, items: {type: integer}}, at: {type: string, format: date-time}, ratio: {type: number}}}
    B: {oneOf: [{type: string}, {type: object, properties: {n: {type: integer}}}]}
    C: {type: string, pattern: x}
`

func parse(t *testing.T) *Document {
	t.Helper()
	d, err := Parse([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestCheck(t *testing.T) {
	d := parse(t)
	const problem = `{"type":"about:blank","title":"Not Found","status":404,"detail":"There is nothing here.","code":"x"}`
	for _, tt := range []struct {
		request string
		status  int
		header  string
		body    string
		want    string // in the error; "": none
	}{
		{"GET /a", 200, "Content-Type: application/json", `{"name":"x"}`, ""},
		{"HEAD /a", 200, "Content-Type: application/json", "", ""},
		{"GET /a?x=y", 200, "Content-Type: application/json; charset=utf-8", `{"name":"y","list":[1,2],"at":"2026-01-02T03:04:05.678Z","ratio":0.5}`, ""},
		{"GET /a", 200, "Content-Type: application/json", `{}`, "name is missing"},
		{"GET /a", 200, "Content-Type: application/json", `{"name":"z"}`, "not one of"},
		{"GET /a", 200, "Content-Type: application/json", `{"name":"x","list":[1.5]}`, "list: [0]: 1.5 is no integer"},
		{"GET /a", 200, "Content-Type: application/json", `{"name":"x","at":"now"}`, "3339"},
		{"GET /a", 200, "Content-Type: application/json", `{"name":"x","more":1}`, "more is not described"},
		{"GET /a", 200, "Content-Type: application/json", `[]`, "no object"},
		{"GET /a", 200, "Content-Type: application/json", `{`, "JSON"},
		{"GET /a", 200, "Content-Type: text/plain", `x`, "not one of"},
		{"GET /a", 202, "", "", "does not list"},
		{"GET /a", 404, "Content-Type: application/problem+json", problem, ""},
		{"GET /a", 404, "Content-Type: application/json", problem, "came as"},
		{"GET /a", 404, "Content-Type: application/problem+json", strings.Replace(problem, "404", "400", 1), "says status"},
		{"GET /a", 404, "Content-Type: application/problem+json", strings.Replace(problem, "here.", "", 1), "no sentence"},
		{"GET /a", 404, "Content-Type: application/problem+json", strings.Replace(problem, "about:blank", "", 1), "without type"},
		{"GET /a", 500, "Content-Type: application/problem+json", strings.Replace(problem, "404", "500", 1), ""},
		{"POST /a/7", 201, "Location: x", "", ""},
		{"POST /a/7", 201, "", "", "without Location"},
		{"POST /a/b", 204, "", "", ""},
		{"POST /a/", 404, "Content-Type: application/problem+json", problem, ""},
		{"GET /c", 404, "Content-Type: application/problem+json", problem, ""},
		{"GET /c", 200, "", "", "not described"},
		{"PUT /a", 405, "Content-Type: application/problem+json", strings.Replace(problem, "404", "405", 1), "without Allow"},
		{"PUT /a", 200, "", "", "not described"},
	} {
		header := http.Header{}
		if name, value, ok := strings.Cut(tt.header, ": "); ok {
			header.Set(name, value)
		}
		method, path, _ := strings.Cut(tt.request, " ")
		err := d.Check(method, path, tt.status, header, []byte(tt.body))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s %d %s: %v, want %q", tt.request, tt.status, tt.body, err, tt.want)
		}
	}
	if got := strings.Join(d.Operations(), ", "); got != "GET /a, POST /a/b, POST /a/{id}" {
		t.Errorf("operations %s", got)
	}
	if !d.Open("GET /a") || d.Open("POST /a/b") {
		t.Error("which operations are open is read wrongly")
	}
}

func TestValidate(t *testing.T) {
	d := parse(t)
	for _, tt := range []struct{ ref, value, want string }{
		{"B", `"text"`, ""},
		{"B", `{"n":1}`, ""},
		{"B", `{"m":1}`, "0 of the alternatives"},
		{"B", `7`, "0 of the alternatives"},
		{"C", `"x"`, "nobody checks"},
		{"D", `1`, "the document has no"},
	} {
		var v any
		if err := json.Unmarshal([]byte(tt.value), &v); err != nil {
			t.Fatal(err)
		}
		err := d.Validate(map[string]any{"$ref": "#/components/schemas/" + tt.ref}, v)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s as %s: %v, want %q", tt.value, tt.ref, err, tt.want)
		}
	}
	for _, text := range []string{"", "[]", "paths: {}", "a: ["} {
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("%q is a document", text)
		}
	}
}
