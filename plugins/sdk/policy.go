package sdk

import (
	"context"
	"time"

	"github.com/castd/castd/plugins/sdk/protocol"
)

// Policy is a Plugin that decides who may watch, send, take part or dial by way of this peer, besides what rights and moderators say. It needs
// PermissionPolicy.
type Policy interface {
	// Decide is asked on goroutines of its own, up to 32 at a time. castd waits half a second; then, and where Decide fails or the plugin is
	// down, nobody is let in, unless the operator has said --when-down allow.
	Decide(ctx context.Context, q Question) (Decision, error)
}

// Question is what a Policy is asked.
type Question struct {
	Room, RoomName string // id and name
	Action         string // "join" to watch or listen, "speak" to send or take part in a conference, "dial" to call a number
	Participant    string
	Name           string // as he calls himself
	Peer           string // id of the peer by way of which he comes; "" where it is this one
	Self           bool   // he is the user of that peer, and no guest of his
	Number         string // of "dial"
}

// Decision is what a Policy answers.
type Decision struct {
	Allow bool
	// Reason is a sentence for him who is turned away, of at most 200 octets.
	Reason string
	// Valid is for how long castd need not ask the same again; at most ten minutes.
	Valid time.Duration
}

type policyServer struct {
	protocol.UnimplementedPolicyServer
	plugin Policy
}

// Decide implements protocol.PolicyServer.
func (s policyServer) Decide(ctx context.Context, r *protocol.DecideRequest) (*protocol.DecideResponse, error) {
	d, err := s.plugin.Decide(ctx, Question{
		Room: r.Room, RoomName: r.RoomName, Action: r.Action, Participant: r.Participant, Name: r.Name, Peer: r.Peer, Self: r.Self, Number: r.Number,
	})
	if err != nil {
		return nil, err
	}
	return &protocol.DecideResponse{Allow: d.Allow, Reason: d.Reason, ValidMs: d.Valid.Milliseconds()}, nil
}
