package node

import (
	"context"
	"io"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// RoomOptions say how to open a room. The zero value joins one that exists.
type RoomOptions struct {
	// Create makes a room of this node's user where nobody in reach knows the name. Without it such a room is an error.
	Create bool
	// Title is what a room that is created is called for people; "" is its name.
	Title string
	// Mode is that of a room that is created: broadcast, or conference, in which all who may join may talk; "" is broadcast.
	Mode string
	// Wait is how long to look for a room that nobody has yet; 0 asks the peers in reach once.
	Wait time.Duration
	// SendOnly says that this peer only publishes: it takes no place in the room's tree, unless the tree begins here.
	SendOnly bool
	// Listen says that this peer is part of the audience that others count.
	Listen bool
}

// Room is a room that a Node is in, until the Node is closed. Its methods are safe for concurrent use.
type Room struct {
	// constant
	node  *Node
	media engine.Media
	id    wire.RoomID
	name  string
}

// Open joins a room, or creates it where the options say so. name is the room's name, its id, or an invite link. To open a room twice
// is no error. The error for a room that there is not is an *engine.UserError with the code engine.CodeNoRoom.
func (n *Node) Open(ctx context.Context, name string, o RoomOptions) (*Room, error) {
	svc := n.Service()
	info, err := svc.AddRoom(ctx, engine.RoomSpec{
		Room: name, Create: o.Create, Title: o.Title, Mode: o.Mode, WaitMs: o.Wait.Milliseconds(), Publish: o.SendOnly, Listen: o.Listen,
	})
	if err != nil {
		return nil, err
	}
	m, err := svc.Find(info.Room)
	if err != nil {
		return nil, err
	}
	return &Room{node: n, media: m, id: m.ID(), name: info.Name}, nil
}

// ID returns the room's id: 26 characters that follow from its owner's key and its name.
func (r *Room) ID() string { return string(r.id) }

// Name returns the name that the room was given by its owner.
func (r *Room) Name() string { return r.name }

// Info returns what is known of the room now: streams, participants, size of the audience.
func (r *Room) Info() (engine.RoomInfo, error) { return r.node.Service().RoomInfo(r.id) }

// Tree returns this peer's place in the room's tree: who feeds it, and whom it feeds.
func (r *Room) Tree() (engine.TreeInfo, error) { return r.node.Service().Tree(r.id) }

// Invite returns a link that lets others into the room: castd://..., or with Guest an http or https link to the room's page for a
// browser. What it allows is in spec; the zero value lets listen.
func (r *Room) Invite(spec engine.InviteSpec) (string, error) {
	return r.node.Service().Invite(r.id, spec)
}

// PublishFile sends a media file into the room, see the function PublishFile.
func (r *Room) PublishFile(ctx context.Context, file io.Reader, o PublishOptions) error {
	return PublishFile(ctx, r.media, file, o)
}

// Publish opens a slot of the room's stage for RTP packets of any codec that rooms carry. The Publication's comments say what it
// expects; OpenOpus is simpler for sound.
func (r *Room) Publish(ctx context.Context, c engine.SlotConfig) (engine.Publication, error) {
	return r.media.Publish(ctx, c)
}

// Call takes part in a conference: what is written to the Call is Opus, and so is what Hear gets. Without a Participant it is this node's user
// who does. In a broadcast the error is an *engine.UserError with the code engine.CodeWrongMode.
func (r *Room) Call(ctx context.Context, c engine.SeatConfig) (engine.Call, error) {
	if c.Participant == "" {
		c.Participant, c.Self = wire.ParticipantID(r.node.userKey()), true
	}
	return r.media.(engine.Caller).Call(ctx, c)
}

// RaiseHand puts the hand of this node's user up, who only listens to a conference, or takes it down. Moderators see it under the name given.
// Whether he was called to speak, and may Call, the result and Hand tell, and events of the kind `hand`.
func (r *Room) RaiseHand(ctx context.Context, name string, up bool) (engine.HandState, error) {
	return r.media.(engine.Raiser).RaiseHand(ctx, engine.HandConfig{Participant: wire.ParticipantID(r.node.userKey()), Name: name, Self: true}, up)
}

// Hand tells how it is with the hand of this node's user.
func (r *Room) Hand() (engine.HandState, error) {
	return r.media.(engine.Raiser).Hand(wire.ParticipantID(r.node.userKey()))
}

// Record writes what comes in the room as a file, see the function Record.
func (r *Room) Record(ctx context.Context, w io.Writer, o RecordOptions) error {
	return Record(ctx, r.media, w, o)
}

// Subscribe delivers the room's packets to a sink of your own, verified, opened, in order and without repetition.
func (r *Room) Subscribe(s engine.Sink, o engine.SinkOptions) (engine.Subscription, error) {
	return r.media.Subscribe(s, o)
}
