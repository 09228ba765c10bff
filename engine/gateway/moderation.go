package gateway

import (
	"net/http"
	"strings"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
)

// moderator returns the part of the service that moderates, and the room that a path names, if the caller may see it.
func (g *Gateway) moderator(r *http.Request) (engine.Moderator, wire.RoomID, error) {
	m, err := g.room(callerOf(r), r.PathValue("room"), toListen)
	if err != nil {
		return nil, "", err
	}
	moderator, ok := g.config.Service.(engine.Moderator)
	if !ok {
		return nil, "", errNoModeration
	}
	return moderator, m.ID(), nil
}

var errNoModeration = newProblem(http.StatusNotFound, codeNotFound, "This peer does not moderate.")

// moderation is what the body of a request may say. It may be left out where the verb needs none of it.
type moderation struct {
	Verb   string   `json:"verb"`
	Title  string   `json:"title"`
	Rights string   `json:"rights"`
	For    duration `json:"for"`
}

// readModeration reads a body, which may be empty.
func readModeration(w http.ResponseWriter, r *http.Request) (engine.Moderation, error) {
	var body moderation
	if r.ContentLength != 0 {
		if err := readJSON(w, r, &body); err != nil {
			return engine.Moderation{}, err
		}
	}
	m := engine.Moderation{Verb: body.Verb, Title: body.Title, For: time.Duration(body.For)}
	if body.Rights != "" {
		var err error
		if m.Rights, err = room.ParseRights(body.Rights); err != nil {
			return m, newProblem(http.StatusBadRequest, codeBadRequest, sentence(err.Error()))
		}
	}
	return m, nil
}

// moderate serves POST of participants/ID:VERB.
func (g *Gateway) moderate(w http.ResponseWriter, r *http.Request) error {
	m, err := readModeration(w, r)
	if err != nil {
		return err
	}
	i := strings.LastIndexByte(r.PathValue("verb"), ':')
	if i < 0 || m.Verb != "" {
		return newProblem(http.StatusBadRequest, engine.CodeBadVerb, "The address must end in PARTICIPANT:VERB, like 5fda2kq7mmxg3nbe:mute, and the body has no verb.")
	}
	m.Who, m.Verb = r.PathValue("verb")[:i], r.PathValue("verb")[i+1:]
	return g.rule(w, r, m)
}

// moderateAll serves what is about the whole room.
func (g *Gateway) moderateAll(w http.ResponseWriter, r *http.Request) error {
	m, err := readModeration(w, r)
	if err != nil {
		return err
	}
	return g.rule(w, r, m)
}

func (g *Gateway) rule(w http.ResponseWriter, r *http.Request, m engine.Moderation) error {
	moderator, id, err := g.moderator(r)
	if err != nil {
		return err
	}
	if err := engine.CheckModeration(m); err != nil {
		return err
	}
	if err := moderator.Moderate(r.Context(), id, m); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// chat serves what was written in a conference.
func (g *Gateway) chat(w http.ResponseWriter, r *http.Request) error {
	moderator, id, err := g.moderator(r)
	if err != nil {
		return err
	}
	all, err := moderator.Chat(r.Context(), id)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return writeJSON(w, http.StatusOK, list(all))
}
