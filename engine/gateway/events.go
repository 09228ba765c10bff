package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// Pace of a stream of events.
const (
	keepAlive    = 15 * time.Second
	eventTime    = 10 * time.Second // for one event to be taken
	minStats     = 100 * time.Millisecond
	maxStats     = time.Hour
	checkExpires = time.Minute
	// eventQueue events wait for a reader; when it is full, he has slowTime to take one. Then the stream is cut off, so that he
	// knows that he has missed something, and counted in castd_gateway_event_streams_cut_total.
	eventQueue = 256
	slowTime   = 2 * time.Second
)

// events serves server-sent events (HTML Living Standard section 9.2), until the caller goes, his token expires, he is too slow,
// or the gateway closes. Who comes back (Last-Event-ID) or asks for it gets what is now before what happens next.
func (g *Gateway) events(w http.ResponseWriter, r *http.Request) error {
	c := callerOf(r)
	query := r.URL.Query()
	only, err := g.eventsRoom(c, query.Get("room"))
	if err != nil {
		return err
	}
	var stats time.Duration
	if s := query.Get("stats"); s != "" {
		if stats, err = time.ParseDuration(s); err != nil || stats < minStats || stats > maxStats {
			return newProblem(http.StatusBadRequest, codeBadRequest, "stats must be a duration like 1s, between 100ms and 1h.")
		}
	}
	snapshot := r.Header.Get("Last-Event-ID") != ""
	if s := query.Get("snapshot"); s != "" {
		if snapshot, err = strconv.ParseBool(s); err != nil {
			return newProblem(http.StatusBadRequest, codeBadRequest, "snapshot must be true or false.")
		}
	}
	done, ok := g.limits.openStream(c)
	if !ok {
		return newProblem(http.StatusTooManyRequests, codeTooMany, "Too many streams of events are open; close one of them.").after(fullRetry)
	}
	defer done()
	g.metrics.streams.Inc()
	defer g.metrics.streams.Dec()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(g.closing, cancel)()
	// What happens while the snapshot is made comes after it.
	s := &eventStream{g: g, w: w, control: http.NewResponseController(w), only: only}
	queue, slow := s.pump(ctx, g.config.Service.Events(ctx, stats))
	if s.serve(ctx, r, queue, snapshot) || slow.Load() {
		g.metrics.cut.Inc()
	}
	return nil
}

// eventStream is one response.
type eventStream struct {
	// constant
	g       *Gateway
	w       http.ResponseWriter
	control *http.ResponseController
	only    wire.RoomID // "": all rooms

	// of the goroutine of serve
	id uint64 // of the last event
}

// pump moves the caller's events into the queue, which it closes at their end. When the caller does not take them, it ends the
// response where it is and sets slow.
func (s *eventStream) pump(ctx context.Context, events <-chan engine.Event) (_ <-chan engine.Event, slow *atomic.Bool) {
	queue := make(chan engine.Event, eventQueue)
	slow = new(atomic.Bool)
	go func() {
		defer close(queue)
		for ev := range events {
			if s.only != "" && ev.Room != string(s.only) {
				continue
			}
			select {
			case queue <- ev:
				continue
			default:
			}
			patience := time.NewTimer(slowTime)
			select {
			case queue <- ev:
				patience.Stop()
			case <-ctx.Done():
				patience.Stop()
				return
			case <-patience.C:
				slow.Store(true)
				_ = s.control.SetWriteDeadline(time.Now()) // where there is no deadline, nobody blocks
				return
			}
		}
	}()
	return queue, slow
}

// serve writes the response. It reports whether the caller was too slow to take it.
func (s *eventStream) serve(ctx context.Context, r *http.Request, queue <-chan engine.Event, snapshot bool) (slow bool) {
	// Where deadlines are not supported, as in tests, nobody is slow.
	_ = s.control.SetReadDeadline(time.Time{})
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // for proxies that would collect it
	s.w.WriteHeader(http.StatusOK)
	if !s.send([]byte(": castd\n\n")) {
		return ctx.Err() == nil
	}
	if snapshot {
		for _, ev := range s.g.present(s.only) {
			if !s.event(&ev) {
				return ctx.Err() == nil
			}
		}
	}
	quiet := time.NewTicker(keepAlive)
	defer quiet.Stop()
	expires := time.NewTicker(checkExpires)
	defer expires.Stop()
	c := callerOf(r)
	for {
		ok := true
		select {
		case <-ctx.Done():
			return false
		case <-quiet.C:
			ok = s.send([]byte(":\n\n"))
		case <-expires.C:
			if _, err := s.g.authorize(r, forBearers); err != nil && !c.local {
				return false
			}
		case ev, more := <-queue:
			if !more {
				return false
			}
			ok = s.event(&ev)
		}
		if !ok {
			return ctx.Err() == nil
		}
	}
}

// event sends one event with its number, which a caller gives back as Last-Event-ID.
func (s *eventStream) event(ev *engine.Event) bool {
	b, err := json.Marshal(ev)
	if err != nil {
		s.g.log.Error("cannot encode event", "event", ev.Event, "err", err)
		return true
	}
	s.id++
	line := strconv.AppendUint([]byte("id: "), s.id, 10)
	line = append(line, "\ndata: "...)
	return s.send(append(append(line, b...), "\n\n"...))
}

func (s *eventStream) send(b []byte) bool {
	_ = s.control.SetWriteDeadline(time.Now().Add(eventTime))
	if _, err := s.w.Write(b); err != nil {
		return false
	}
	return s.control.Flush() == nil
}

// present says as events what is now: who feeds this peer, whom it feeds, what is live.
func (g *Gateway) present(only wire.RoomID) []engine.Event {
	var out []engine.Event
	now := engine.EventTime(time.Now())
	for _, info := range g.config.Service.Rooms() {
		if only != "" && info.Room != string(only) {
			continue
		}
		// A room that has ended meanwhile has nothing to tell.
		if place, err := g.config.Service.Tree(wire.RoomID(info.Room)); err == nil {
			if place.Parent != "" {
				out = append(out, engine.Event{
					Event: "parent", Time: now, Room: info.Room, Peer: place.Parent, Backup: place.Backup, Depth: &place.Depth, Reason: "join",
				})
			}
			for _, c := range place.Children {
				out = append(out, engine.Event{Event: "peer", Time: now, Room: info.Room, Peer: c.Peer})
			}
		}
		for _, st := range info.Streams {
			if st.State == "live" {
				out = append(out, engine.Event{
					Event: "stream", Time: now, Room: info.Room, Stream: st.Stream, Slot: st.Slot, Kind: st.Kind, Codec: st.Codec,
					Participant: st.Participant, State: st.State,
				})
			}
		}
	}
	return out
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
