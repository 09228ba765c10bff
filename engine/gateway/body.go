package gateway

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// maxBody bounds every body but media, in octets.
const maxBody = 64 << 10

// readBody reads a body of the given media type. Parameters of the type do not matter.
func readBody(w http.ResponseWriter, r *http.Request, kind string) ([]byte, error) {
	got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		got, _, _ = strings.Cut(r.Header.Get("Content-Type"), ";")
	}
	if !strings.EqualFold(strings.TrimSpace(got), kind) {
		return nil, newProblem(http.StatusUnsupportedMediaType, codeType, "The body must be "+kind+"; say so in Content-Type.")
	}
	if r.ContentLength > maxBody {
		return nil, &http.MaxBytesError{Limit: maxBody}
	}
	c := http.NewResponseController(w)
	// Where deadlines are not supported, as in tests, nobody is slow.
	_ = c.SetReadDeadline(time.Now().Add(bodyTime))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		return nil, newProblem(http.StatusRequestTimeout, codeBadRequest, "The body did not come in time; send it at once.")
	case errors.As(err, new(*http.MaxBytesError)):
		return nil, err
	case err != nil:
		return nil, newProblem(http.StatusBadRequest, codeBadRequest, "The body could not be read; send it whole.")
	}
	// The deadline is for the body: when it passes later, net/http would take the caller for gone.
	_ = c.SetReadDeadline(time.Time{})
	return body, nil
}

// readJSON reads a JSON object. Keys that are not known are skipped, for later callers to be understood.
func readJSON(w http.ResponseWriter, r *http.Request, into any) error {
	body, err := readBody(w, r, "application/json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return newProblem(http.StatusBadRequest, codeBadRequest, "The body is not the JSON object that is expected; see /api/v1/openapi.yaml.")
	}
	return nil
}

// duration is a time.Duration in JSON: nanoseconds, as Go's own encoding has it, or text like "24h".
type duration time.Duration

func (d *duration) UnmarshalJSON(b []byte) error {
	if n, err := strconv.ParseInt(string(b), 10, 64); err == nil {
		*d = duration(n)
		return nil
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	v, err := time.ParseDuration(text)
	*d = duration(v)
	return err
}

// writeJSON answers with v.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(b)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // whoever has gone by now does not want it
	return nil
}
