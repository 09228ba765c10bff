package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
)

// Counted invites
//
// "Use once" needs one place that counts. The peer that made a counted invite is that place, and its link says so. A newcomer signs
// with the invite's key that the right is to be his, and presents that to the issuer: directly, or through a member that he
// reaches. The issuer writes the use down and signs him a right of his own, which is not counted and which any member checks without the
// issuer. The same user may ask again; it is the same use.

// relayTime is how long a member waits for the issuer on behalf of somebody else.
const relayTime = 3 * time.Second

// exchange returns the right that a link's counted invite is exchanged for; chain itself where no use is counted.
func (e *Engine) exchange(ctx context.Context, l *room.Link, chain *wire.Chain, via []peer.AddrInfo) (*wire.Chain, error) {
	raw, counted := room.Counted(chain)
	if !counted {
		return chain, nil
	}
	issuer, err := peer.IDFromBytes(raw)
	if err != nil {
		return nil, denied(room.DeniedWrong, l.Name)
	}
	if kept := decodeChain(e.keptRoom(l.Room).Chain); kept != nil && sameInvite(kept, chain) {
		return kept, nil // used before
	}
	for _, p := range via {
		e.control.Learn(p)
	}
	ctx, cancel := context.WithTimeout(ctx, max(e.reach, relayTime)+time.Second)
	defer cancel()
	q := &wire.Redeem{Chain: chain}
	env, err := e.seal(l.Room, wire.Type_REDEEM, q)
	if err != nil {
		return nil, err
	}
	type result struct {
		chain *wire.Chain
		why   string
	}
	results := make(chan result, 32)
	pending, asked := 0, make(map[peer.ID]bool)
	ask := func(id peer.ID) {
		asked[id] = true
		pending++
		go func() {
			c, why := e.askRedeem(ctx, id, issuer, l.Room, env)
			results <- result{c, why}
		}()
	}
	ask(issuer)
	for _, p := range via {
		if !asked[p.ID] {
			ask(p.ID)
		}
	}
	why := room.DeniedIssuer
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, id := range e.control.Connected() {
			if !asked[id] && len(asked) < cap(results) {
				ask(id)
			}
		}
		select {
		case <-ctx.Done():
			return nil, denied(why, l.Name)
		case res := <-results:
			pending--
			switch {
			case res.chain != nil:
				return res.chain, nil
			case res.why != "" && !passing(res.why):
				return nil, denied(res.why, l.Name) // signed by the issuer
			}
			if pending == 0 && asked[issuer] {
				if len(e.control.Connected()) <= len(asked) {
					select {
					case <-ctx.Done():
					case <-time.After(e.reach):
					}
					return nil, denied(why, l.Name)
				}
			}
		case <-tick.C:
		}
	}
}

// sameInvite reports whether a right came of the invite that the other one holds.
func sameInvite(kept, counted *wire.Chain) bool {
	id := ""
	for _, l := range counted.GetLinks() {
		if v := room.InviteID(l); v != "" {
			id = v
		}
	}
	for _, l := range kept.GetLinks() {
		if id != "" && room.InviteID(l) == id {
			return true
		}
	}
	return false
}

// askRedeem asks one peer, who is the issuer or is to pass the envelope on. An answer counts only if the issuer signed it; then
// it is a right, or the reason why there is none.
func (e *Engine) askRedeem(ctx context.Context, to, issuer peer.ID, id wire.RoomID, env []byte) (*wire.Chain, string) {
	body := &wire.Redeem{Envelope: env}
	if to == issuer {
		body = &wire.Redeem{}
		if m, err := wire.ReadEnvelope(env); err != nil || proto.Unmarshal(m.Body, body) != nil {
			return nil, ""
		}
	}
	var answer wire.RedeemAnswer
	if err := e.request(ctx, to, id, wire.Type_REDEEM, body, wire.Type_REDEEM_ANSWER, &answer); err != nil {
		return nil, ""
	}
	if to != issuer {
		m, err := e.open(issuer, answer.Envelope)
		answer = wire.RedeemAnswer{}
		if err != nil || m.Type != wire.Type_REDEEM_ANSWER || m.Room != id || proto.Unmarshal(m.Body, &answer) != nil {
			return nil, ""
		}
	}
	if answer.Chain == nil {
		return nil, answer.Denied
	}
	return answer.Chain, ""
}

// answerRedeem counts a use where this peer is the issuer, and passes the request on where it is not.
func (e *Engine) answerRedeem(ctx context.Context, m *wire.Message, q *wire.Redeem) *wire.RedeemAnswer {
	r := e.roomByID(m.Room)
	if r == nil {
		return &wire.RedeemAnswer{Denied: room.DeniedIssuer}
	}
	if len(q.Envelope) == 0 {
		return r.redeem(m.User, q.Chain, time.Now())
	}
	asked, err := wire.OpenEnvelope(q.Envelope, time.Now())
	var inner wire.Redeem
	if err != nil || asked.Type != wire.Type_REDEEM || asked.Room != m.Room || proto.Unmarshal(asked.Body, &inner) != nil || len(inner.Envelope) > 0 {
		return &wire.RedeemAnswer{Denied: room.DeniedWrong}
	}
	issuer, ok := r.countedBy(asked, &inner)
	if !ok {
		return &wire.RedeemAnswer{Denied: room.DeniedWrong} // nothing to trouble anybody with
	}
	if issuer == e.self {
		env, err := e.seal(r.id, wire.Type_REDEEM_ANSWER, r.redeem(asked.User, inner.Chain, time.Now()))
		if err != nil {
			return &wire.RedeemAnswer{Denied: room.DeniedIssuer}
		}
		return &wire.RedeemAnswer{Envelope: env}
	}
	ctx, cancel := context.WithTimeout(ctx, relayTime)
	defer cancel()
	env, err := e.seal(r.id, wire.Type_REDEEM, &wire.Redeem{Envelope: q.Envelope})
	if err != nil {
		return &wire.RedeemAnswer{Denied: room.DeniedIssuer}
	}
	b, err := e.control.Request(ctx, issuer, env)
	if err != nil {
		return &wire.RedeemAnswer{Denied: room.DeniedIssuer}
	}
	var answer wire.RedeemAnswer
	if got, err := e.open(issuer, b); err != nil || proto.Unmarshal(got.Body, &answer) != nil || len(answer.Envelope) == 0 {
		return &wire.RedeemAnswer{Denied: room.DeniedIssuer}
	}
	return &wire.RedeemAnswer{Envelope: answer.Envelope}
}

// countedBy returns the issuer of a counted invite of this room that holds so far; members trouble an issuer with nothing else.
func (r *Room) countedBy(m *wire.Message, q *wire.Redeem) (peer.ID, bool) {
	_, link, err := r.verifyCounted(m.User, q.Chain, time.Now())
	if err != nil && link == nil {
		return "", false
	}
	id, err := peer.IDFromBytes(link.GetIssuer())
	return id, err == nil
}

// verifyCounted checks a counted chain against owner and delegates.
func (r *Room) verifyCounted(user []byte, c *wire.Chain, now time.Time) (room.Rights, *wire.Link, error) {
	rec := r.record.Load()
	rights, link, err := room.VerifyCounted(c, r.id, rec.Owner, user, now, rec.Epoch)
	for _, d := range rec.Delegates {
		if !errors.Is(err, room.ErrChainSigned) {
			break
		}
		rights, link, err = room.VerifyCounted(c, r.id, d, user, now, rec.Epoch)
	}
	return rights, link, err
}

// redeem counts a use of an invite that this peer made, and signs the right that it gives.
func (r *Room) redeem(user []byte, c *wire.Chain, now time.Time) *wire.RedeemAnswer {
	deny := func(why string) *wire.RedeemAnswer {
		r.e.metrics.refused.Add(1)
		return &wire.RedeemAnswer{Denied: why}
	}
	rights, link, err := r.verifyCounted(user, c, now)
	if err != nil {
		return deny(room.Denial(err))
	}
	if string(link.Issuer) != string(r.e.self) {
		return deny(room.DeniedIssuer)
	}
	bound, err := r.bind(user, c, link, rights)
	if err != nil {
		r.e.log.Warn("cannot sign right", "err", err)
		return deny(room.DeniedWrong)
	}
	// What was revoked is not used up.
	if _, err := r.policy().Check(user, bound, now); err != nil {
		return deny(room.Denial(err))
	}
	switch err := r.e.keeper.UseInvite(r.id, room.InviteID(link), wire.ParticipantID(user)); {
	case errors.Is(err, ErrSpent):
		return deny(room.DeniedSpent)
	case errors.Is(err, ErrNoInvite):
		return deny(room.DeniedRevoked) // this peer has forgotten it
	case err != nil:
		r.e.log.Warn("cannot count the use of an invite", "err", err)
		return deny(room.DeniedIssuer)
	}
	return &wire.RedeemAnswer{Chain: bound}
}

// bind signs the right of a user who has used a counted invite. It carries the invite's id, so that revoking that revokes it.
func (r *Room) bind(user []byte, c *wire.Chain, link *wire.Link, rights room.Rights) (*wire.Chain, error) {
	l := room.LinkSpec{
		Subject: user, Rights: rights, NotBefore: time.UnixMilli(link.NotBeforeMs), EpochFloor: link.EpochFloor, Nonce: link.Nonce,
	}
	if link.ExpiresMs != 0 {
		l.Expires = time.UnixMilli(link.ExpiresMs)
	}
	before := len(c.Links) - 2
	if before == 0 {
		if !mayHost(r.record.Load(), r.e.userKey()) {
			return nil, fmt.Errorf("engine: this peer's user cannot sign for room %s", r.id)
		}
		return room.NewChain(r.e.user, r.id, l), nil
	}
	return room.Extend(&wire.Chain{Links: c.Links[:before]}, r.e.user, r.id, l)
}
