package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
)

// Media types of the exchange.
const (
	typeSDP      = "application/sdp"
	typeFragment = "application/trickle-ice-sdpfrag"
)

// maxSenders bounds the publishing sessions of one room token. Those who watch are bounded by what the peer can serve: a link
// for watching is made to be passed around.
const maxSenders = 4

// protocol is what distinguishes WHIP, WHEP and calls.
type protocol struct {
	name string // first element of the path
	want right
	mode string // of the rooms that it fits; "": of all
}

var (
	whip = protocol{"whip", toSpeak, room.Broadcast}   //nolint:gochecknoglobals // a constant
	whep = protocol{"whep", toListen, ""}              //nolint:gochecknoglobals // a constant
	tele = protocol{"call", toListen, room.Conference} //nolint:gochecknoglobals // a constant
)

// session is one guest's connection, from POST to its end.
type session struct {
	// constant
	guest    engine.GuestSession
	protocol string
	room     string // as the path had it
	id       wire.RoomID
	slot     string
	owner    tokenKey
	about    engine.GuestOptions
	since    time.Time
	ended    <-chan struct{} // closed when the token holds no longer; nil: never
	leave    func()          // gives back what the token's ledger has of it
	media    engine.Media

	raised atomic.Bool // his hand was up, and it has to be taken down with the session

	// patching makes the comparison of the ETag and what follows one step. It is held across calls of guest.
	patching sync.Mutex
}

// options answers OPTIONS (RFC 9725 section 4.2). It is open, as the RFC wants it, and says nothing of rooms. There are no
// CORS headers: other sites' pages have no business here.
func options(allow string, post bool) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Allow", allow)
		if post {
			w.Header().Set("Accept-Post", typeSDP)
		} else {
			w.Header().Set("Accept-Patch", typeFragment)
		}
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusOK)
		return nil
	}
}

// slotForm is that of room names.
var slotForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// maxParticipant bounds the id of a participant in a query, in octets.
const maxParticipant = 128

// offer serves POST of an offer.
func (g *Gateway) offer(p protocol) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		c := callerOf(r)
		if wait, ok := g.limits.allowOffer(c, time.Now()); !ok {
			return tooMany(wait)
		}
		name := r.PathValue("room")
		m, err := g.room(c, name, p.want)
		if err != nil {
			return err
		}
		switch {
		case p.mode == "" || p.mode == m.Mode():
		case p.mode == room.Broadcast:
			return engine.NewUserError(engine.CodeWrongMode, "This room is a conference, in which nobody broadcasts; take part in it at /call/ROOM, or use a room in broadcast mode.")
		default:
			return engine.NewUserError(engine.CodeWrongMode, "This room is a broadcast, in which nobody can be called; watch it at /whep/ROOM, or use a room in conference mode.")
		}
		query := r.URL.Query()
		if p == whep && !c.access.Admin {
			if info, err := g.config.Service.RoomInfo(m.ID()); err == nil && info.Locked {
				return errLocked
			}
		}
		slot := query.Get("slot")
		if slot != "" && !slotForm.MatchString(slot) {
			return newProblem(http.StatusBadRequest, engine.CodeBadOffer, "slot must be 1 to 64 letters, digits, '-', '_' or '.', beginning with a letter or digit.")
		}
		from := query.Get("participant")
		if len(from) > maxParticipant {
			return newProblem(http.StatusBadRequest, engine.CodeBadOffer, "participant must be one of the ids that the room's streams have.")
		}
		if p != whep {
			from = "" // a token says who sends
		}
		sdp, err := readBody(w, r, typeSDP)
		if err != nil {
			return err
		}
		s, err := g.open(r.Context(), p, m, string(sdp), c, engine.GuestOptions{
			Slot: slot, From: from, Participant: c.access.Subject, Name: room.CleanName(query.Get("name")), Remote: c.remote, Self: c.access.Admin,
			Seat: g.seatFor(c, p, m, query.Get("session"), time.Now()),
		}, name)
		if err != nil {
			return err
		}
		h := w.Header()
		h.Set("Location", "/"+p.name+"/"+url.PathEscape(name)+"/"+url.PathEscape(s.guest.ID()))
		h.Set("ETag", s.guest.ETag())
		h.Set("Content-Type", typeSDP)
		h.Set("Cache-Control", "no-store")
		h.Set("Accept-Patch", typeFragment)
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(s.guest.Answer())) // a guest who has gone does not connect, which ends the session
		return nil
	}
}

var errLocked = newProblem(http.StatusForbidden, engine.CodeLocked, "This room is locked, and lets nobody new in; try again later.")

// open makes a session.
func (g *Gateway) open(ctx context.Context, p protocol, m engine.Media, sdp string, c caller, o engine.GuestOptions, name string) (*session, error) {
	s := &session{protocol: p.name, room: name, id: m.ID(), slot: o.Slot, owner: c.key, about: o, since: time.Now(), media: m}
	if err := g.reserve(s, c); err != nil {
		return nil, err
	}
	var err error
	if s.ended, s.leave, err = g.openGuest(c); err != nil {
		g.unreserve(s)
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, offerTime)
	defer cancel()
	serve := g.config.Guests.Watch
	switch p {
	case whip:
		serve = g.config.Guests.Publish
	case tele:
		serve = g.config.Guests.Call
	}
	guest, err := serve(ctx, m, sdp, o)
	if err != nil {
		s.leave()
		g.unreserve(s)
		return nil, err
	}
	s.guest = guest
	g.mu.Lock()
	closed := g.closed
	if !closed {
		g.sessions[guest.ID()] = s
		g.work.Go(func() { g.await(s) })
	}
	g.mu.Unlock()
	if closed {
		_ = guest.Close()
		s.leave()
		g.unreserve(s)
		return nil, engine.ErrClosed
	}
	g.metrics.opened(p.name)
	return s, nil
}

// reserve takes a place among its token's senders for a session.
func (g *Gateway) reserve(s *session, c caller) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return engine.ErrClosed
	}
	if s.protocol != whip.name {
		return nil
	}
	if g.senders[s.owner] >= maxSenders && !c.access.Admin {
		return newProblem(http.StatusTooManyRequests, codeTooMany, fmt.Sprintf("This link sends %d times already; end one of those first.", maxSenders)).after(fullRetry)
	}
	g.senders[s.owner]++
	return nil
}

func (g *Gateway) unreserve(s *session) {
	if s.protocol != whip.name {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.senders[s.owner]--; g.senders[s.owner] == 0 {
		delete(g.senders, s.owner)
	}
}

// await is a session's goroutine.
func (g *Gateway) await(s *session) {
	defer s.leave()
	var over error
	select {
	case <-s.guest.Done():
	case <-s.ended:
		over = errEnded
		_ = s.guest.Close() // Done follows
		<-s.guest.Done()
	}
	if user, ok := errors.AsType[*engine.UserError](s.guest.Err()); ok && user.Code == engine.CodePutOut {
		g.notePutOut(s, time.Now()) // before he can come again
	}
	g.mu.Lock()
	delete(g.sessions, s.guest.ID())
	g.mu.Unlock()
	g.unreserve(s)
	g.lowerHand(s)
	g.metrics.ended(s.protocol)
	err := s.guest.Err()
	if over != nil {
		err = over
	}
	var user *engine.UserError
	if errors.As(err, &user) && g.config.Emit != nil {
		g.config.Emit(engine.Event{
			Event: "error", Time: engine.EventTime(time.Now()), Room: string(s.id), Slot: s.slot, Code: user.Code, Message: user.Message,
		})
	}
}

var errNoSession = newProblem(http.StatusNotFound, codeNotFound, "There is no such session, or it has ended; begin a new one.")

// find returns the session that a path names, if it is the caller's.
func (g *Gateway) find(r *http.Request, p protocol) (*session, error) {
	g.mu.Lock()
	s := g.sessions[r.PathValue("session")]
	g.mu.Unlock()
	if s == nil || s.protocol != p.name || s.room != r.PathValue("room") || s.owner != callerOf(r).key {
		return nil, errNoSession
	}
	return s, nil
}

// end serves DELETE. A session ends whatever its ETag is (RFC 9725 section 4.3.1).
func (g *Gateway) end(p protocol) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		s, err := g.find(r, p)
		if err != nil {
			return err
		}
		// Whoever asks next shall find it gone.
		g.mu.Lock()
		delete(g.sessions, s.guest.ID())
		g.mu.Unlock()
		if err := s.guest.Close(); err != nil {
			return fmt.Errorf("end session: %w", err)
		}
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusOK)
		return nil
	}
}

// patch serves PATCH: candidates that come late, and restarts of ICE (RFC 9725 sections 4.3.1 to 4.3.3).
func (g *Gateway) patch(p protocol) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		s, err := g.find(r, p)
		if err != nil {
			return err
		}
		fragment, err := readBody(w, r, typeFragment)
		if err != nil {
			return err
		}
		s.patching.Lock()
		defer s.patching.Unlock()
		if err := checkMatch(r.Header.Values("If-Match"), s.guest.ETag()); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(r.Context(), offerTime)
		defer cancel()
		restarted, err := s.guest.Patch(ctx, string(fragment))
		switch {
		case errors.Is(err, engine.ErrClosed):
			return errNoSession
		case err != nil:
			return err
		case restarted == "":
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		h := w.Header()
		h.Set("ETag", s.guest.ETag())
		h.Set("Content-Type", typeFragment)
		h.Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write([]byte(restarted)) // a guest who has gone tries again
		return nil
	}
}

// checkMatch compares If-Match with a session's ETag. RFC 9725 wants the header with every PATCH; * stands for whatever there
// is, which is what a restart sends. Weak tags never match (RFC 9110 section 13.1.1).
func checkMatch(header []string, etag string) error {
	if len(header) == 0 {
		return newProblem(http.StatusPreconditionRequired, codeNoCondition, "If-Match is needed: the ETag of the last answer, or * to restart ICE.")
	}
	for _, list := range header {
		for tag := range strings.SplitSeq(list, ",") {
			// The examples of RFC 9725 have quotes around the star.
			if tag = strings.TrimSpace(tag); tag == "*" || tag == `"*"` || tag == etag {
				return nil
			}
		}
	}
	return engine.NewUserError(engine.CodeStale, "This is about an ICE session that is over; use the ETag of the last answer.")
}
