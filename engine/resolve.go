package engine

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree"
)

// Names of rooms
//
// A person names a room by name, id or invite link. A name is looked for among this user's own rooms, then among those met
// before, then each peer in reach is asked. Where two different rooms answer to a name, nobody guesses. What nobody knows is
// created where that was asked for, else awaited.

// roomLife is how long a room record counts; its owner signs a new one whenever he opens the room.
const roomLife = 30 * 24 * time.Hour

// JoinOptions say how a room is joined.
type JoinOptions struct {
	Create bool          // make a room of that name if nobody knows one
	Title  string        // of a room that is created
	Wait   time.Duration // how long to wait for a room that nobody has yet
	Silent bool          // do not take a place in the tree: this peer only publishes
	Listen bool          // this peer counts as a listener
	// Private makes a room of this user's private, or public; nil leaves it as it is, and a new one public.
	Private *bool
	// Mode makes a room of this user's a "broadcast" or a "conference"; "" leaves it as it is, and a new one is a broadcast.
	Mode string
}

// found is a room that somebody told of.
type found struct {
	rec        *room.Record
	candidates []tree.Candidate
	beacon     []byte
	heard      time.Time // when the peer that told it had heard it
	chain      *wire.Chain
	keys       []*wire.Keys // lists and keys, as peers told them
	refused    string       // why a peer does not tell; nothing else is set then
}

// Join finds the room that a person named and enters it. Errors for people are of type *UserError.
func (e *Engine) Join(ctx context.Context, name string, o JoinOptions) (*Room, error) {
	ref, err := room.ParseRef(name)
	if err != nil {
		return nil, NewUserError(CodeNoRoom, err.Error())
	}
	user := e.user.Public().(ed25519.PublicKey)
	var via []peer.AddrInfo
	var chain *wire.Chain
	if ref.Link != nil {
		if chain, err = redeem(ref.Link, user); err != nil {
			return nil, err
		}
		via = viaPeers(ref.Link.Via)
		ref.ID = ref.Link.Room
		if chain, err = e.exchange(ctx, ref.Link, chain, via); err != nil {
			return nil, err
		}
	}
	r := e.findOpen(ref)
	if r != nil && r.ended.Load() {
		select {
		case <-r.ctx.Done():
			r = nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if r != nil {
		if o.Private != nil && *o.Private != r.private {
			return nil, NewUserError(CodeWrongMode, fmt.Sprintf("room %q is open already: stop castd first, then start it with --private", r.Name()))
		}
		if o.Mode != "" && o.Mode != r.Mode() {
			return nil, NewUserError(CodeWrongMode, fmt.Sprintf("room %q is open already as a %s: stop castd first, then start it with --mode %s", r.Name(), r.Mode(), o.Mode))
		}
		if o.Listen {
			r.listener.Store(true)
		}
		if chain != nil {
			r.chain.Store(chain)
			r.tell(r.saveLoop)
		}
		if !o.Silent {
			r.tell(func() { r.enterTreeLoop(false) })
		}
		return r, nil
	}
	f, err := e.resolve(ctx, ref, via, chain, o)
	if err != nil {
		return nil, err
	}
	if f.rec, err = e.reshaped(f.rec, o); err != nil {
		return nil, err
	}
	kept := e.keptRoom(f.rec.ID)
	kept.Name, kept.ID, kept.Record, kept.Chain = f.rec.Name, f.rec.ID, f.rec.Envelope, encodeChain(f.chain)
	e.save(kept)
	for _, c := range f.candidates {
		if info := addrInfo(c); len(info.Addrs) > 0 && info.ID != e.self {
			e.control.Learn(info)
		}
	}
	// The owner opens his room at once, unless another of his devices, or a delegate, has it open already.
	origin := mayHost(f.rec, user) && !e.hosted(f)
	r, err = e.startRoom(kept, f.rec, f.chain, origin, origin || !o.Silent)
	if err != nil {
		return nil, err
	}
	r.postKeys(f)
	if o.Listen {
		r.listener.Store(true)
	}
	if len(f.candidates) > 0 {
		r.offer(f.candidates)
	}
	if f.beacon != nil {
		if m, err := wire.OpenEnvelope(f.beacon, time.Now()); err == nil && m.Type == wire.Type_BEACON && m.Room == r.id {
			r.post(func() { r.beaconLoop(m, f.beacon, f.heard) })
		}
	}
	if !origin && len(f.candidates) == 0 || origin && f.rec.Private {
		r.askAgain()
	}
	return r, nil
}

// save keeps a room for the next start. Where that fails, the room goes on.
func (e *Engine) save(s SavedRoom) {
	if err := e.keeper.SaveRoom(s); err != nil {
		e.log.Warn("cannot save room", "err", err)
	}
}

// encodeChain returns a chain as SavedRoom keeps it, nil for none.
func encodeChain(c *wire.Chain) []byte {
	if c == nil {
		return nil
	}
	b, err := proto.Marshal(c)
	if err != nil {
		panic("engine: internal error: chain cannot be encoded: " + err.Error())
	}
	return b
}

// hosted reports whether somebody else has just told that he is the room's hub.
func (e *Engine) hosted(f *found) bool {
	m, err := wire.OpenEnvelope(f.beacon, time.Now())
	if f.beacon == nil || err != nil || m.Type != wire.Type_BEACON || m.Room != f.rec.ID {
		return false
	}
	id, err := wire.PeerID(m.Device)
	return err == nil && id != e.self && mayHost(f.rec, m.User)
}

// findOpen returns a room that this peer is in.
func (e *Engine) findOpen(ref room.Ref) *Room {
	for _, r := range e.Rooms() {
		if ref.ID != "" && r.id == ref.ID || ref.ID == "" && r.Name() == ref.Name && r.own {
			return r
		}
	}
	for _, r := range e.Rooms() {
		if ref.ID == "" && r.Name() == ref.Name {
			return r
		}
	}
	return nil
}

// redeem makes the link's capability, if it has one, this user's right.
func redeem(l *room.Link, user ed25519.PublicKey) (*wire.Chain, error) {
	inv, err := l.Invite()
	if err != nil {
		return nil, NewUserError(CodeNotAllowed, "the invite link is damaged: copy it again, whole")
	}
	if inv == nil {
		return nil, nil
	}
	chain, err := room.Redeem(inv, user, l.Room, time.Now())
	if err != nil {
		return nil, denied(room.Denial(err), l.Name)
	}
	return chain, nil
}

func (e *Engine) resolve(ctx context.Context, ref room.Ref, via []peer.AddrInfo, chain *wire.Chain, o JoinOptions) (*found, error) {
	now := time.Now()
	for _, p := range via {
		e.control.Learn(p)
	}
	if f := e.known(ref, chain); f != nil {
		if f.rec.Expires.Before(now.Add(roomLife/2)) && f.rec.IsOwner(e.userKey()) {
			if rec, err := e.newRecord(again(f.rec)); err == nil {
				f.rec = rec
			}
		}
		if f.rec.Private && !mayHost(f.rec, e.userKey()) {
			// Somebody may have been let in or shut out meanwhile. Where nobody answers, what is kept will do until somebody does.
			answers, refused := e.ask(ctx, room.Ref{ID: f.rec.ID}, via, f.chain)
			if got := answers[f.rec.ID]; got != nil {
				got.chain = f.chain
				f = got
			} else if why := worst(refused); why != "" && !passing(why) {
				return nil, denied(why, f.rec.Name)
			}
		}
		if !f.rec.Private && mayHost(f.rec, e.userKey()) && !f.rec.IsOwner(e.userKey()) {
			// A co-host looks whether the room is open before he opens it.
			answers, _ := e.ask(ctx, room.Ref{ID: f.rec.ID}, via, f.chain)
			if got := answers[f.rec.ID]; got != nil {
				if room.Newer(f.rec, got.rec) {
					got.rec = f.rec
				}
				got.chain = f.chain
				f = got
			}
		}
		for _, p := range via {
			f.candidates = append(f.candidates, tree.Candidate{Peer: tree.ID(p.ID), Addrs: addrsOf(p), Free: 1})
		}
		return f, nil
	}
	deadline := now.Add(o.Wait)
	for {
		answers, refused := e.ask(ctx, ref, via, chain)
		if len(answers) == 0 && !o.Create {
			answers = e.directory.find(ref, time.Now())
		}
		switch {
		case len(answers) == 1:
			for _, f := range answers {
				f.chain = chain
				return f, nil
			}
		case len(answers) > 1:
			return nil, ambiguous(ref.Name, answers)
		}
		if o.Create && ref.ID == "" {
			rec, err := e.newRecord(room.RecordSpec{Name: ref.Name, Title: o.Title, Mode: o.Mode, Epoch: 1, Private: o.Private != nil && *o.Private})
			if err != nil {
				return nil, err
			}
			return &found{rec: rec}, nil
		}
		if why := worst(refused); why != "" && (!passing(why) || !time.Now().Before(deadline)) {
			return nil, denied(why, "")
		}
		if !time.Now().Before(deadline) {
			return nil, NewUserError(CodeTimeout, fmt.Sprintf("nobody in reach knows the room %q: check the name, or use the invite link that its owner gets from `castd invite`", refText(ref)))
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func refText(ref room.Ref) string {
	if ref.Name != "" {
		return ref.Name
	}
	return string(ref.ID)
}

func ambiguous(name string, answers map[wire.RoomID]*found) error {
	var lines []string
	for _, id := range sortedKeys(answers) {
		lines = append(lines, fmt.Sprintf("%s of %s", id, wire.ParticipantID(answers[id].rec.Owner)))
	}
	return &UserError{Code: CodeAmbiguous, Message: fmt.Sprintf("several rooms are called %q, say which by its id: %s", name, joinLines(lines))}
}

// known returns the room from the data folder: own ones first, then those met.
func (e *Engine) known(ref room.Ref, chain *wire.Chain) *found {
	user := e.user.Public().(ed25519.PublicKey)
	var best *found
	for _, s := range e.keeper.SavedRooms() {
		if ref.ID != "" && s.ID != ref.ID || ref.ID == "" && s.Name != ref.Name {
			continue
		}
		rec, err := room.VerifyRecord(s.Record, time.Now())
		if errors.Is(err, wire.ErrExpired) && s.ID == wire.NewRoomID(user, s.Name) {
			rec, err = e.renewRecord(s)
		}
		if err != nil {
			continue
		}
		f := &found{rec: rec, chain: chain}
		if f.chain == nil && len(s.Chain) > 0 {
			f.chain = decodeChain(s.Chain)
		}
		if rec.IsOwner(user) {
			return f
		}
		if best == nil {
			best = f
		}
	}
	return best
}

// newRecord signs a record of one of this user's rooms. Its times are set.
func (e *Engine) newRecord(spec room.RecordSpec) (*room.Record, error) {
	spec.Issued = time.Now()
	spec.Expires = spec.Issued.Add(roomLife)
	_, rec, err := room.NewRecord(e.signer, spec)
	if err != nil {
		return nil, fmt.Errorf("make room: %w", err)
	}
	return rec, nil
}

// again says what the record after this one should hold.
func again(rec *room.Record) room.RecordSpec {
	return room.RecordSpec{
		Name: rec.Name, Title: rec.Title, Mode: rec.Mode, Private: rec.Private, Delegates: rec.Delegates, Epoch: rec.Epoch + 1, BudgetBps: rec.BudgetBps,
		Settings: rec.Settings,
	}
}

// renewRecord signs a record anew that expired while the room was closed: what it said still holds.
func (e *Engine) renewRecord(s SavedRoom) (*room.Record, error) {
	spec := room.RecordSpec{Name: s.Name, Epoch: uint64(time.Now().Unix())}
	if m, err := wire.ReadEnvelope(s.Record); err == nil {
		if old, err := room.VerifyRecord(s.Record, m.Expires); err == nil {
			spec = again(old)
			spec.Epoch = max(spec.Epoch, uint64(time.Now().Unix()))
		}
	}
	return e.newRecord(spec)
}

// reshaped returns the record with what the options ask for. Only the owner can do that.
func (e *Engine) reshaped(rec *room.Record, o JoinOptions) (*room.Record, error) {
	private, mode := o.Private != nil && *o.Private != rec.Private, o.Mode != "" && o.Mode != rec.Mode
	switch own := rec.IsOwner(e.userKey()); {
	case !private && !mode:
		return rec, nil
	case private && !own:
		return nil, NewUserError(CodeNotAllowed, fmt.Sprintf("room %q is somebody else's, and only he can make it private: leave out --private, or choose another name", rec.Name))
	case !own:
		return nil, NewUserError(CodeWrongMode, fmt.Sprintf("room %q is somebody else's %s, and only he can make it a %s: leave out --mode, or choose another name", rec.Name, rec.Mode, o.Mode))
	}
	spec := again(rec)
	if private {
		spec.Private = *o.Private
	}
	if mode {
		spec.Mode = o.Mode
	}
	return e.newRecord(spec)
}

// keptRoom returns what the Keeper has of a room; the zero value if it has nothing.
func (e *Engine) keptRoom(id wire.RoomID) SavedRoom {
	for _, s := range e.keeper.SavedRooms() {
		if s.ID == id {
			return s
		}
	}
	return SavedRoom{}
}

// viaPeers reads the addresses of an invite link; those of one peer are put together, what cannot be read is left out.
func viaPeers(via []string) []peer.AddrInfo {
	byID := make(map[peer.ID]*peer.AddrInfo)
	for _, v := range via {
		info, err := peer.AddrInfoFromString(v)
		if err != nil {
			continue
		}
		if have := byID[info.ID]; have != nil {
			have.Addrs = append(have.Addrs, info.Addrs...)
		} else {
			byID[info.ID] = info
		}
	}
	var out []peer.AddrInfo
	for _, id := range sortedKeys(byID) {
		out = append(out, *byID[id])
	}
	return out
}
