package sdk

import (
	"context"

	"google.golang.org/grpc"

	"github.com/castd/castd/plugins/sdk/protocol"
)

// Endpoint is a Plugin that calls people outside, on a telephone say. It needs PermissionDial to do so, and PermissionRooms, PermissionSend and
// PermissionAudio to bring them into rooms. Who calls from outside needs none of it: the plugin answers him, and brings him into a room with
// Host.Publish, whose error says why not.
type Endpoint interface {
	// Place calls somebody, and returns when the call has ended. When he answers it brings him into the room, with PublishSpec.Hear, and
	// calls Answered. The context ends when castd hangs up.
	Place(ctx context.Context, c *Outgoing) Ended
}

// Outgoing is a call that castd places. Its methods are for one goroutine at a time.
type Outgoing struct {
	Room   string // id of the room that he is to come to
	Number string // whom to call, in a form that the plugin understands

	stream grpc.ServerStreamingServer[protocol.PlaceEvent]
}

// Ringing says that it rings at his place.
func (c *Outgoing) Ringing() { _ = c.stream.Send(&protocol.PlaceEvent{State: "ringing"}) } // where castd has gone the context ends

// Answered says that he has answered.
func (c *Outgoing) Answered() { _ = c.stream.Send(&protocol.PlaceEvent{State: "answered"}) } // as above

// Ended is how a call has ended.
type Ended struct {
	Cause  Cause
	Reason string // a sentence for people, of at most 200 octets
}

// Cause is why a call has ended, as ITU-T Q.850 has it. There are more than these.
type Cause int

// Causes. 0 is CauseNormal after an answer, and CauseUnspecified before.
const (
	CauseUnallocated Cause = 1  // there is no such number
	CauseNormal      Cause = 16 // somebody has hung up
	CauseBusy        Cause = 17
	CauseNoAnswer    Cause = 19
	CauseRejected    Cause = 21
	CauseOutOfOrder  Cause = 27 // the other end cannot be reached
	CauseUnspecified Cause = 31
	CauseNoCircuit   Cause = 34 // all lines are taken
	CauseTemporary   Cause = 41 // something failed that may work later
)

type endpointServer struct {
	protocol.UnimplementedEndpointServer
	plugin Endpoint
}

// Place implements protocol.EndpointServer.
func (s endpointServer) Place(r *protocol.PlaceRequest, stream grpc.ServerStreamingServer[protocol.PlaceEvent]) error {
	e := s.plugin.Place(stream.Context(), &Outgoing{Room: r.Room, Number: r.Number, stream: stream})
	return stream.Send(&protocol.PlaceEvent{Ended: true, Cause: int32(e.Cause), Reason: e.Reason})
}
