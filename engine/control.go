package engine

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree"
)

// Gossip topics.
const (
	directoryTopic  = "castd/1/directory"
	roomTopicPrefix = "castd/1/room/"
)

func roomTopic(id wire.RoomID) string { return roomTopicPrefix + string(id) }

// messageLife is how long a control message counts: long enough for slow links and clocks that differ a little.
const messageLife = 30 * time.Second

var errNotUnderstood = errors.New("engine: request not understood")

// seal signs a control message of this peer.
func (e *Engine) seal(id wire.RoomID, typ wire.Type, body proto.Message) ([]byte, error) {
	return e.signer.Seal(id, typ, 0, time.Now().Add(messageLife), body)
}

// request asks a peer and decodes his answer.
func (e *Engine) request(ctx context.Context, to peer.ID, id wire.RoomID, typ wire.Type, body proto.Message, want wire.Type, answer proto.Message) error {
	env, err := e.seal(id, typ, body)
	if err != nil {
		return err
	}
	b, err := e.control.Request(ctx, to, env)
	if err != nil {
		return err
	}
	m, err := e.open(to, b)
	if err != nil {
		return err
	}
	if m.Type != want || m.Room != id {
		return fmt.Errorf("engine: peer answers %v with %v", typ, m.Type)
	}
	return proto.Unmarshal(m.Body, answer)
}

// open checks an envelope that came directly from a peer: it must be signed by that very peer.
func (e *Engine) open(from peer.ID, env []byte) (*wire.Message, error) {
	m, err := wire.OpenEnvelope(env, time.Now())
	if err != nil {
		return nil, err
	}
	if id, err := wire.PeerID(m.Device); err != nil || id != from {
		return nil, wire.ErrSignature
	}
	return m, nil
}

// HandleMessage implements ControlHandler: messages of the tree, which are the sender's own, and what a parent passes on.
func (e *Engine) HandleMessage(from peer.ID, env []byte) {
	e.metrics.controlIn.Add(1)
	m, err := wire.OpenEnvelope(env, time.Now())
	if err != nil {
		e.metrics.controlBad.Add(1)
		return
	}
	switch m.Type {
	case wire.Type_BEACON, wire.Type_ACCESS, wire.Type_ROOM_RECORD:
		e.passedOn(from, m, env)
		return
	}
	if id, err := wire.PeerID(m.Device); err != nil || id != from {
		e.metrics.controlBad.Add(1)
		return
	}
	switch m.Type {
	case wire.Type_TREE:
	case wire.Type_LEASE, wire.Type_BID:
		e.hubMessage(from, m)
		return
	case wire.Type_CALL_PLAN, wire.Type_CALL_REPORT:
		e.callMessage(from, m)
		return
	case wire.Type_CALL_CASCADE, wire.Type_CALL_FURTHER:
		e.cascadeMessage(from, m)
		return
	case wire.Type_SEAT_NEWS:
		var n wire.SeatNews
		if err := proto.Unmarshal(m.Body, &n); err != nil {
			e.metrics.controlBad.Add(1)
			return
		}
		if r := e.roomByID(m.Room); r != nil {
			r.post(func() { r.seatNewsLoop(from, m.Sequence, &n) })
		}
		return
	case wire.Type_KEYS:
		var k wire.Keys
		if err := proto.Unmarshal(m.Body, &k); err != nil {
			e.metrics.controlBad.Add(1)
			return
		}
		if r := e.roomByID(m.Room); r != nil {
			r.post(func() { r.keysLoop(&k, time.Now()) })
		}
		return
	default:
		return // of a newer version, perhaps
	}
	var t wire.TreeMessage
	if err := proto.Unmarshal(m.Body, &t); err != nil {
		e.metrics.controlBad.Add(1)
		return
	}
	if r := e.roomByID(m.Room); r != nil {
		r.post(func() { r.treeMessageLoop(from, m.User, &t) })
	}
}

// HandleRequest implements ControlHandler.
func (e *Engine) HandleRequest(ctx context.Context, from peer.ID, env []byte) ([]byte, error) {
	e.metrics.controlIn.Add(1)
	m, err := e.open(from, env)
	if err != nil {
		e.metrics.controlBad.Add(1)
		return nil, err
	}
	switch m.Type {
	case wire.Type_ROOM_QUERY:
		var q wire.RoomQuery
		if err := proto.Unmarshal(m.Body, &q); err != nil {
			return nil, err
		}
		return e.seal(m.Room, wire.Type_ROOM_ANSWER, e.answerQuery(m, &q))
	case wire.Type_HOP_OFFER:
		var o wire.HopOffer
		if err := proto.Unmarshal(m.Body, &o); err != nil {
			return nil, err
		}
		return e.seal(m.Room, wire.Type_HOP_ANSWER, e.answerHop(ctx, from, &o))
	case wire.Type_REDEEM:
		var q wire.Redeem
		if err := proto.Unmarshal(m.Body, &q); err != nil {
			return nil, err
		}
		return e.seal(m.Room, wire.Type_REDEEM_ANSWER, e.answerRedeem(ctx, m, &q))
	case wire.Type_HANDOVER:
		var h wire.Handover
		if err := proto.Unmarshal(m.Body, &h); err != nil {
			return nil, err
		}
		r := e.roomByID(m.Room)
		if r == nil {
			return nil, ErrNoRoom
		}
		return e.seal(m.Room, wire.Type_HANDOVER_ANSWER, r.takeHandover(ctx, from, &h))
	case wire.Type_STAGE_JOIN:
		var j wire.StageJoin
		if err := proto.Unmarshal(m.Body, &j); err != nil {
			return nil, err
		}
		r := e.roomByID(m.Room)
		if r == nil {
			return nil, ErrNoRoom
		}
		answer := &wire.StageAnswer{Reason: "leaving"}
		if err := r.call(ctx, func() { answer = r.stageJoinLoop(from, &j) }); err != nil {
			return nil, err
		}
		return e.seal(m.Room, wire.Type_STAGE_ANSWER, answer)
	case wire.Type_SEAT_JOIN:
		var j wire.SeatJoin
		if err := proto.Unmarshal(m.Body, &j); err != nil {
			return nil, err
		}
		r := e.roomByID(m.Room)
		if r == nil {
			return nil, ErrNoRoom
		}
		if no := r.decideSeat(ctx, from, m, &j); no != nil {
			return e.seal(m.Room, wire.Type_SEAT_ANSWER, no)
		}
		answer := &wire.SeatAnswer{Reason: "not_hub"}
		if err := r.call(ctx, func() { answer = r.seatJoinLoop(from, m, &j) }); err != nil {
			return nil, err
		}
		return e.seal(m.Room, wire.Type_SEAT_ANSWER, answer)
	case wire.Type_HANDS:
		var q wire.Hands
		if err := proto.Unmarshal(m.Body, &q); err != nil {
			return nil, err
		}
		r := e.roomByID(m.Room)
		if r == nil {
			return nil, ErrNoRoom
		}
		answer := &wire.HandsAnswer{Reason: "not_hub"}
		if err := r.call(ctx, func() { answer = r.heardHandsLoop(from, m.User, &q, time.Now()) }); err != nil {
			return nil, err
		}
		return e.seal(m.Room, wire.Type_HANDS_ANSWER, answer)
	case wire.Type_MODERATE:
		var q wire.Moderate
		if err := proto.Unmarshal(m.Body, &q); err != nil {
			return nil, err
		}
		r := e.roomByID(m.Room)
		if r == nil {
			return nil, ErrNoRoom
		}
		return e.seal(m.Room, wire.Type_MODERATE_ANSWER, r.answerModerate(ctx, from, m, &q))
	}
	return nil, errNotUnderstood
}

// PeerUp implements ControlHandler. A new peer may know of the rooms that this one looks for.
func (e *Engine) PeerUp(id peer.ID) {
	for _, r := range e.Rooms() {
		if !r.links.Load().place.Placed {
			r.post(func() { r.askPeerLoop(id) })
		}
	}
}

// PeerDown implements ControlHandler. Whether a hop lives is told by the hop.
func (e *Engine) PeerDown(peer.ID) {}

// sendTreeLoop sends a message of the router, with what the engine adds to it.
func (r *Room) sendTreeLoop(to tree.ID, msg tree.Message) {
	m := treeToWire(msg)
	id := peer.ID(to)
	switch t := m.Message.(type) {
	case *wire.TreeMessage_Join:
		if len(r.asked) >= maxAsked {
			clear(r.asked)
		}
		r.asked[id] = t.Join.Nonce
		t.Join.Chain = r.shownChain()
		for _, s := range *r.all.Load() {
			if s.local {
				continue
			}
			if n, ok := s.resumeFrom(); ok {
				t.Join.Have = append(t.Join.Have, &wire.StreamMark{Stream: uint64(s.id), Number: n})
			}
		}
	case *wire.TreeMessage_Probe:
		if r.private {
			t.Probe.Chain = r.shownChain()
		}
	case *wire.TreeMessage_Accept:
		r.expect(id)
		if r.private {
			t.Accept.Chain = r.shownChain()
		}
		t.Accept.Announces = r.announces()
		t.Accept.Marks = r.marks(func(s *stream) bool { return s.kind.Media() })
	}
	r.sendWireLoop(id, m)
}

// sendWireLoop sends a message of the tree.
func (r *Room) sendWireLoop(id peer.ID, m *wire.TreeMessage) {
	env, err := r.e.seal(r.id, wire.Type_TREE, m)
	if err != nil {
		r.e.log.Error("cannot encode tree message", "err", err)
		return
	}
	r.sending.Add(1)
	r.done.Go(func() {
		defer r.sending.Add(-1)
		ctx, cancel := context.WithTimeout(r.ctx, 3*time.Second)
		defer cancel()
		if err := r.e.control.Send(ctx, id, env); err != nil {
			r.e.log.Debug("cannot send to peer", "peer", id, "err", err)
			r.tell(func() { r.step(tree.Unreachable{Peer: tree.ID(id)}) })
		}
	})
}

// maxAsked bounds the peers whose answer to a Join is remembered to be due. Only a few are asked at a time.
const maxAsked = 64

// treeMessageLoop takes a message for the router.
func (r *Room) treeMessageLoop(from peer.ID, user ed25519.PublicKey, m *wire.TreeMessage) {
	now := time.Now()
	if c, ok := m.Message.(*wire.TreeMessage_Census); ok {
		r.heardCensusLoop(from, c.Census, now)
		return
	}
	if h, ok := m.Message.(*wire.TreeMessage_Hearing); ok {
		r.passToLoop(from, h.Hearing)
		return
	}
	msg := treeFromWire(m)
	if msg == nil {
		return
	}
	switch t := m.Message.(type) {
	case *wire.TreeMessage_Probe:
		if why := r.refusal(user, t.Probe.Chain, now); why != "" {
			r.e.metrics.refused.Add(1)
			r.refuseLoop(from, t.Probe.GetNonce(), why)
			return
		}
	case *wire.TreeMessage_Refuse:
		if len(t.Refuse.Access) > 0 {
			r.accessLoop(t.Refuse.Access, now)
		}
	case *wire.TreeMessage_Join:
		if !r.admitLoop(from, user, t.Join.Chain, t.Join.Nonce, now) {
			return
		}
		r.have[from] = t.Join.Have[:min(len(t.Join.Have), 64)]
		if user != nil {
			r.userOf[from] = wire.ParticipantID(user)
		}
		if len(r.have) > 256 {
			r.have = map[peer.ID][]*wire.StreamMark{from: r.have[from]}
			r.userOf = map[peer.ID]string{from: r.userOf[from]}
		}
		r.learn(tree.Candidate{Peer: tree.ID(from), Addrs: t.Join.Addrs})
	case *wire.TreeMessage_Accept:
		if nonce, ok := r.asked[from]; !ok || nonce != t.Accept.Nonce {
			break // nobody asked
		}
		if r.private {
			if _, err := r.policy().May(user, t.Accept.Chain, now); err != nil {
				r.e.metrics.refused.Add(1)
				r.step(tree.Distrust{Peer: tree.ID(from), Reason: room.Denial(err)})
				return
			}
			r.grants[from] = &grant{user: user, chain: t.Accept.Chain, ends: room.ExpiresAt(t.Accept.Chain)}
		}
		for _, env := range t.Accept.Announces[:min(len(t.Accept.Announces), 64)] {
			r.announceLoop(env, "")
		}
		for _, mark := range t.Accept.Marks[:min(len(t.Accept.Marks), 256)] {
			if s := (*r.e.streams.Load())[wire.StreamID(mark.Stream)]; s != nil && s.room == r && !s.local {
				s.backlogTo.CompareAndSwap(0, mark.Number)
				s.mu.Lock()
				s.repair.Resumes(mark.Number)
				s.mu.Unlock()
			}
		}
	}
	for _, c := range candidatesIn(msg) {
		r.learn(c)
	}
	if leave, ok := msg.(*tree.MsgLeave); ok && leave.Reason == tree.LeaveGoodbye {
		r.partLoop(from)
	}
	r.step(tree.Recv{From: tree.ID(from), Msg: msg})
}

func candidatesIn(m tree.Message) []tree.Candidate {
	switch m := m.(type) {
	case *tree.MsgProbeReply:
		return m.Candidates
	case *tree.MsgAccept:
		return m.Candidates
	case *tree.MsgRefuse:
		return m.Candidates
	case *tree.MsgLeave:
		return m.Candidates
	case *tree.MsgPath:
		return m.Candidates
	}
	return nil
}

// learn tells the control plane where a candidate may be reached.
func (r *Room) learn(c tree.Candidate) {
	if info := addrInfo(c); len(info.Addrs) > 0 && info.ID != r.e.self {
		r.e.control.Learn(info)
	}
}

// advertLoop takes candidates from an advert.
func (r *Room) advertLoop(list []tree.Candidate) {
	for _, c := range list {
		r.learn(c)
	}
	r.step(tree.Candidates{List: list, Advert: true})
}

func (r *Room) candidatesLoop(list []tree.Candidate) {
	for _, c := range list {
		r.learn(c)
	}
	r.step(tree.Candidates{List: list})
}

// recordLoop takes a newer record of the room. A room that became private, or public, is another place: it is left.
func (r *Room) recordLoop(rec *room.Record) {
	if old := r.record.Load(); room.Newer(rec, old) {
		r.record.Store(rec)
		r.e.changes.tell()
		r.roster.SetRecord(rec)
		r.saveLoop()
		if rec.Private != r.private {
			r.endLoop(NewUserError(CodeWrongMode, fmt.Sprintf("the owner of room %q has changed who may be in it: join it again", rec.Name)))
			return
		}
		// Whoever was a co-host and is none any more has only the rights that he was given besides.
		now := time.Now()
		if change := r.roster.SetAccess(r.access.Load(), now); !change.Empty() {
			r.silenceLoop(change)
		}
		r.enforceLoop(now, func(*grant) bool { return true })
		r.ruledLoop(now)
		for l := range maps.Clone(r.lines) {
			l.retell(func(s *CallState) { s.Title = rec.Title })
		}
		r.selfLoop(now)
	}
}

// shownChain returns the right that this peer shows to others; whose user may be the hub needs none.
func (r *Room) shownChain() *wire.Chain {
	if mayHost(r.record.Load(), r.e.userKey()) {
		return nil
	}
	return r.chain.Load()
}

// shortID is what logs and messages for people show of a peer.
func shortID(id peer.ID) string {
	s := id.String()
	return s[max(0, len(s)-8):]
}

// joinLines makes one line of several.
func joinLines(lines []string) string { return strings.Join(lines, "; ") }
