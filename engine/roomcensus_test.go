package engine_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/enginetest"
)

// differs says how what a peer knows of the places differs from what their holders say; "" if it does not.
func differs(known []engine.TreeInfo, places []engine.TreeInfo) string {
	byPeer := make(map[string]engine.TreeInfo)
	for _, k := range known {
		if _, twice := byPeer[k.Peer]; twice {
			return k.Peer + " is there twice"
		}
		byPeer[k.Peer] = k
	}
	for _, p := range places {
		k, ok := byPeer[p.Peer]
		if !ok {
			return p.Peer + " is missing"
		}
		if _, near := byPeer[p.Backup]; !near && k.Backup == "" {
			p.Backup = "" // whom it does not know it cannot name
		}
		if k.Parent != p.Parent || k.Backup != p.Backup || k.Depth != p.Depth || !slices.Equal(k.Path, p.Path) || k.Slots != p.Slots {
			return fmt.Sprintf("known is %+v, and true %+v", k, p)
		}
		fed := func(c engine.ChildInfo) bool { return c.Kind == "backup" }
		if !slices.EqualFunc(slices.DeleteFunc(slices.Clone(k.Children), fed), slices.DeleteFunc(slices.Clone(p.Children), fed), func(a, b engine.ChildInfo) bool { return a.Depth == b.Depth }) {
			return "other children of " + p.Peer + " are known than there are"
		}
	}
	if len(known) != len(places) {
		return "somebody is known who is not there"
	}
	return ""
}

// TestRoomTree: the origin knows where everybody is soon after it has changed, and a peer knows the way to itself and those below it.
func TestRoomTree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(4)
		net.Delay = 10 * time.Millisecond
		s := newStage(t, net, 2)
		s.listen(12, 2)
		settled := func(what string, gone int) {
			t.Helper()
			why := "nothing"
			for range 300 {
				time.Sleep(100 * time.Millisecond)
				places := []engine.TreeInfo{s.room.Tree()}
				for i, l := range s.listeners {
					if i != gone {
						places = append(places, l.room.Tree())
					}
				}
				known := s.room.RoomTree()
				if why = differs(known, places); why != "" {
					continue
				}
				if known[0].Below != len(places)-1 || known[0].Audience != len(places)-1 {
					why = "the origin counts others below it"
				}
				for i, l := range s.listeners {
					if i == gone || why != "" {
						continue
					}
					own := l.room.Tree()
					var below []engine.TreeInfo
					for _, p := range places {
						if slices.Contains(p.Path, own.Peer) {
							below = append(below, p)
						}
					}
					if got := l.room.RoomTree(); len(got) < own.Depth {
						why = "the way to it is missing"
					} else {
						why = differs(got[own.Depth:], below)
					}
				}
				if why == "" {
					return
				}
			}
			t.Errorf("%s: 30 s later %s", what, why)
		}
		settled("all have joined", -1)
		dead := slices.IndexFunc(s.listeners, func(l *listener) bool { return len(l.room.Tree().Children) > 0 })
		net.Kill(s.listeners[dead].Peer)
		settled("a relay has died", dead)
	})
}
