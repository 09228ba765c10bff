package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/room"
)

// handBody says that a hand is to be up or down.
type handBody struct {
	Raised *bool  `json:"raised"`
	Name   string `json:"name"`
}

func readHand(w http.ResponseWriter, r *http.Request) (up bool, name string, err error) {
	var body handBody
	if err := readJSON(w, r, &body); err != nil {
		return false, "", err
	}
	if body.Raised == nil {
		return false, "", newProblem(http.StatusBadRequest, codeBadRequest, "The body must say whether the hand is raised: true or false.")
	}
	return *body.Raised, room.CleanName(body.Name), nil
}

// raiser returns the part of a room that takes hands.
func raiser(m engine.Media) (engine.Raiser, error) {
	if r, ok := m.(engine.Raiser); ok && m.Mode() == room.Conference {
		return r, nil
	}
	return nil, engine.NewUserError(engine.CodeWrongMode, "This room is a broadcast, in which nobody raises his hand; use a room in conference mode.")
}

// hand tells how it is with the hand of who watches by a session.
func (g *Gateway) hand(w http.ResponseWriter, r *http.Request) error {
	s, err := g.find(r, whep)
	if err != nil {
		return err
	}
	return showHand(w, s.media, handOf(s).Participant)
}

func showHand(w http.ResponseWriter, m engine.Media, participant string) error {
	raises, err := raiser(m)
	if err != nil {
		return err
	}
	state, err := raises.Hand(participant)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return writeJSON(w, http.StatusOK, state)
}

func handOf(s *session) engine.HandConfig {
	return engine.HandConfig{Participant: engine.GuestID(s.about.Participant, s.about.Seat), Name: s.about.Name, Self: s.about.Self}
}

// raiseHand puts the hand of who watches by a session up, or takes it down.
func (g *Gateway) raiseHand(w http.ResponseWriter, r *http.Request) error {
	s, err := g.find(r, whep)
	if err != nil {
		return err
	}
	c := handOf(s)
	up, name, err := readHand(w, r)
	if err != nil {
		return err
	}
	if name != "" {
		c.Name = name
	}
	raises, err := raiser(s.media)
	if err != nil {
		return err
	}
	if up {
		s.raised.Store(true)
		select {
		case <-s.guest.Done(): // whoever ends it may have looked before
			return errNoSession
		default:
		}
	}
	state, err := raises.RaiseHand(r.Context(), c, up)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return writeJSON(w, http.StatusOK, state)
}

// lowerHand takes the hand of somebody down whose session has ended, unless he goes on in another one.
func (g *Gateway) lowerHand(s *session) {
	if !s.raised.Load() {
		return
	}
	g.mu.Lock()
	for _, o := range g.sessions {
		if o.about.Seat == s.about.Seat && o.owner == s.owner {
			o.raised.Store(true)
			g.mu.Unlock()
			return
		}
	}
	g.mu.Unlock()
	ctx, cancel := context.WithTimeout(g.closing, time.Second)
	defer cancel()
	if raises, err := raiser(s.media); err == nil {
		if _, err := raises.RaiseHand(ctx, handOf(s), false); err != nil {
			g.log.Debug("cannot take a hand down", "error", err)
		}
	}
}

// ownHand and raiseOwnHand are for the user of this peer, who listens by it.
func (g *Gateway) ownHand(w http.ResponseWriter, r *http.Request) error {
	m, err := g.room(callerOf(r), r.PathValue("room"), toListen)
	if err != nil {
		return err
	}
	return showHand(w, m, g.config.Service.Status().User)
}

func (g *Gateway) raiseOwnHand(w http.ResponseWriter, r *http.Request) error {
	m, err := g.room(callerOf(r), r.PathValue("room"), toListen)
	if err != nil {
		return err
	}
	up, name, err := readHand(w, r)
	if err != nil {
		return err
	}
	raises, err := raiser(m)
	if err != nil {
		return err
	}
	state, err := raises.RaiseHand(r.Context(), engine.HandConfig{Participant: g.config.Service.Status().User, Name: name, Self: true}, up)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, state)
}
