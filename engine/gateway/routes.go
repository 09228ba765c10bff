package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
)

// route is one row of the table of all that is served.
type route struct {
	pattern string // of http.ServeMux
	need    need
	// serve answers, or returns an error before it has written anything.
	serve func(w http.ResponseWriter, r *http.Request) error
}

// routes lists everything that is served. openapi.yaml describes the same; a test compares.
func (g *Gateway) routes() []route {
	all := []route{
		{"OPTIONS /whip/{room}", forAll, options("POST, OPTIONS", true)},
		{"POST /whip/{room}", forBearers, g.offer(whip)},
		{"OPTIONS /whip/{room}/{session}", forAll, options("PATCH, DELETE, OPTIONS", false)},
		{"PATCH /whip/{room}/{session}", forBearers, g.patch(whip)},
		{"DELETE /whip/{room}/{session}", forBearers, g.end(whip)},
		{"OPTIONS /whep/{room}", forAll, options("POST, OPTIONS", true)},
		{"POST /whep/{room}", forBearers, g.offer(whep)},
		{"OPTIONS /whep/{room}/{session}", forAll, options("PATCH, DELETE, OPTIONS", false)},
		{"PATCH /whep/{room}/{session}", forBearers, g.patch(whep)},
		{"DELETE /whep/{room}/{session}", forBearers, g.end(whep)},
		{"GET /whep/{room}/{session}/hand", forBearers, g.hand},
		{"PUT /whep/{room}/{session}/hand", forBearers, g.raiseHand},
		{"OPTIONS /call/{room}", forAll, options("POST, OPTIONS", true)},
		{"POST /call/{room}", forBearers, g.offer(tele)},
		{"OPTIONS /call/{room}/{session}", forAll, options("PATCH, DELETE, OPTIONS", false)},
		{"PATCH /call/{room}/{session}", forBearers, g.patch(tele)},
		{"DELETE /call/{room}/{session}", forBearers, g.end(tele)},

		{"GET /api/v1/status", forAdmin, g.status},
		{"GET /api/v1/peers", forAdmin, g.peers},
		{"GET /api/v1/guests", forAdmin, g.guests},
		{"GET /api/v1/rooms", forAdmin, g.rooms},
		{"POST /api/v1/rooms", forAdmin, g.addRoom},
		{"GET /api/v1/rooms/{room}", forBearers, g.roomInfo},
		{"GET /api/v1/rooms/{room}/tree", forAdmin, g.tree},
		{"GET /api/v1/rooms/{room}/invites", forAdmin, g.invites},
		{"POST /api/v1/rooms/{room}/invites", forAdmin, g.invite},
		{"DELETE /api/v1/rooms/{room}/invites/{invite}", forAdmin, g.revoke},
		{"POST /api/v1/rooms/{room}/moderation", forAdmin, g.moderateAll},
		{"POST /api/v1/rooms/{room}/participants/{verb}", forAdmin, g.moderate},
		{"GET /api/v1/rooms/{room}/hand", forAdmin, g.ownHand},
		{"PUT /api/v1/rooms/{room}/hand", forAdmin, g.raiseOwnHand},
		{"GET /api/v1/rooms/{room}/chat", forBearers, g.chat},
		{"POST /api/v1/rooms/{room}/tokens", forAdmin, g.token},
		{"GET /api/v1/events", forBearers, g.events},
		{"GET /api/v1/openapi.yaml", forAdmin, g.openAPI},
		{"GET /metrics", forAdmin, g.showMetrics},
		{"GET /debug/pprof/{$}", forAdmin, g.profiles},
		{"GET /debug/pprof/{profile}", forAdmin, g.profile},
		{"GET /healthz", forAll, g.healthy},
		{"GET /readyz", forAll, g.ready},

		{"GET /{$}", forAll, g.page("index.html")},
		{"GET /r/{room}", forAll, g.page("index.html")},
		{"GET /web/{file}", forAll, g.webFile},
	}
	if h := g.config.MediaUpload; h != nil {
		all = append(all, route{"POST /api/v1/rooms/{room}/media", forAdmin, g.passOn(h)})
	}
	if h := g.config.Announce; h != nil {
		all = append(all, route{"POST /api/v1/rooms/{room}/announcements", forAdmin, g.passOn(h)})
	}
	if h := g.config.MediaDownload; h != nil {
		all = append(all, route{"GET /api/v1/rooms/{room}/media", forAdmin, g.passOn(h)})
	}
	if h := g.config.Plugins; h != nil {
		serve := func(w http.ResponseWriter, r *http.Request) error {
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			defer context.AfterFunc(g.closing, cancel)()
			h.ServeHTTP(w, r.WithContext(ctx))
			return nil
		}
		all = append(all, route{"GET /api/v1/plugins", forAdmin, serve}, route{"POST /api/v1/plugins", forAdmin, serve},
			route{"POST /api/v1/plugins/{plugin}", forAdmin, serve})
		for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
			all = append(all, route{method + " /api/v1/plugins/{plugin}/{path...}", forAdmin, serve})
		}
	}
	if g.config.Archive != nil {
		all = append(all, route{"GET /api/v1/recordings", forAdmin, g.recordings}, route{"POST /api/v1/rooms/{room}/recording", forAdmin, g.startRecording},
			route{"DELETE /api/v1/rooms/{room}/recording", forAdmin, g.stopRecording})
	}
	return all
}

// passOn makes a route of somebody else's handler for a room that there is, whose requests last until the gateway closes.
func (g *Gateway) passOn(h http.Handler) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		if _, err := g.room(callerOf(r), r.PathValue("room"), toSee); err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(g.closing, cancel)()
		h.ServeHTTP(w, r.WithContext(ctx))
		return nil
	}
}

// handler returns the handler for TCP, or for the Unix socket.
func (g *Gateway) handler(local bool) http.Handler {
	mux := http.NewServeMux()
	for _, rt := range g.routes() {
		mux.Handle(rt.pattern, g.guarded(rt, local))
	}
	return &front{g: g, mux: mux, local: local}
}

// guarded is a route behind what it needs.
func (g *Gateway) guarded(rt route, local bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := caller{local: true}
		c.access.Admin, c.access.Speak, c.access.Listen = true, true, true
		if !local {
			var err error
			if c, err = g.authorize(r, rt.need); err != nil {
				// Guessing and flooding costs no more than offers do; c has no token here, so that all wrong ones count as one.
				if wait, ok := g.limits.allowOffer(caller{remote: c.remote}, time.Now()); !ok {
					err = tooMany(wait)
				}
				g.fail(w, r, err)
				return
			}
		}
		r = withCaller(r, c)
		if err := rt.serve(w, r); err != nil {
			g.fail(w, r, err)
		}
	})
}

func tooMany(wait time.Duration) *problem {
	return newProblem(http.StatusTooManyRequests, codeTooMany, "These are too many requests at once; wait a little.").after(int(wait/time.Second) + 1)
}

// front is the outermost handler: what holds for every request.
type front struct {
	g     *Gateway
	mux   *http.ServeMux
	local bool
}

func (f *front) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	g := f.g
	w := &answer{ResponseWriter: rw}
	start := time.Now()
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	_, pattern := f.mux.Handler(r)
	defer func() {
		v := recover()
		if v != nil && v != http.ErrAbortHandler { //nolint:errorlint // net/http compares it like this
			g.log.Error("request panicked", "route", pattern, "panic", v, "stack", string(debug.Stack()))
			if w.status == 0 {
				g.fail(w, r, errors.New("panic"))
			} else {
				v = http.ErrAbortHandler
			}
		}
		g.metrics.request(pattern, w.status, time.Since(start))
		g.log.Debug("request", "route", pattern, "status", w.status, "took", time.Since(start))
		if v == http.ErrAbortHandler { //nolint:errorlint // as above
			panic(v)
		}
	}()
	if !f.local {
		if p := f.refuse(r, pattern); p != nil {
			g.fail(w, r, p)
			return
		}
	}
	if pattern == "" {
		f.lost(w, r)
		return
	}
	f.mux.ServeHTTP(w, r)
}

// refuse returns why a request that came over TCP is not ours, or nil.
func (f *front) refuse(r *http.Request, pattern string) *problem {
	if pattern != "GET /healthz" && pattern != "GET /readyz" && !f.g.knownHost(r.Host) {
		return errOtherHost
	}
	if f.g.origin.Check(r) != nil {
		return errOrigin
	}
	return nil
}

// lost answers a path or method that no route has, as a problem document.
func (f *front) lost(w http.ResponseWriter, r *http.Request) {
	probe := &discard{header: http.Header{}}
	f.mux.ServeHTTP(probe, r)
	if probe.status == http.StatusMethodNotAllowed {
		allow := probe.header.Get("Allow")
		w.Header().Set("Allow", allow)
		f.g.fail(w, r, newProblem(probe.status, codeMethod, "This address does not take "+clip(r.Method, 16)+"; it takes "+allow+"."))
		return
	}
	f.g.fail(w, r, newProblem(http.StatusNotFound, codeNotFound, "There is nothing at this address; see /api/v1/openapi.yaml for what there is."))
}

func clip(s string, n int) string { return strings.ToValidUTF8(s[:min(len(s), n)], "") }

// answer notes the status of a response.
type answer struct {
	http.ResponseWriter
	status int
}

func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= 200 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(b)
}

// ReadFrom keeps the fast way that net/http has for files.
func (a *answer) ReadFrom(r io.Reader) (int64, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return io.Copy(a.ResponseWriter, r)
}

// Unwrap lets http.ResponseController reach the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// discard is a response that nobody gets.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(status int) {
	if d.status == 0 {
		d.status = status
	}
}
