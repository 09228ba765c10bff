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
	line := func(what any) {
		if s := describeStep(what); s != "" {
			r.e.log.Debug("tree", "room", r.id, "what", s)
		}
	}
	line(in)
	for _, a := range actions {
		line(a)
	}
}

// describeStep is one line for an input or an action of the router, empty for one that says too little or comes too often.
func describeStep(what any) string {
	switch x := what.(type) {
	case tree.Recv:
		return "from " + peerName(x.From) + " " + describeMessage(x.Msg)
	case tree.HopUp:
		return "hop up " + peerName(x.Peer)
	case tree.HopDown:
		return "hop down " + peerName(x.Peer)
	case tree.Unreachable:
		return "unreachable " + peerName(x.Peer)
	case tree.Fed:
		return "fed by " + peerName(x.Peer)
	case tree.Back:
		return "back " + peerName(x.Peer)
	case tree.Distrust:
		return "distrust " + peerName(x.Peer) + ": " + x.Reason
	case tree.Send:
		return "to " + peerName(x.To) + " " + describeMessage(x.Msg)
	case tree.OpenHop:
		return "open hop " + peerName(x.To)
	case tree.CloseHop:
		return "close hop " + peerName(x.To)
	case tree.SetFeeds:
		return "feeds " + peerName(x.Primary) + " backup " + peerName(x.Backup)
	case tree.Notify:
		if p, ok := x.Event.(tree.ParentChanged); ok {
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
