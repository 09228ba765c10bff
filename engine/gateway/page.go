package gateway

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// web holds the page: plain HTML, CSS and ES modules, served as they are.
//
//go:embed web
var web embed.FS

// webFile is one file of the page.
type webFile struct {
	body   []byte
	packed []byte // by gzip
	kind   string
	etag   string // of body; packed has one of its own (RFC 9110 section 8.8.3.3)
}

// packedTag is the entity tag of the packed file.
func (f *webFile) packedTag() string { return strings.TrimSuffix(f.etag, `"`) + `-gzip"` }

var webTypes = map[string]string{ //nolint:gochecknoglobals // a constant
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// pagePolicy lets the page do what it needs and nothing else: no other host, no inline script, no frame around it.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"media-src 'self' blob: mediastream:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func loadWeb() (map[string]webFile, error) {
	entries, err := fs.ReadDir(web, "web")
	if err != nil {
		return nil, err
	}
	files := map[string]webFile{}
	for _, e := range entries {
		kind, ok := webTypes[path.Ext(e.Name())]
		if !ok {
			continue
		}
		body, err := web.ReadFile("web/" + e.Name())
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(body)
		var packed bytes.Buffer
		z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		if err != nil {
			return nil, err
		}
		if _, err := z.Write(body); err != nil {
			return nil, err
		}
		if err := z.Close(); err != nil {
			return nil, err
		}
		files[e.Name()] = webFile{body: body, packed: packed.Bytes(), kind: kind, etag: `"` + hex.EncodeToString(sum[:8]) + `"`}
	}
	return files, nil
}

// page serves one file of the page whatever the path is: the page finds out itself what to show.
func (g *Gateway) page(name string) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error { return g.file(w, r, name) }
}

// webFile serves the page's files under their names.
func (g *Gateway) webFile(w http.ResponseWriter, r *http.Request) error {
	return g.file(w, r, r.PathValue("file"))
}

func (g *Gateway) file(w http.ResponseWriter, r *http.Request, name string) error {
	f, ok := g.files[name]
	if !ok {
		return newProblem(http.StatusNotFound, codeNotFound, "The page has no such file.")
	}
	h := w.Header()
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Permissions-Policy", "camera=(self), microphone=(self), display-capture=(self), autoplay=(self), geolocation=(), payment=(), usb=()")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Content-Type", f.kind)
	h.Set("Vary", "Accept-Encoding")
	body, tag := f.body, f.etag
	if takesGzip(r.Header.Values("Accept-Encoding")) {
		body, tag = f.packed, f.packedTag()
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", tag)
	// A new castd has a new page: what a browser has kept is asked about each time.
	h.Set("Cache-Control", "no-cache")
	if r.Header.Get("If-None-Match") == tag {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // whoever has gone does not want it
	}
	return nil
}

// takesGzip reports whether a client takes gzip (RFC 9110 section 12.5.3). Of weights only zero matters, which refuses it.
func takesGzip(header []string) bool {
	for _, list := range header {
		for coding := range strings.SplitSeq(list, ",") {
			name, weight, _ := strings.Cut(coding, ";")
			if name = strings.TrimSpace(name); !strings.EqualFold(name, "gzip") && name != "*" {
				continue
			}
			q, ok := strings.CutPrefix(strings.ReplaceAll(weight, " ", ""), "q=")
			if v, err := strconv.ParseFloat(q, 64); !ok || err == nil && v > 0 {
				return true
			}
		}
	}
	return false
}
