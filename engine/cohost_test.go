package engine_test

import (
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// A co-host keeps the room open when the owner's peer dies, may open it anew while the owner is away, and is one no longer when
// the owner says so.
func TestCohost(t *testing.T) {
	onStages(t, 80, 1, func(t *testing.T, s *stage) {
		s.listen(3, 2)
		bob := addPeer(t, s.net, "bob", 2)
		key := bob.User.Public().(ed25519.PublicKey)
		link, err := s.room.InviteLink(nil, engine.InviteSpec{Cohost: wire.UserKeyText(key)})
		if err != nil {
			t.Fatal(err)
		}
		br, err := bob.Join(t.Context(), link, engine.JoinOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := br.InviteLink(nil, engine.InviteSpec{Cohost: wire.UserKeyText(key)}); err == nil {
			t.Error("a co-host names others")
		}
		_, err = s.room.InviteLink(nil, engine.InviteSpec{Cohost: "bob"})
		wantCode(t, "a name instead of a key", err, engine.CodeBadMedia)
		time.Sleep(5 * time.Second)
		s.net.Kill(s.origin)
		time.Sleep(4 * time.Second)
		if path := br.Tree().Path; len(path) != 1 {
			t.Fatalf("the co-host's path is %v", path)
		}
		pub, err := br.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 200)
		time.Sleep(time.Second)
		for _, l := range s.listeners {
			wantAudio(t, "listener", l.sink.Packets(), 0, 200)
		}

		// The owner comes back, and is a guest in his own house until the co-host goes. Then he takes his word back.
		again, err := s.net.Restart(s.origin, 3)
		if err != nil {
			t.Fatal(err)
		}
		closeAtEnd(t, again)
		ar, err := again.Join(t.Context(), "lobby", engine.JoinOptions{Create: true})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if path := ar.Tree().Path; len(path) < 2 || path[0] != bob.Self().String() {
			t.Errorf("the owner's path is %v", path)
		}
		if err := ar.Revoke(t.Context(), wire.ParticipantID(key), 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Second)
		if path := ar.Tree().Path; len(path) != 1 {
			t.Errorf("the owner's path is %v, after he took the room back", path)
		}
		for i, l := range s.listeners {
			if path := l.room.Tree().Path; len(path) < 2 || path[0] != again.Self().String() {
				t.Errorf("listener %d: path is %v", i, path)
			}
		}
	})
}
