package node

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
)

// service is a Node as engine.Service.
type service struct{ n *Node }

var (
	_ engine.Service     = service{}
	_ engine.Inviter     = service{}
	_ engine.GuestLedger = service{}
	_ engine.Moderator   = service{}
)

func (s service) Status() engine.Status {
	up, down := s.n.engine.Rates()
	st := engine.Status{
		Peer: s.n.Self().String(), User: wire.ParticipantID(s.n.userKey()), Version: s.n.options.Version,
		UptimeMs: time.Since(s.n.started).Milliseconds(), HTTP: s.n.httpURL, Addrs: s.n.Addrs(), MediaPort: s.n.mediaPort,
		Rooms: []string{}, Peers: len(s.n.plane.Connected()), UploadBps: s.n.options.Upload, UpBps: up, DownBps: down, Ports: s.n.ports(),
		PublicURL: s.n.guestURL(), Fingerprint: s.n.fingerprint(),
	}
	for _, r := range s.Rooms() {
		st.Rooms = append(st.Rooms, r.Room)
	}
	return st
}

func (s service) Peers() []engine.PeerInfo { return s.n.engine.Peers() }

func (s service) Rooms() []engine.RoomInfo {
	out := []engine.RoomInfo{}
	for _, r := range s.n.engine.Rooms() {
		out = append(out, r.Info())
	}
	slices.SortFunc(out, func(a, b engine.RoomInfo) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Room, b.Room))
	})
	return out
}

func (s service) Find(name string) (engine.Media, error) {
	r, err := s.find(name)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (s service) find(name string) (*engine.Room, error) {
	var found *engine.Room
	for _, r := range s.n.engine.Rooms() {
		if string(r.ID()) == name {
			return r, nil
		}
		if strings.EqualFold(r.Name(), name) {
			if found != nil {
				return nil, engine.ErrAmbiguous
			}
			found = r
		}
	}
	if found == nil {
		return nil, engine.ErrNoRoom
	}
	return found, nil
}

func (s service) RoomInfo(id wire.RoomID) (engine.RoomInfo, error) {
	r, err := s.find(string(id))
	if err != nil {
		return engine.RoomInfo{}, err
	}
	return r.Info(), nil
}

func (s service) Tree(id wire.RoomID) (engine.TreeInfo, error) {
	r, err := s.find(string(id))
	if err != nil {
		return engine.TreeInfo{}, err
	}
	return r.Tree(), nil
}

func (s service) RoomTree(id wire.RoomID) ([]engine.TreeInfo, error) {
	r, err := s.find(string(id))
	if err != nil {
		return nil, err
	}
	return r.RoomTree(), nil
}

func (s service) AddRoom(ctx context.Context, spec engine.RoomSpec) (engine.RoomInfo, error) {
	r, err := s.n.engine.Join(ctx, spec.Room, engine.JoinOptions{
		Create: spec.Create, Title: spec.Title, Private: spec.Private, Mode: spec.Mode, Wait: time.Duration(spec.WaitMs) * time.Millisecond, Silent: spec.Publish, Listen: spec.Listen,
	})
	if err != nil {
		return engine.RoomInfo{}, err
	}
	return r.Info(), nil
}

// maxVia bounds the addresses in an invite link.
const maxVia = 6

func (s service) Invite(id wire.RoomID, spec engine.InviteSpec) (string, error) {
	r, err := s.find(string(id))
	if err != nil {
		return "", err
	}
	if spec.Guest {
		return s.guestLink(r, spec)
	}
	return r.InviteLink(s.via(), spec)
}

// guestLife is how long a guest's link holds unless told otherwise.
const guestLife = 24 * time.Hour

// guestLink returns a link for a browser, with a room token in its fragment.
func (s service) guestLink(r *engine.Room, spec engine.InviteSpec) (string, error) {
	base := s.n.guestURL()
	if base == "" {
		return "", engine.NewUserError(engine.CodeNotAllowed, "this peer has no gateway that a browser could open: start it with --http")
	}
	valid := spec.Expires
	if valid <= 0 {
		valid = guestLife
	}
	if err := engine.CheckUses(spec.Uses); err != nil {
		return "", err
	}
	now := time.Now()
	token, err := s.n.tokens.guest(guestSpec{room: r.ID(), speak: spec.Speak, expires: now.Add(valid), uses: spec.Uses}, now)
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(base, "/") + "/r/" + url.PathEscape(r.Name()) + "#token=" + token, nil
}

// via returns the addresses that others should try first.
func (s service) via() []string {
	addrs := s.n.Addrs()
	return addrs[:min(len(addrs), maxVia)]
}

func (s service) Authorize(token string) (engine.Access, bool) {
	return s.n.tokens.authorize(token, time.Now())
}

func (s service) RoomToken(id wire.RoomID, speak bool, valid time.Duration) (string, error) {
	if _, err := s.find(string(id)); err != nil {
		return "", err
	}
	now := time.Now()
	return s.n.tokens.guest(guestSpec{room: id, speak: speak, expires: now.Add(valid)}, now)
}

func (s service) Invites(id wire.RoomID) ([]engine.InviteInfo, error) {
	r, err := s.find(string(id))
	if err != nil {
		return nil, err
	}
	return append(r.Invites(), s.n.tokens.list(id, time.Now())...), nil
}

func (s service) Revoke(ctx context.Context, id wire.RoomID, who string, speakOnly bool) error {
	r, err := s.find(string(id))
	if err != nil {
		return err
	}
	if who == "all" && !speakOnly {
		for _, i := range s.n.tokens.list(id, time.Now()) {
			if _, err := s.n.tokens.revoke(id, i.ID, time.Now()); err != nil {
				return err
			}
		}
	}
	if guest, err := s.n.tokens.revoke(id, who, time.Now()); guest {
		return err
	}
	rights := room.Rights(0)
	if speakOnly {
		rights = room.Speak | room.Video
	}
	return r.Revoke(ctx, who, rights)
}

func (s service) Moderate(ctx context.Context, id wire.RoomID, m engine.Moderation) error {
	r, err := s.find(string(id))
	if err != nil {
		return err
	}
	return r.Moderate(ctx, m)
}

func (s service) Chat(ctx context.Context, id wire.RoomID) ([]engine.ChatMessage, error) {
	r, err := s.find(string(id))
	if err != nil {
		return nil, err
	}
	return r.Chat(ctx)
}

func (s service) OpenGuest(token [32]byte) (ended <-chan struct{}, done func(), err error) {
	return s.n.tokens.open(token, time.Now())
}

func (s service) Changed(ctx context.Context) <-chan struct{} { return s.n.engine.Changed(ctx) }

func (s service) Events(ctx context.Context, stats time.Duration) <-chan engine.Event {
	return s.n.engine.Events(ctx, stats)
}
