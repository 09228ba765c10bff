package gateway

import (
	"net/http"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// inviter returns the part of the service that knows the invites it made, and the room that a path names.
func (g *Gateway) inviter(r *http.Request) (engine.Inviter, wire.RoomID, error) {
	m, err := g.config.Service.Find(r.PathValue("room"))
	if err != nil {
		return nil, "", err
	}
	i, ok := g.config.Service.(engine.Inviter)
	if !ok {
		return nil, "", errNoInvites
	}
	return i, m.ID(), nil
}

var errNoInvites = newProblem(http.StatusNotFound, codeNotFound, "This peer keeps no list of invites.")

func (g *Gateway) invites(w http.ResponseWriter, r *http.Request) error {
	i, id, err := g.inviter(r)
	if err != nil {
		return err
	}
	all, err := i.Invites(id)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return writeJSON(w, http.StatusOK, list(all))
}

// revoke takes back an invite, a guest's link, a person's rights, or all invites that were made so far.
func (g *Gateway) revoke(w http.ResponseWriter, r *http.Request) error {
	i, id, err := g.inviter(r)
	if err != nil {
		return err
	}
	speakOnly := false
	switch r.URL.Query().Get("rights") {
	case "":
	case "speak":
		speakOnly = true
	default:
		return newProblem(http.StatusBadRequest, codeBadRequest, "rights must be speak, or be left out to take back all of them.")
	}
	if err := i.Revoke(r.Context(), id, r.PathValue("invite"), speakOnly); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// openGuest begins a session under a guest's token: a use is counted, and the session ends with the token.
func (g *Gateway) openGuest(c caller) (ended <-chan struct{}, done func(), err error) {
	ledger, ok := g.config.Service.(engine.GuestLedger)
	if !ok || c.access.Admin {
		return nil, func() {}, nil
	}
	return ledger.OpenGuest(c.key)
}

// errEnded ends the sessions of a link that was taken back, or is over.
var errEnded = engine.NewUserError(engine.CodeRevoked, "This link does not hold any more; ask for a new one.")
