package gossip

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

var testTopic = RoomTopic(wire.NewRoomID(testKey(1000).Public().(ed25519.PublicKey), "lobby"))

func TestTwoPeersExchangeMessagesAndRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newLab(t)
		a, b := net.start(1, 1, nil), net.start(2, 2, nil)
		defer net.close(a, b)
		a.Learn(b.Self())
		if err := a.Send(t.Context(), b.id, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		big := bytes.Repeat([]byte{7}, wire.MaxEnvelope)
		answer, err := b.Request(t.Context(), a.id, []byte("you?")) // over a's connection
		if err != nil || string(answer) != "re you?" {
			t.Fatalf("Request = %q, %v", answer, err)
		}
		b.answer = func(_ context.Context, _ peer.ID, msg []byte) ([]byte, error) { return msg, nil }
		if answer, err = a.Request(t.Context(), b.id, big); err != nil || !bytes.Equal(answer, big) {
			t.Fatalf("Request of the largest message: %d octets, %v", len(answer), err)
		}
		if err := a.Send(t.Context(), b.id, append(big, 0)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("Send of a larger message: %v", err)
		}
		time.Sleep(time.Second)
		messages, _, presence := b.got()
		if want := a.id.String() + " hello"; len(messages) != 1 || messages[0] != want {
			t.Errorf("messages = %q", messages)
		}
		if len(presence) != 1 || presence[0] != "up "+a.id.String() {
			t.Errorf("presence = %q", presence)
		}
		if got := a.Connected(); len(got) != 1 || got[0] != b.id {
			t.Errorf("Connected = %v", got)
		}
		a.Close()
		time.Sleep(time.Second)
		if _, _, presence = b.got(); len(presence) != 2 || presence[1] != "down "+a.id.String() {
			t.Errorf("presence after the other closed = %q", presence)
		}
		if err := a.Send(t.Context(), b.id, nil); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("Send after Close: %v", err)
		}
	})
}

func TestRequestErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newLab(t)
		a, b := net.start(1, 1, nil), net.start(2, 2, nil)
		defer net.close(a, b)
		a.connect(t, b)
		b.answer = func(ctx context.Context, _ peer.ID, msg []byte) ([]byte, error) {
			switch string(msg) {
			case "user":
				return nil, engine.NewUserError(engine.CodeFull, "the room is full")
			case "secret":
				return nil, errors.New("the key is 42")
			case "large":
				return make([]byte, wire.MaxEnvelope+1), nil
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		_, err := a.Request(t.Context(), b.id, []byte("user"))
		var user *engine.UserError
		if !errors.As(err, &user) || user.Code != engine.CodeFull || user.Message != "the room is full" {
			t.Errorf("refused: %v", err)
		}
		for _, m := range []string{"secret", "large"} {
			if _, err = a.Request(t.Context(), b.id, []byte(m)); !errors.Is(err, ErrFailed) || strings.Contains(err.Error(), "42") {
				t.Errorf("%s: %v", m, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		start := time.Now()
		if _, err = a.Request(ctx, b.id, []byte("hang")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("caller's deadline: %v", err)
		}
		if took := time.Since(start); took > 400*time.Millisecond {
			t.Errorf("took %v", took)
		}
		if _, err = a.Request(t.Context(), b.id, []byte("hang")); !errors.Is(err, ErrFailed) {
			t.Errorf("handler's deadline: %v", err)
		}
	})
}
