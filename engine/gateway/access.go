package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/castd/castd/engine"
)

// need is what a route asks of a caller.
type need int

const (
	// forAll routes are open: they tell nothing of rooms and people.
	forAll need = iota
	// forBearers need a token that holds; the handler looks at what it allows.
	forBearers
	// forAdmin routes are the administrator's.
	forAdmin
)

// tokenKey stands for a token where its bearer must be recognized: its SHA-256. The zero key is the local administrator's.
type tokenKey [sha256.Size]byte

// caller is who sent a request.
type caller struct {
	access engine.Access
	key    tokenKey
	local  bool   // over the Unix socket
	remote string // address and port; "" over the Unix socket
}

type callerKey struct{}

// callerOf returns the caller of a request that was authorized.
func callerOf(r *http.Request) caller {
	c, _ := r.Context().Value(callerKey{}).(caller)
	return c
}

func withCaller(r *http.Request, c caller) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), callerKey{}, c))
}

// bearer returns the token of a request (RFC 6750 section 2.1), "" if there is none. Tokens in addresses are not looked at:
// addresses get logged and passed on.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

var (
	errNoToken   = newProblem(http.StatusUnauthorized, codeUnauthorized, "A token is needed; open the whole link that you were given, or send it as 'Authorization: Bearer TOKEN'.")
	errBadToken  = newProblem(http.StatusUnauthorized, codeUnauthorized, "This token is wrong or does not hold any more; ask for a new link.")
	errNotAdmin  = newProblem(http.StatusForbidden, engine.CodeNotAllowed, "Your token does not allow this; it takes the administrator's.")
	errOtherRoom = newProblem(http.StatusForbidden, engine.CodeNotAllowed, "Your token is for another room; ask for a link to this one.")
	errNoSpeak   = newProblem(http.StatusForbidden, engine.CodeNotAllowed, "Your link lets you watch but not send; ask for one made with 'castd invite ROOM --guest --speak'.")
	errNoListen  = newProblem(http.StatusForbidden, engine.CodeNotAllowed, "Your link does not let you watch; ask for another one.")
)

// authorize finds out who sent a request over TCP and whether he may use a route at all.
func (g *Gateway) authorize(r *http.Request, n need) (caller, error) {
	c := caller{remote: r.RemoteAddr}
	if n == forAll {
		return c, nil
	}
	token := bearer(r)
	if token == "" {
		return c, errNoToken
	}
	access, ok := g.config.Service.Authorize(token)
	if !ok {
		return c, errBadToken
	}
	c.access, c.key = access, sha256.Sum256([]byte(token))
	if n == forAdmin && !access.Admin {
		return c, errNotAdmin
	}
	return c, nil
}

// right is what a caller wants of a room.
type right int

const (
	toSee right = iota
	toListen
	toSpeak
)

// room returns the room that a path names, if the caller has the right.
func (g *Gateway) room(c caller, name string, want right) (engine.Media, error) {
	m, err := g.config.Service.Find(name)
	if errors.Is(err, engine.ErrAmbiguous) && !c.access.Admin {
		// The token knows which of them is meant.
		if info, e := g.config.Service.RoomInfo(c.access.Room); e == nil && strings.EqualFold(info.Name, name) {
			m, err = g.config.Service.Find(string(c.access.Room))
		}
	}
	switch {
	case err != nil:
		return nil, err
	case c.access.Admin:
		return m, nil
	case m.ID() != c.access.Room:
		return nil, errOtherRoom
	case want == toSpeak && !c.access.Speak:
		return nil, errNoSpeak
	case want == toListen && !c.access.Listen:
		return nil, errNoListen
	}
	return m, nil
}

// hostName returns the name in a Host header or URL, in the form in which names are compared.
func hostName(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

// knownHost reports whether a request was addressed to us. A page of another name that was made to resolve to our address (DNS
// rebinding) is of one origin with us for the browser; its name gives it away. Addresses cannot be rebound: a literal one is
// where the request went.
func (g *Gateway) knownHost(host string) bool {
	name := hostName(host)
	if g.hosts[name] {
		return true
	}
	_, err := netip.ParseAddr(name)
	return err == nil
}

// errOtherHost and errOrigin answer requests that a page of somebody else made a browser send.
var (
	errOtherHost = newProblem(http.StatusForbidden, engine.CodeNotAllowed, "This peer does not go by that name; use its address, or start it with --public-url.")
	errOrigin    = newProblem(http.StatusForbidden, engine.CodeNotAllowed, "Another site's page may not do this; open this peer's own page.")
)
