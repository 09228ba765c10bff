package tree

import (
	"fmt"
	"testing"
	"time"
)

// copier is an origin with children of both kinds, and what it told them.
type copier struct {
	*testing.T
	r     *Router
	now   time.Time
	nonce uint64
	told  map[ID]Copy // by Accepts
}

func newCopier(t *testing.T, slots int, share float64) *copier {
	c := DefaultConfig("self")
	c.Slots, c.Reserve, c.Backups, c.Heads, c.AudioShare = slots, 1, 16, 0, share
	k := &copier{T: t, r: New(c), now: simStart, told: make(map[ID]Copy)}
	k.step(Start{Origin: true})
	return k
}

func (k *copier) step(in Input) {
	k.now = k.now.Add(time.Millisecond)
	for _, a := range k.r.Step(k.now, in) {
		if s, ok := a.(Send); ok {
			if m, ok := s.Msg.(*MsgAccept); ok {
				k.told[s.To] = m.Copy
			}
		}
	}
}

func (k *copier) join(id ID, kind ChildKind, slots uint32) {
	k.nonce++
	k.step(Recv{From: id, Msg: &MsgJoin{Nonce: k.nonce, Kind: kind, Slots: slots}})
	k.step(Recv{From: id, Msg: &MsgConfirm{Nonce: k.nonce}})
}

func (k *copier) below(id ID, n int) { k.step(Pulse{From: id, Below: n}) }

// want checks what the children are sent, and that they know.
func (k *copier) want(when string, want map[ID]Copy) {
	k.Helper()
	for _, c := range k.r.Status().Children {
		if c.Copy != want[c.Peer] || c.Kind == Backup && k.told[c.Peer] != want[c.Peer] {
			k.Errorf("%s: %s is sent %d, was told %d, want %d", when, c.Peer, c.Copy, k.told[c.Peer], want[c.Peer])
		}
	}
}

func TestCopies(t *testing.T) {
	k := newCopier(t, 3, 0.05)
	k.join("a", Backup, 4)
	k.join("b", Backup, 4)
	k.join("c", Backup, 0)
	k.want("nobody has others below", map[ID]Copy{"a": CopyAudio, "b": CopyAudio, "c": CopyAudio})
	k.below("a", 3)
	k.below("b", 10)
	k.want("two have", map[ID]Copy{"a": CopyAll, "b": CopyAll, "c": CopyAudio})
	k.join("d", Ordinary, 0)
	k.join("e", Ordinary, 0)
	k.want("one slot is left", map[ID]Copy{"a": CopyAudio, "b": CopyAll, "c": CopyAudio})
	k.below("a", 19)
	k.want("a has more, not by far", map[ID]Copy{"a": CopyAudio, "b": CopyAll, "c": CopyAudio})
	k.below("a", 21)
	k.want("a has twice as many", map[ID]Copy{"a": CopyAll, "b": CopyAudio, "c": CopyAudio})
	k.join("f", Ordinary, 0)
	k.want("no slot is left", map[ID]Copy{"a": CopyAudio, "b": CopyAudio, "c": CopyAudio})
	if k.r.Status().Free != 0 {
		t.Errorf("%d slots are free", k.r.Status().Free)
	}
	k.step(Recv{From: "d", Msg: &MsgLeave{Reason: LeaveMoved}})
	k.want("one goes", map[ID]Copy{"a": CopyAll, "b": CopyAudio, "c": CopyAudio})
	if k.r.Status().Free != 1 {
		t.Errorf("%d slots are free: a copy takes none", k.r.Status().Free)
	}
	k.below("a", 0)
	k.below("b", 0)
	k.want("nobody any more", map[ID]Copy{"a": CopyAudio, "b": CopyAudio, "c": CopyAudio})
}

// Where audio is all there is, or takes much, slots go to it first.
func TestCopiesOfAudio(t *testing.T) {
	for _, c := range []struct {
		share float64
		slots int
		want  map[ID]Copy
	}{
		{1, 2, map[ID]Copy{"p0": CopyAudio, "p1": CopyAudio}},
		{0.5, 2, map[ID]Copy{"p0": CopyAudio, "p1": CopyAll, "p2": CopyAudio}},
		{0, 2, map[ID]Copy{"p0": CopyAudio, "p1": CopyAll, "p2": CopyAll}},
		{0.05, 0, map[ID]Copy{"p0": CopyAudio, "p1": CopyAudio, "p2": CopyAudio}}, // on the reserve
	} {
		k := newCopier(t, c.slots, c.share)
		for i := range 3 {
			id := ID(fmt.Sprintf("p%d", i))
			k.join(id, Backup, 4)
			k.below(id, i)
		}
		k.want(fmt.Sprintf("audio takes %v of a slot, %d slots", c.share, c.slots), c.want)
	}
}
