package node

import (
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/castd/castd/engine"
)

// Trailers of a download that ended with an error: its message and code.
const (
	ErrorTrailer = "Castd-Error"
	CodeTrailer  = "Castd-Code"
)

// MediaDownload serves GET /api/v1/rooms/{room}/media?format=ogg|webm|mkv|ivf for the gateway: what Record writes, as it comes.
// `for=10s` ends it after that time, `until-end=true` when what it followed has ended, `since=TIME` (RFC 3339) is RecordOptions.Since;
// format=none only listens. An error that comes when the answer has begun is in its trailers. The gateway has authorized the request; it is the administrator's.
func MediaDownload(svc engine.Service, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m, err := svc.Find(r.PathValue("room"))
		if err != nil {
			mediaProblem(w, err)
			return
		}
		o, kind, err := downloadOptions(r)
		if err != nil {
			mediaProblem(w, err)
			return
		}
		o.Log = log
		noDeadlines(w)
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Trailer", ErrorTrailer+", "+CodeTrailer)
		out := &flushing{w: w, c: http.NewResponseController(w)}
		begun := false
		o.Joined = func() {
			begun = true
			w.WriteHeader(http.StatusOK)
			out.flush()
		}
		err = Record(r.Context(), m, out, o)
		switch {
		case err == nil:
		case !begun:
			w.Header().Del("Trailer")
			mediaProblem(w, err)
		default:
			_, code := mediaStatus(err)
			w.Header().Set(ErrorTrailer, headerText(err.Error()))
			w.Header().Set(CodeTrailer, code)
		}
	})
}

// downloadOptions reads a request's query.
func downloadOptions(r *http.Request) (o RecordOptions, kind string, err error) {
	query := r.URL.Query()
	o.Format = Format(query.Get("format"))
	switch o.Format {
	case FormatOgg, "":
		o.Format, kind = FormatOgg, "audio/ogg"
	case FormatWebM:
		kind = "video/webm"
	case FormatMatroska:
		kind = "video/x-matroska"
	case FormatIVF:
		kind = "video/x-ivf"
	case FormatNone:
		kind = "application/octet-stream"
	default:
		return o, "", engine.NewUserError(engine.CodeBadMedia, "format must be ogg, webm, mkv or ivf")
	}
	if s := query.Get("for"); s != "" {
		if o.For, err = time.ParseDuration(s); err != nil || o.For <= 0 {
			return o, "", engine.NewUserError(engine.CodeBadMedia, "for must be a duration like 10s")
		}
	}
	if s := query.Get("until-end"); s != "" {
		if o.UntilEnd, err = strconv.ParseBool(s); err != nil {
			return o, "", engine.NewUserError(engine.CodeBadMedia, "until-end must be true or false")
		}
	}
	if s := query.Get("since"); s != "" {
		if o.Since, err = time.Parse(time.RFC3339Nano, s); err != nil {
			return o, "", engine.NewUserError(engine.CodeBadMedia, "since must be a time like 2026-01-02T15:04:05.678Z")
		}
	}
	return o, kind, nil
}

// headerText makes a header's value of a message.
func headerText(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < ' ' || c > '~' {
			b[i] = ' '
		}
	}
	return string(b[:min(len(b), 512)])
}

// flushing sends each write on at once, so that a reader has all of it up to the last one.
type flushing struct {
	w http.ResponseWriter
	c *http.ResponseController
}

func (f *flushing) Write(b []byte) (int, error) {
	n, err := f.w.Write(b)
	if err == nil {
		err = f.c.Flush()
	}
	return n, err
}

func (f *flushing) flush() { _ = f.c.Flush() } // Write tells
