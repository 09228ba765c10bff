package tree

import "testing"

// A parent has died, and one of those whose second parent this is takes the reserve. The others are refused, and hear this one until they
// have found another parent: only one who stays on the reserve takes the sound from them.
func TestOrphansInPassingTakeNoSound(t *testing.T) {
	c := DefaultConfig("o")
	c.Slots = 1
	r := New(c)
	now := simStart
	join := func(id ID, kind ChildKind, nonce uint64) {
		r.Step(now, Recv{id, &MsgJoin{Nonce: nonce, Kind: kind}})
		r.Step(now, Recv{id, &MsgConfirm{nonce}})
	}
	hears := func() (out string) {
		for _, c := range r.children {
			if c.copy != CopyNone {
				out += string(c.peer)
			}
		}
		return out
	}
	r.Step(now, Start{Origin: true})
	join("a", Ordinary, 1)
	join("b", Backup, 2)
	join("c", Backup, 3)
	join("d", Backup, 4)
	if got := hears(); got != "bcd" {
		t.Fatalf("%q hear a second parent", got)
	}
	join("c", Orphan, 5)
	join("b", Orphan, 6)
	if got := hears(); got != "bd" || r.used(Orphan, nil) != 1 {
		t.Errorf("%q hear a second parent while %d orphans pass", got, r.used(Orphan, nil))
	}
	for range 60 {
		now = now.Add(c.Dwell / 50)
		for _, id := range []ID{"a", "b", "c", "d"} {
			r.Step(now, Pulse{From: id})
		}
		r.Step(now, Tick{})
	}
	if got := hears(); got != "" {
		t.Errorf("%q hear a second parent although the reserve is taken", got)
	}
}
