package engine

import (
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// A call that is told for a moment that a peer neither mixes nor stands by keeps its seat there.
func TestSeatsAreKeptForAWhile(t *testing.T) {
	k := &call{needless: make(map[peer.ID]time.Time)}
	begin := time.Now()
	for _, step := range []struct {
		after     time.Duration
		at        []peer.ID
		hub, heir bool // no longer needed
	}{
		{0, []peer.ID{"hub", "heir"}, false, false},
		{100 * time.Millisecond, []peer.ID{"hub"}, false, false}, // the heir is named, and the hub's beacon is the newest that there is
		{200 * time.Millisecond, []peer.ID{"heir"}, false, false},
		{300 * time.Millisecond, nil, false, false}, // nobody knows
		{400 * time.Millisecond, []peer.ID{"heir"}, false, false},
		{1300 * time.Millisecond, []peer.ID{"heir"}, false, false},
		{1400 * time.Millisecond, []peer.ID{"heir"}, true, false},
		{1500 * time.Millisecond, []peer.ID{"heir"}, true, false},
	} {
		now := begin.Add(step.after)
		hub, heir := k.needlessAt("hub", step.at, now), k.needlessAt("heir", step.at, now)
		if hub != step.hub || heir != step.heir {
			t.Errorf("after %v: no longer needed at the hub %v, at the heir %v; want %v, %v", step.after, hub, heir, step.hub, step.heir)
		}
	}
}

// A call may be told the state of the conference before its first seat is known: the mixer runs on.
func TestToldBeforeSeated(t *testing.T) {
	k := newCall(&Room{}, SeatConfig{Participant: "ann"})
	k.told(&CallState{Waiting: WaitingAdmission, Hands: []string{"ann"}})
	if !k.waits {
		t.Error("the call does not know that it waits")
	}
	k.Raise(true)
	k.Write(&MediaPacket{})
	k.Wish("bob", 1)
	k.told(&CallState{})
}
