package engine_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/enginetest"
	"github.com/castd/castd/engine/seal"
	"github.com/castd/castd/engine/wire"
)

// Who may not send is told so before anything is sent; who has an invite with the right is heard by everyone.
func TestStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(7)
		net.Delay = 10 * time.Millisecond
		s := newStage(t, net, 2)
		s.listen(4, 2)
		guest := addPeer(t, net, "guest", 0)
		r, err := guest.Join(t.Context(), "lobby", engine.JoinOptions{Silent: true, Wait: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		var user *engine.UserError
		if _, err := r.Publish(t.Context(), audioSlot()); !errors.As(err, &user) || user.Code != engine.CodeNotAllowed {
			t.Fatalf("publishing without a right: %v", err)
		}
		link, err := s.room.InviteLink(nil, engine.InviteSpec{Speak: true})
		if err != nil {
			t.Fatal(err)
		}
		if r, err = guest.Join(t.Context(), link, engine.JoinOptions{Silent: true}); err != nil {
			t.Fatal(err)
		}
		pub, err := r.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 200)
		if err := pub.End(); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		for i, l := range s.listeners {
			wantAudio(t, "listener", l.sink.Packets(), 0, 200)
			states := l.sink.States()
			if len(states) != 1 || states[0].Live || states[0].Participant != wire.ParticipantID(guest.Signer.User()) {
				t.Errorf("listener %d sees streams %+v, want one of the guest that has ended", i, states)
			}
		}
	})
}

// A publisher that claims a right it has not, or sends without asking, is stopped at the hub.
func TestUnboundedPublisher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(8)
		net.Delay = time.Millisecond
		s := newStage(t, net, 2)
		s.listen(1, 2)
		time.Sleep(time.Second)
		// The listener is a member with a hop to the hub. It forges a whole slot and sends it up.
		liar := s.listeners[0]
		other := addPeer(t, net, "other", 0)
		env, err := other.Signer.Seal(s.room.ID(), wire.Type_ANNOUNCE, 0, time.Now().Add(time.Minute), announceOf(other, s.room.ID()))
		if err != nil {
			t.Fatal(err)
		}
		notary := seal.NewNotary(other.Signer.Device, recordOf(other, s.room.ID()), 0, 0)
		if err := notary.Announce(env); err != nil {
			t.Fatal(err)
		}
		hop, err := liar.Hop(t.Context(), s.origin)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := hop.WritePackets(notary.Build(0)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := s.room.Streams(); len(got) != 0 {
			t.Errorf("the hub has streams of an uninvited publisher: %+v", got[0])
		}
	})
}

func recordOf(p *enginetest.Peer, id wire.RoomID) wire.StreamID {
	return wire.NewStreamID(id, p.Signer.Public(), wire.ParticipantID(p.Signer.User()), "main", wire.RecordLabel)
}

func announceOf(p *enginetest.Peer, id wire.RoomID) *wire.Announce {
	who := wire.ParticipantID(p.Signer.User())
	return &wire.Announce{
		Participant: who, Slot: "main", Record: uint64(recordOf(p, id)), StartedMs: time.Now().UnixMilli(),
		Streams: []*wire.StreamInfo{{
			Id: uint64(wire.NewStreamID(id, p.Signer.Public(), who, "main", "audio")), Label: "audio", Codec: "opus", ClockRate: 48000, Channels: 2,
		}},
	}
}

// A relay that is a member knows the room's key and can seal what it likes in the speaker's name. None of it is played: it
// has no manifest. Nor is anything that it plays again.
func TestRelayForgesWithTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(9)
		net.Delay = 10 * time.Millisecond
		s := newStage(t, net, 1)
		s.listen(1, 2)
		evil := s.listeners[0].Self()
		s.listen(3, 2)
		device := s.origin.Signer.Public()
		var sealer *seal.Sealer
		var old [][]byte
		count := 0
		net.Tamper = func(from, to peer.ID, pkt []byte) []byte {
			h, _, err := wire.ParseHeader(pkt)
			if from != evil || err != nil || h.Kind != wire.KindAudio {
				return pkt
			}
			count++
			old = append(old, append([]byte(nil), pkt...))
			switch {
			case count%5 == 1: // its own words, sealed with the key that every member has, in place of the speaker's
				if sealer == nil {
					sealer, err = seal.NewSealer(seal.PublicRoomKey(s.room.ID()), device, h.Stream, h.Incarnation)
					if err != nil {
						t.Error(err)
					}
				}
				forged, err := sealer.Seal(nil, &h, []byte("lies"))
				if err == nil {
					return forged
				}
			case count%5 == 3 && len(old) > 20: // what was said before
				return old[len(old)-20]
			}
			return pkt
		}
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 300)
		time.Sleep(2 * time.Second)
		for i, l := range s.listeners[1:] {
			last := uint64(0)
			got := l.sink.Packets()
			for _, p := range got {
				if string(p.Payload) == "lies" {
					t.Fatalf("listener %d played a lie", i+1)
				}
				if p.Header.Number <= last {
					t.Fatalf("listener %d played number %d after %d", i+1, p.Header.Number, last)
				}
				last = p.Header.Number
			}
			if len(got) < 150 {
				t.Errorf("listener %d got %d packets of 300; it should have found another parent", i+1, len(got))
			}
		}
	})
}

// A slot whose publisher comes back within 30 s goes on: same streams, numbers and timestamps that grow, a flag at the seam.
func TestSlotGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(10)
		net.Delay = time.Millisecond
		s := newStage(t, net, 2)
		s.listen(2, 2)
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 100)
		if err := pub.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if pub, err = s.room.Publish(t.Context(), audioSlot()); err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 5000, 100)
		time.Sleep(time.Second)
		for i, l := range s.listeners {
			got := l.sink.Packets()
			if len(got) != 200 {
				t.Fatalf("listener %d got %d packets, want 200", i, len(got))
			}
			seam := got[100].Header
			if got[99].Stream != got[100].Stream || seam.Number <= got[99].Header.Number || seam.Extension(wire.ExtDiscontinuity) == nil {
				t.Errorf("listener %d: seam %+v after %+v", i, seam, got[99].Header)
			}
			if d := seam.Timestamp - got[99].Header.Timestamp; d < 48000*9 || d > 48000*11 {
				t.Errorf("listener %d: timestamps advanced by %d over a pause of 10 s", i, d)
			}
			if d := got[100].At.Sub(got[99].At); d > 11*time.Second {
				t.Errorf("listener %d: playout stood for %v over a pause of 10 s", i, d)
			}
		}
		pub.Close()
		time.Sleep(35 * time.Second)
		if states := s.listeners[0].sink.States(); len(states) > 0 && states[0].Live {
			t.Error("the slot is live although its publisher has been away for 35 s")
		}
	})
}

// Ended by the name of two rooms, nobody guesses.
func TestTwoRoomsOfOneName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(11)
		net.Delay = time.Millisecond
		a, b := addPeer(t, net, "ann/laptop", 2), addPeer(t, net, "bob/laptop", 2)
		net.Cut(b, true) // each makes a room of his own
		if _, err := a.Join(t.Context(), "lobby", engine.JoinOptions{Create: true}); err != nil {
			t.Fatal(err)
		}
		net.Cut(b, false)
		net.Cut(a, true)
		if _, err := b.Join(t.Context(), "lobby", engine.JoinOptions{Create: true}); err != nil {
			t.Fatal(err)
		}
		net.Cut(a, false)
		c := addPeer(t, net, "carl/laptop", 2)
		var user *engine.UserError
		if _, err := c.Join(t.Context(), "lobby", engine.JoinOptions{Create: true}); !errors.As(err, &user) || user.Code != engine.CodeAmbiguous {
			t.Errorf("two rooms called lobby: %v", err)
		}
		if _, err := c.Join(t.Context(), "nowhere", engine.JoinOptions{Wait: time.Second}); !errors.As(err, &user) || user.Code != engine.CodeTimeout {
			t.Errorf("a room that nobody knows: %v", err)
		}
	})
}

// A publisher that crashed begins anew with numbers far above the old ones; listeners go on with what it sends now.
func TestPublisherComesBackAfterCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(12)
		net.Delay = 5 * time.Millisecond
		s := newStage(t, net, 2)
		s.listen(3, 1)
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 100)
		if err := pub.End(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		s.origin.Keeper.Skip(1 << 22) // as after a crash
		if pub, err = s.room.Publish(t.Context(), audioSlot()); err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 100, 100)
		time.Sleep(time.Second)
		for i, l := range s.listeners {
			got := l.sink.Packets()
			if len(got) != 200 {
				t.Errorf("listener %d has %d packets, want 200", i, len(got))
				continue
			}
			for j, p := range got {
				if string(p.Payload) != string(payload(j)) {
					t.Fatalf("listener %d: packet %d is %q", i, j, p.Payload)
				}
			}
		}
	})
}
