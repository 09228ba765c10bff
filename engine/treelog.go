package engine

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/tree"
)

// traceLoop writes down what the router was told and what it asked for, pulses and time aside. Only the level debug shows it: with
// the times of the log it tells what a repair took.
func (r *Room) traceLoop(in tree.Input, actions []tree.Action) {
	if !r.e.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	if s := describeInput(in); s != "" {
		r.e.log.Debug("tree", "room", r.id, "what", s)
	}
	for _, a := range actions {
		if s := describeAction(a); s != "" {
			r.e.log.Debug("tree", "room", r.id, "what", s)
		}
	}
}

func describeInput(in tree.Input) string {
	switch in := in.(type) {
	case tree.Recv:
		return "from " + peerName(in.From) + " " + describeMessage(in.Msg)
	case tree.HopUp:
		return "hop up " + peerName(in.Peer)
	case tree.HopDown:
		return "hop down " + peerName(in.Peer)
	case tree.Unreachable:
		return "unreachable " + peerName(in.Peer)
	case tree.Fed:
		return "fed by " + peerName(in.Peer)
	case tree.Back:
		return "back " + peerName(in.Peer)
	case tree.Distrust:
		return "distrust " + peerName(in.Peer) + ": " + in.Reason
	}
	return ""
}

func describeAction(a tree.Action) string {
	switch a := a.(type) {
	case tree.Send:
		return "to " + peerName(a.To) + " " + describeMessage(a.Msg)
	case tree.OpenHop:
		return "open hop " + peerName(a.To)
	case tree.CloseHop:
		return "close hop " + peerName(a.To)
	case tree.SetFeeds:
		return "feeds " + peerName(a.Primary) + " backup " + peerName(a.Backup)
	case tree.Notify:
		if p, ok := a.Event.(tree.ParentChanged); ok {
			return fmt.Sprintf("parent %s depth %d reason %s", peerName(p.Peer), p.Depth, p.Reason)
		}
	}
	return ""
}

func describeMessage(m tree.Message) string {
	name := strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", m), "*tree.Msg"))
	switch m := m.(type) {
	case *tree.MsgJoin:
		return name + " " + m.Kind.String()
	case *tree.MsgAccept:
		return name + " " + m.Kind.String()
	case *tree.MsgRefuse:
		return name + " " + m.Reason
	case *tree.MsgLeave:
		return name + " " + m.Reason
	}
	return name
}

func peerName(id tree.ID) string {
	if id == "" {
		return "nobody"
	}
	return peer.ID(id).String()
}
