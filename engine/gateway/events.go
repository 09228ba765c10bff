package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/castd/castd/engine/wire"
)

// Pace of a stream of events.
const (
	keepAlive    = 15 * time.Second
	eventTime    = 10 * time.Second // for one event to be taken
	minStats     = 100 * time.Millisecond
	maxStats     = time.Hour
	checkExpires = time.Minute
)

// events serves server-sent events (HTML Living Standard section 9.2), until the caller goes, his token expires or the gateway
// closes. Who reads too slowly loses events: the engine's queue is bounded.
func (g *Gateway) events(w http.ResponseWriter, r *http.Request) error {
	c := callerOf(r)
	only, err := g.eventsRoom(c, r.URL.Query().Get("room"))
	if err != nil {
		return err
	}
	var stats time.Duration
	if s := r.URL.Query().Get("stats"); s != "" {
		if stats, err = time.ParseDuration(s); err != nil || stats < minStats || stats > maxStats {
			return newProblem(http.StatusBadRequest, codeBadRequest, "stats must be a duration like 1s, between 100ms and 1h.")
		}
	}
	done, ok := g.limits.openStream(c)
	if !ok {
		return newProblem(http.StatusTooManyRequests, codeTooMany, "Too many streams of events are open; close one of them.").after(fullRetry)
	}
	defer done()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(g.closing, cancel)()
	events := g.config.Service.Events(ctx, stats)

	control := http.NewResponseController(w)
	// Where deadlines are not supported, as in tests, nobody is slow.
	_ = control.SetReadDeadline(time.Time{})
	send := func(b []byte) bool {
		_ = control.SetWriteDeadline(time.Now().Add(eventTime))
		if _, err := w.Write(b); err != nil {
			return false
		}
		return control.Flush() == nil
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // for proxies that would collect it
	w.WriteHeader(http.StatusOK)
	if !send([]byte(": castd\n\n")) {
		return nil
	}
	quiet := time.NewTicker(keepAlive)
	defer quiet.Stop()
	expires := time.NewTicker(checkExpires)
	defer expires.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-quiet.C:
			if !send([]byte(":\n\n")) {
				return nil
			}
		case <-expires.C:
			if _, err := g.authorize(r, forBearers); err != nil && !c.local {
				return nil
			}
		case ev, ok := <-events:
			if !ok {
				return nil
			}
			if only != "" && ev.Room != string(only) {
				continue
			}
			b, err := json.Marshal(&ev)
			if err != nil {
				g.log.Error("cannot encode event", "event", ev.Event, "err", err)
				continue
			}
			if !send(append(append([]byte("data: "), b...), "\n\n"...)) {
				return nil
			}
		}
	}
}

// eventsRoom returns the only room that a caller gets events of, "" for all of them.
func (g *Gateway) eventsRoom(c caller, name string) (wire.RoomID, error) {
	if name == "" {
		if c.access.Admin {
			return "", nil
		}
		name = string(c.access.Room)
	}
	m, err := g.room(c, name, toSee)
	if err != nil {
		return "", err
	}
	return m.ID(), nil
}
