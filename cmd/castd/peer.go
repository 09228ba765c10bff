package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/node"
)

// peer is what commands need of a running peer: one in this process (localPeer), or the data folder's, which another process
// runs (remotePeer). A room is named as in engine.Service.Find. Methods are safe for concurrent use.
type peer interface {
	Status(ctx context.Context) (engine.Status, error)
	Rooms(ctx context.Context) ([]engine.RoomInfo, error)
	AddRoom(ctx context.Context, s engine.RoomSpec) (engine.RoomInfo, error)
	RoomInfo(ctx context.Context, room string) (engine.RoomInfo, error)
	Tree(ctx context.Context, room string) (engine.TreeInfo, error)
	RoomTree(ctx context.Context, room string) ([]engine.TreeInfo, error)
	Invite(ctx context.Context, room string, s engine.InviteSpec) (string, error)
	// Invites lists what Invite made; Revoke takes it back, or a person's rights, or with "all" every invite made so far.
	Invites(ctx context.Context, room string) ([]engine.InviteInfo, error)
	Revoke(ctx context.Context, room, who string, speakOnly bool) error
	// Events delivers events until ctx ends; the channel is closed then, or when the peer goes away.
	Events(ctx context.Context, stats time.Duration) (<-chan engine.Event, error)
	// Publish sends a media file. It returns when all is sent.
	Publish(ctx context.Context, room string, file mediaFile, loop bool, progress func(node.Progress)) error
	// Record writes what the room sends to w.
	Record(ctx context.Context, room string, w io.Writer, o node.RecordOptions) error
	// RaiseHand puts the hand of the peer's user up, who only listens, or takes it down.
	RaiseHand(ctx context.Context, room, name string, up bool) (engine.HandState, error)
	// Token is the administrator's; "" when it is not known.
	Token() string
	// Remote says that another process runs the peer.
	Remote() bool
	// Close says goodbye, if the peer is in this process.
	Close()
}

// goodbye bounds how long a peer takes to end; the program promises 3 s in all.
const goodbye = 2500 * time.Millisecond

// join returns the data folder's running peer, or starts one in this process that only lives as long as the command.
func (a *app) join(ctx context.Context, flags *peerFlags) (peer, error) {
	o, err := flags.options(a)
	if err != nil {
		return nil, err
	}
	if p, err := connect(ctx, a.dataDir); err == nil {
		if names := flags.ignored(); len(names) > 0 {
			a.log.Warn("the running peer keeps its own settings", "ignored", names)
		}
		return p, nil
	} else if !errors.Is(err, errNoPeer) {
		return nil, err
	}
	return a.run(ctx, o)
}

// run starts a peer in this process.
func (a *app) run(ctx context.Context, o node.Options) (peer, error) {
	n, err := a.start(ctx, o)
	if err != nil {
		return nil, err
	}
	return &localPeer{node: n, svc: n.Service(), log: a.log}, nil
}

// running returns the data folder's running peer, for commands that only ask.
func (a *app) running(ctx context.Context) (*remotePeer, error) {
	p, err := connect(ctx, a.dataDir)
	if errors.Is(err, errNoPeer) {
		return nil, notFoundf("no castd is running on the data folder %s: start one with castd start --room lobby, or name another folder with --data-dir", a.dataDir)
	}
	return p, err
}

// onlyRoom returns the room that a command means when none is named: the only one there is.
func onlyRoom(ctx context.Context, p peer, args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	rooms, err := p.Rooms(ctx)
	if err != nil {
		return "", err
	}
	switch len(rooms) {
	case 0:
		return "", notFoundf("this peer is in no room")
	case 1:
		return rooms[0].Room, nil
	}
	return "", usagef("this peer is in %d rooms: name one of them", len(rooms))
}
