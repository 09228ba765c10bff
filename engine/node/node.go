package node

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/pion/ice/v4"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/canary"
	"github.com/castd/castd/engine/cert"
	"github.com/castd/castd/engine/conference"
	"github.com/castd/castd/engine/gossip"
	"github.com/castd/castd/engine/guest"
	"github.com/castd/castd/engine/hop"
	"github.com/castd/castd/engine/machine"
	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/seal"
	"github.com/castd/castd/engine/store"
	"github.com/castd/castd/engine/wire"
)

// Node is a running peer. Its methods are safe for concurrent use.
type Node struct {
	// constant
	options   Options
	log       *slog.Logger
	store     *store.Store
	plane     *gossip.Plane
	mux       ice.UDPMux
	transport *hop.Transport
	canary    *canary.Canary
	engine    *engine.Engine
	guests    *guest.Service
	mixing    *conference.Service
	web       *web
	tokens    *tokens
	mediaPort int
	httpURL   string
	publicURL string // httpURL, or with an address that other machines can use
	// certificate is the gateway's; nil for plain HTTP.
	certificate cert.Source
	httpAddr    *netip.AddrPort // where the gateway listens; nil: nowhere
	started     time.Time
	// met is since when peers have been connected; savePeers' alone, and close's after that has ended.
	met      map[peer.ID]time.Time
	cancel   context.CancelFunc
	work     sync.WaitGroup
	closing  sync.Once
	closeErr error
}

// reachDialled is how long a question about a room may take where peers must be dialled first.
const reachDialled = 5 * time.Second

// Start opens the data folder, listens, and returns a running peer that is in no room yet. It is ready to be reached when Start
// returns. Errors are for people.
func Start(ctx context.Context, o Options) (_ *Node, err error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	n := &Node{options: o, log: o.Log, started: time.Now()}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	defer func() {
		if err != nil {
			c, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = n.Close(c)
		}
	}()
	if n.store, err = store.Open(o.DataDir); err != nil {
		return nil, err
	}
	id := n.store.Identity()
	n.tokens = newTokens(o.Token, n.store)
	bootstrap, err := bootstrapPeers(o.Bootstrap)
	if err != nil {
		return nil, err
	}
	saved := savedPeers(n.store)
	if n.plane, err = gossip.New(ctx, gossip.Config{
		Key: id.Device, Listen: o.Listen, Bootstrap: bootstrap, Saved: saved, MDNS: !o.NoMDNS, Log: n.log.With("part", "gossip"),
	}); err != nil {
		return nil, err
	}
	if n.mux, n.mediaPort, err = hop.Listen(o.MediaPort, !o.MediaPortSet); err != nil {
		return nil, fmt.Errorf("UDP port %d for media cannot be opened: name another with --media-port, or 0 to pick one (%w)", o.MediaPort, err)
	}
	if n.transport, err = hop.New(hop.Config{Self: n.plane.Self().ID, Mux: n.mux, Loopback: true, Log: n.log.With("part", "hop")}); err != nil {
		return nil, err
	}
	n.canary = canary.New(n.plane.Self().ID, n.mediaPort)
	if n.guests, err = guest.New(guest.Config{Mux: n.mux, Loopback: true, Log: n.log.With("part", "guest")}); err != nil {
		return nil, err
	}
	n.mixing = conference.New()
	reach := time.Duration(0)
	if len(bootstrap) > 0 || len(saved) > 0 {
		reach = reachDialled
	}
	if n.engine, err = engine.New(engine.Config{
		Control: n.plane, Transport: n.transport, Keeper: keeper{n.store}, Signer: n.store.Signer(), User: id.User,
		Slots: slots(&o), Reach: reach, Canary: n.canary, Mixing: n.mixing, MixSeats: mixSeats(&o), Policy: o.Policy, Version: o.Version, Machine: machine.New(), Crashes: n.store.Crashes(), Log: n.log.With("part", "engine"),
	}); err != nil {
		return nil, err
	}
	if n.web, err = n.serve(); err != nil {
		return nil, err
	}
	background, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	n.work.Go(func() { n.savePeers(background) })
	return n, nil
}

// Close says goodbye and ends everything, within the time that ctx gives.
func (n *Node) Close(ctx context.Context) error {
	n.closing.Do(func() { n.closeErr = n.close(ctx) })
	return n.closeErr
}

func (n *Node) close(ctx context.Context) error {
	var errs []error
	if n.cancel != nil {
		n.cancel()
		n.work.Wait()
		n.keepPeers()
	}
	// The engine first: its publications end and its children move on while everything still works.
	if n.engine != nil {
		errs = append(errs, n.engine.Close(ctx))
	}
	if n.web != nil {
		errs = append(errs, n.web.close(ctx))
	}
	if n.guests != nil {
		errs = append(errs, n.guests.Close())
	}
	if n.mixing != nil {
		n.mixing.Close()
	}
	if n.canary != nil {
		errs = append(errs, n.canary.Close())
	}
	if n.transport != nil {
		errs = append(errs, n.transport.Close())
	}
	if n.plane != nil {
		errs = append(errs, n.plane.Close())
	}
	if n.mux != nil {
		errs = append(errs, n.mux.Close())
	}
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	return errors.Join(errs...)
}

// Service returns what the gateway and the command line use.
func (n *Node) Service() engine.Service { return service{n} }

// Emit delivers an event to everyone who listens to the Service's events; for parts around the node. Its time is set.
func (n *Node) Emit(ev engine.Event) { n.engine.Emit(ev) }

// Self returns this peer's id.
func (n *Node) Self() peer.ID { return n.plane.Self().ID }

// Token returns the administrator's bearer token.
func (n *Node) Token() string { return n.tokens.admin }

// HTTPAddr returns the gateway's address as a URL, "" where there is none.
func (n *Node) HTTPAddr() string { return n.httpURL }

// MediaPort returns the UDP port of all media.
func (n *Node) MediaPort() int { return n.mediaPort }

// Addrs returns the multiaddrs at which this peer can be reached, with its id.
func (n *Node) Addrs() []string {
	self := n.plane.Self()
	out := make([]string, 0, len(self.Addrs))
	for _, a := range self.Addrs {
		out = append(out, a.String()+"/p2p/"+self.ID.String())
	}
	return out
}

// programmeBps is the bit rate that a slot is reckoned with: a room's record may tell another.
const programmeBps = 1_500_000

// slots returns how many ordinary children a peer takes: three quarters of the upload over what one costs with headers.
func slots(o *Options) int {
	switch {
	case o.Upload == 0:
		return 0
	case o.MaxChildren >= 0:
		return o.MaxChildren
	}
	return int(min(o.Upload*3/4*100/(programmeBps*105), 64))
}

// participantBps is what a participant of a conference gets from its mixer, with all overhead.
const participantBps = 56_000

// mixSeats returns how many participants this peer mixes for; 0: the engine's default.
func mixSeats(o *Options) int {
	switch {
	case o.MaxParticipants > 0:
		return o.MaxParticipants
	case o.MaxParticipants == 0 || o.Upload == 0:
		return 0 // a library's zero value; and who relays nothing mixes his own room all the same
	}
	return int(max(o.Upload*3/4/participantBps, 4))
}

func bootstrapPeers(addrs []string) ([]peer.AddrInfo, error) {
	var out []peer.AddrInfo
	for _, a := range addrs {
		info, err := peer.AddrInfoFromString(a)
		if err != nil {
			return nil, engine.NewUserError(engine.CodeBadMedia, fmt.Sprintf("%q is not an address for --bootstrap: use a whole one like /ip4/192.0.2.7/udp/8471/quic-v1/p2p/12D3..., as another peer's ready line shows", a))
		}
		out = append(out, *info)
	}
	return out, nil
}

// keeper is a store as engine.Keeper.
type keeper struct{ *store.Store }

func (k keeper) SavedRooms() []engine.SavedRoom {
	var out []engine.SavedRoom
	for _, r := range k.Rooms() {
		out = append(out, savedRoom(r))
	}
	return out
}

func (k keeper) SaveRoom(r engine.SavedRoom) error {
	kept, _ := k.Room(r.ID)
	kept.ID, kept.Name, kept.Record, kept.LastSeen = r.ID, r.Name, r.Record, time.Now()
	if len(r.Chain) > 0 {
		kept.Chain = r.Chain
	}
	kept.Access, kept.Keys = r.Access, nil
	for _, key := range r.Keys {
		kept.Keys = append(kept.Keys, store.RoomKey{Generation: key.Generation, Key: append([]byte(nil), key.Key[:]...)})
	}
	return k.PutRoom(kept)
}

func savedRoom(r store.Room) engine.SavedRoom {
	out := engine.SavedRoom{Name: r.Name, ID: r.ID, Record: r.Record, Chain: r.Chain, Access: r.Access}
	for _, key := range r.Keys {
		out.Keys = append(out.Keys, seal.RoomKey{Generation: key.Generation, Key: [seal.RoomKeySize]byte(key.Key)})
	}
	return out
}

func (k keeper) SavedInvites(id wire.RoomID) []engine.SavedInvite {
	var out []engine.SavedInvite
	for _, i := range k.Invites() {
		if i.Room == id && !i.Guest {
			out = append(out, engine.SavedInvite{
				ID: i.ID, Room: i.Room, Rights: room.Rights(i.Rights), Made: i.Made, Expires: i.Expires, Uses: i.Uses, Used: i.Used,
			})
		}
	}
	return out
}

func (k keeper) SaveInvite(i engine.SavedInvite) error {
	return k.PutInvite(store.Invite{
		ID: i.ID, Room: i.Room, Rights: uint32(i.Rights), Made: i.Made, Expires: i.Expires, Uses: i.Uses,
	}, time.Now())
}

func (k keeper) UseInvite(id wire.RoomID, invite, who string) error {
	err := k.Store.UseInvite(id, invite, who)
	switch {
	case errors.Is(err, store.ErrSpent):
		return engine.ErrSpent
	case errors.Is(err, store.ErrNoInvite):
		return engine.ErrNoInvite
	}
	return err
}

var _ engine.Keeper = keeper{}

func savedPeers(s *store.Store) []peer.AddrInfo {
	var out []peer.AddrInfo
	saved := s.Peers()
	// Who stays for hours is most likely to be there.
	slices.SortStableFunc(saved, func(a, b store.Peer) int {
		return cmp.Compare(b.Uptime.Truncate(time.Hour), a.Uptime.Truncate(time.Hour))
	})
	for _, p := range saved {
		var list []peer.AddrInfo
		for _, a := range p.Addrs {
			if info, err := peer.AddrInfoFromString(a + "/p2p/" + p.ID); err == nil {
				list = append(list, *info)
			}
		}
		if len(list) > 0 {
			for _, info := range list[1:] {
				list[0].Addrs = append(list[0].Addrs, info.Addrs...)
			}
			out = append(out, list[0])
		}
	}
	return out
}

// savePeersEvery is how often the peers that this one is connected to are written down, for the next start.
const savePeersEvery = time.Minute

func (n *Node) savePeers(ctx context.Context) {
	first := time.After(5 * time.Second)
	tick := time.NewTicker(savePeersEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-first:
		case <-tick.C:
		}
		n.keepPeers()
	}
}

// keepPeers writes down who is connected, and for how long he has been, as far as this peer has looked.
func (n *Node) keepPeers() {
	now := time.Now()
	var list []store.Peer
	known := n.plane.Known()
	met := make(map[peer.ID]time.Time, len(known))
	for _, info := range known {
		since, ok := n.met[info.ID]
		if !ok {
			since = now
		}
		met[info.ID] = since
		p := store.Peer{ID: info.ID.String(), LastSeen: now, Uptime: now.Sub(since)}
		for _, a := range info.Addrs[:min(len(info.Addrs), 8)] {
			p.Addrs = append(p.Addrs, a.String())
		}
		list = append(list, p)
	}
	n.met = met
	if len(list) == 0 {
		return
	}
	if err := n.store.PutPeers(list...); err != nil {
		n.log.Warn("cannot save peers", "err", err)
	}
}

// userKey returns the public key of this peer's user.
func (n *Node) userKey() ed25519.PublicKey {
	return n.store.Identity().User.Public().(ed25519.PublicKey)
}
