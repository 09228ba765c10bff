package conference_test

import (
	"testing"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
)

// TestRecordingIsSeen: everybody in the room is told who records it, as long as he does: those who take part by any peer, who listens, and who
// comes later. A peer that is cut off is forgotten.
func TestRecordingIsSeen(t *testing.T) {
	onTalk(t, 41, func(t *testing.T, k *gathering) {
		seen := func(what string, want ...*engine.Room) {
			t.Helper()
			for _, c := range []*caller{k.ann, k.bob, k.eve} {
				if got := k.told(c); len(got.Recording) != len(want) || got.Mixer == nil || !got.Mixer.Readable || got.Mixer.Peer != k.hub.Self().String() {
					t.Errorf("%s: %s is told %+v, %+v", what, c.name, got.Recording, got.Mixer)
				}
			}
			for _, r := range []*engine.Room{k.room, k.r1, k.r2} {
				got := r.Info().Recording
				if len(got) != len(want) {
					t.Errorf("%s: the API tells %+v", what, got)
				}
				for i, info := range got {
					if info.Participant == "" || info.Since == "" || i > 0 && got[i-1].Since > info.Since {
						t.Errorf("%s: the API tells %+v", what, got)
					}
				}
			}
		}
		say := func(r *engine.Room, on bool) {
			t.Helper()
			if err := r.Recording(t.Context(), on); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		seen("nobody records")
		say(k.r2, true)
		seen("one records", k.r2)
		say(k.r2, true)
		say(k.r1, true)
		seen("two record", k.r2, k.r1)
		time.Sleep(20 * time.Second) // longer than it counts
		say(k.r2, false)
		seen("one of its recordings has ended", k.r2, k.r1)
		zoe := addPeer(t, k.net, "zoe")
		late := enter(t, zoe, engine.JoinOptions{Wait: 5 * time.Second, Listen: true})
		time.Sleep(8 * time.Second)
		if got := late.Info().Recording; len(got) != 2 {
			t.Errorf("who came later is told %+v", got)
		}
		say(k.r2, false)
		seen("the first has ended", k.r1)
		say(k.r2, false) // nothing to end
		seen("the first has ended again", k.r1)
		say(k.r1, false)
		seen("both have ended")
		if err := late.Recording(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		seen("a listener records", late)
		k.net.Cut(zoe, true)
		time.Sleep(20 * time.Second)
		seen("who recorded has gone")
	})
}

// TestMayRecord: the owner may have his room recorded, others when he has granted them the right, or to moderate.
func TestMayRecord(t *testing.T) {
	onTalk(t, 84, func(t *testing.T, k *gathering) {
		if err := k.room.MayRecord(); err != nil {
			t.Errorf("the owner may not: %v", err)
		}
		if got := code(k.r1.MayRecord()); got != engine.CodeNotAllowed {
			t.Errorf("a member may: %q", got)
		}
		who := wire.ParticipantID(k.near.Signer.User())
		if err := k.room.Moderate(t.Context(), engine.Moderation{Verb: room.Grant, Who: who, Rights: room.Recording}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := k.r1.MayRecord(); err != nil {
			t.Errorf("who has the right may not: %v", err)
		}
		if got := code(k.r2.MayRecord()); got != engine.CodeNotAllowed {
			t.Errorf("another member may: %q", got)
		}
	})
}
