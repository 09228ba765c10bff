package main

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/castd/castd/engine"
)

// session is what start, listen and publish have in common: a peer, the rooms it was asked for, and events on their way to
// the printer.
type session struct {
	peer  peer
	out   *printer
	ended chan struct{} // closed when no more events come
}

// open subscribes to the peer's events, adds the rooms, and prints the ready lines; events follow, those of other rooms are
// left out. ctx ends the session; its owner closes the peer.
func open(ctx context.Context, p peer, out *printer, stats time.Duration, specs []engine.RoomSpec) (*session, []engine.RoomInfo, error) {
	// Subscribed first, so that nothing is missed between joining a room and listening.
	events, err := p.Events(ctx, stats)
	if err != nil {
		return nil, nil, err
	}
	var rooms []engine.RoomInfo
	mine := make(map[string]bool)
	for _, spec := range specs {
		info, err := p.AddRoom(ctx, spec)
		if err != nil {
			var user *engine.UserError
			if out.json && errors.As(err, &user) {
				out.event(&engine.Event{Event: "error", Time: engine.EventTime(time.Now()), Code: user.Code, Message: user.Message})
			}
			return nil, nil, err
		}
		rooms = append(rooms, info)
		mine[info.Room] = true
	}
	status, err := p.Status(ctx)
	if err != nil {
		return nil, nil, err
	}
	s := &session{peer: p, out: out, ended: make(chan struct{})}
	line := ready{Event: "ready", Peer: status.Peer, HTTP: status.HTTP, Addrs: status.Addrs, MediaPort: status.MediaPort}
	if line.Fingerprint = status.Fingerprint; status.PublicURL != status.HTTP {
		line.PublicURL = status.PublicURL
	}
	if line.HTTP != "" {
		line.Token = p.Token()
	}
	for _, info := range rooms {
		line.Room, line.Name, line.Mode, line.Role, line.Invite, line.Private = info.Room, info.Name, info.Mode, info.Role, "", info.Private
		// A member may not be able to invite; that is no reason not to listen.
		if link, err := p.Invite(ctx, info.Room, engine.InviteSpec{Address: true}); err == nil {
			line.Invite = link
		}
		out.ready(line)
	}
	if len(rooms) == 0 {
		out.ready(line)
	}
	all := !p.Remote() // this process's own peer is only in rooms that it was asked for
	if all {
		time.AfterFunc(trimAfter, debug.FreeOSMemory)
	}
	go func() {
		defer close(s.ended)
		for ev := range events {
			if all || ev.Room == "" || mine[ev.Room] {
				out.event(&ev)
			}
			if ev.Event == "error" && ev.Reason == engine.ReasonLeft && mine[ev.Room] {
				// Whoever was put out of the last of his rooms has nothing left to do.
				if delete(mine, ev.Room); len(mine) == 0 && out.broken != nil {
					out.broken(engine.NewUserError(ev.Code, ev.Message))
				}
			}
		}
	}()
	return s, rooms, nil
}

// trimAfter is when the memory that starting took is given back: the runtime would do so over minutes, in which a peer that idles looks
// larger than it is.
const trimAfter = 3 * time.Second

// fail prints an error as an event.
func (s *session) fail(room, code, message string) {
	s.out.event(&engine.Event{Event: "error", Time: engine.EventTime(time.Now()), Room: room, Code: code, Message: message})
}
