package room

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/wire"
)

// Bounds of invite links, in characters.
const (
	maxLink = 6000
	maxVia  = 512
	// MaxVia is how many addresses a link may carry.
	MaxVia = 16
)

const linkScheme = "castd"

// Link is an invite link: castd://ROOMID/NAME?via=MULTIADDR[&via=...][#k=CAPABILITY].
type Link struct {
	Room wire.RoomID
	Name string   // in lower case
	Via  []string // multiaddrs that end in /p2p/PEER: where to ask first
	// Capability is what the fragment holds (see DecodeInvite); empty for a link that only leads to the room. It is a secret of
	// whoever has the link.
	Capability string
}

// String returns the link as people pass it on.
func (l *Link) String() string {
	var b strings.Builder
	b.WriteString(linkScheme + "://" + string(l.Room) + "/" + l.Name)
	for i, v := range l.Via {
		b.WriteByte("?&"[min(i, 1)])
		b.WriteString("via=")
		// Slashes and colons may stand in a query as they are, and keep the addresses readable.
		b.WriteString(strings.NewReplacer("%2F", "/", "%3A", ":").Replace(url.QueryEscape(v)))
	}
	if l.Capability != "" {
		b.WriteString("#k=" + l.Capability)
	}
	return b.String()
}

// Invite decodes the link's capability, nil if it has none.
func (l *Link) Invite() (*wire.Invite, error) {
	if l.Capability == "" {
		return nil, nil
	}
	return DecodeInvite(l.Capability)
}

// IsLink reports whether s is meant as an invite link.
func IsLink(s string) bool {
	scheme, _, ok := strings.Cut(s, "://")
	return ok && strings.EqualFold(scheme, linkScheme)
}

// ParseLink reads an invite link. Errors are sentences for the person who gave it. Keys of the query and the fragment that
// this castd does not know are skipped.
func ParseLink(s string) (*Link, error) {
	if len(s) > maxLink {
		return nil, fmt.Errorf("this invite link is too long (%d characters): copy it again", len(s))
	}
	if !IsLink(s) {
		return nil, errors.New("this is not an invite link: it should begin with castd://")
	}
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" || u.User != nil {
		return nil, errors.New("this invite link is damaged: copy it again, in quotes if it is for a shell")
	}
	l := &Link{Room: wire.RoomID(strings.ToLower(u.Host))}
	if !wire.ValidRoomID(string(l.Room)) {
		return nil, errors.New("this invite link has no room id after castd://: copy the whole link again")
	}
	name := strings.TrimSuffix(strings.TrimPrefix(u.Path, "/"), "/")
	if l.Name, err = wire.NormalRoomName(name); err != nil {
		return nil, errors.New("this invite link has no valid room name after the room id: copy the whole link again")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("this invite link is damaged after the question mark: copy it again, in quotes if it is for a shell")
	}
	if len(query["via"]) > MaxVia {
		return nil, fmt.Errorf("this invite link names %d addresses, and %d are allowed: ask for a new link", len(query["via"]), MaxVia)
	}
	for _, v := range query["via"] {
		if len(v) > maxVia {
			return nil, errors.New("an address in this invite link is too long: ask for a new link")
		}
		if _, err := peer.AddrInfoFromString(v); err != nil {
			return nil, fmt.Errorf("%q in this invite link is not the address of a peer (like /ip4/192.0.2.1/tcp/8471/p2p/12D3...): copy the link again", v)
		}
		l.Via = append(l.Via, v)
	}
	for part := range strings.SplitSeq(u.EscapedFragment(), "&") {
		if k, ok := strings.CutPrefix(part, "k="); ok {
			l.Capability = k
		}
	}
	if l.Capability != "" {
		if _, err := DecodeInvite(l.Capability); err != nil {
			return nil, errors.New("the end of this invite link, after #k=, is damaged: copy the whole link again")
		}
	}
	return l, nil
}

// Ref is what a person wrote to name a room. Exactly one field is set.
type Ref struct {
	Name string // in lower case
	ID   wire.RoomID
	Link *Link
}

// ParseRef reads a name, a room id or an invite link. What has the form of an id is one, although it could be a name.
// Errors are sentences for the person who gave it.
func ParseRef(s string) (Ref, error) {
	s = strings.TrimSpace(s)
	if IsLink(s) {
		l, err := ParseLink(s)
		return Ref{Link: l}, err
	}
	if id := strings.ToLower(s); wire.ValidRoomID(id) {
		return Ref{ID: wire.RoomID(id)}, nil
	}
	n, err := wire.NormalRoomName(s)
	if err != nil {
		if strings.Contains(s, ":") || len(s) > 64 {
			return Ref{}, errors.New("this is neither a room's name nor its id nor an invite link (castd://...)")
		}
		return Ref{}, err
	}
	return Ref{Name: n}, nil
}
