package engine

import (
	"context"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
)

// Policy decides whether somebody may do something, besides what his rights say. It is asked before he is seated or sends, on a goroutine of
// his own, so that nobody waits for the answer to somebody else's question. All methods are safe for concurrent use.
type Policy interface {
	// Decide returns nil where he may. What a *UserError says he is told; all other errors say no more than that he may not.
	Decide(ctx context.Context, q Question) error
}

// Question is what a Policy is asked.
type Question struct {
	Room        wire.RoomID
	RoomName    string
	Action      string // ActionJoin, ActionSpeak or ActionDial
	Participant string
	Name        string  // as he calls himself
	Peer        peer.ID // by way of which he comes; "" where it is this one
	Self        bool    // he is that peer's user, and no guest of his
	Number      string  // of ActionDial
}

// Actions that a Policy is asked about.
const (
	ActionJoin  = "join"  // to watch or listen by way of this peer
	ActionSpeak = "speak" // to send, or to take part in a conference
	ActionDial  = "dial"  // to call a number from the room
)

// deniedPolicy is the reason that peers tell each other.
const deniedPolicy = "policy"

// maxDetail bounds what peers tell each other of why, in octets.
const maxDetail = 300

// Decide asks the policy of this peer, if there is one, whether somebody may do something in the room.
func (r *Room) Decide(ctx context.Context, q Question) error {
	if r.e.policy == nil {
		return nil
	}
	q.Room, q.RoomName = r.id, r.Name()
	err := r.e.policy.Decide(ctx, q)
	if err != nil {
		r.e.metrics.policyDenied.Add(1)
	}
	return err
}

// decideSeat asks the policy about somebody who comes by way of another peer. It returns nil where he may.
func (r *Room) decideSeat(ctx context.Context, from peer.ID, m *wire.Message, j *wire.SeatJoin) *wire.SeatAnswer {
	if r.e.policy == nil || j.Announces || len(j.Participant) > maxParticipantID {
		return nil // an announcement is a moderator's
	}
	if r.refusal(m.User, j.Chain, time.Now()) != "" {
		return nil // he is refused for that
	}
	err := r.Decide(ctx, Question{Action: ActionSpeak, Participant: j.Participant, Name: room.CleanName(j.Name), Peer: from, Self: j.Self})
	if err == nil {
		return nil
	}
	return &wire.SeatAnswer{Reason: deniedPolicy, Detail: userText(err)}
}

// userText is what a person is told of an error, "" for nothing.
func userText(err error) string {
	user, ok := err.(*UserError) //nolint:errorlint // what is wrapped is not for people
	if !ok {
		return ""
	}
	text := user.Message
	for len(text) > maxDetail {
		_, n := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-n]
	}
	return text
}

// refusedBy is what somebody is told whom the policy of the peer that mixes refuses.
func refusedBy(detail, name string) *UserError {
	if detail = room.CleanText(detail, maxDetail); detail != "" {
		return NewUserError(CodeNotAllowed, detail)
	}
	return NewUserError(CodeNotAllowed, fmt.Sprintf("the peer that mixes room %q does not let you in: ask who runs it", name))
}
