package conference_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/conference"
	"github.com/castd/castd/engine/enginetest"
)

// doorman is a Policy of one peer.
type doorman struct {
	mu    sync.Mutex
	asked []engine.Question
}

// Decide answers by the name: "no" is refused with a sentence, "long" with too long a one, "rude" without, "slow" after a while.
func (d *doorman) Decide(ctx context.Context, q engine.Question) error {
	d.mu.Lock()
	d.asked = append(d.asked, q)
	d.mu.Unlock()
	switch q.Name {
	case "no":
		return engine.NewUserError(engine.CodeNotAllowed, "not today")
	case "long":
		return engine.NewUserError(engine.CodeNotAllowed, strings.Repeat("\u00e4\n", 500))
	case "rude":
		return errors.New("out of order: /etc/secret")
	case "slow":
		select {
		case <-time.After(400 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// TestDecide: the policies of the peer that mixes and of that by way of which somebody comes are asked; who is refused is told why; nobody
// waits while another's question is answered.
func TestDecide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(61)
		net.Delay = 10 * time.Millisecond
		s := conference.New()
		t.Cleanup(s.Close)
		net.Mixing = s
		at := &doorman{}
		net.Policy = func(name string) engine.Policy {
			if name == "ann/laptop" {
				return at
			}
			return nil
		}
		hub, other := addPeer(t, net, "ann/laptop"), addPeer(t, net, "bob/laptop")
		room := enter(t, hub, engine.JoinOptions{Create: true, Mode: "conference"})
		r1 := enter(t, other, engine.JoinOptions{Wait: 5 * time.Second})
		call := func(r *engine.Room, id, name string) (time.Duration, error) {
			began := time.Now()
			k, err := r.Call(t.Context(), engine.SeatConfig{Participant: id, Name: name, Hear: func(*engine.MediaPacket) {}})
			took := time.Since(began)
			if err == nil {
				defer k.Close()
			}
			return took, err
		}
		for _, r := range []*engine.Room{room, r1} {
			if _, err := call(r, annID, "yes"); err != nil {
				t.Errorf("who may is refused: %v", err)
			}
			if _, err := call(r, bobID, "no"); code(err) != engine.CodeNotAllowed || err.Error() != "not today" {
				t.Errorf("who may not is told %v", err)
			}
		}
		if _, err := call(r1, bobID, "long"); code(err) != engine.CodeNotAllowed || len(err.Error()) > 310 || strings.Contains(err.Error(), "\n") {
			t.Errorf("a long reason is %v", err)
		}
		if _, err := call(r1, bobID, "rude"); code(err) != engine.CodeNotAllowed || strings.Contains(err.Error(), "secret") {
			t.Errorf("another error is %v", err)
		}
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if took, err := call(r1, eveID, "slow"); err != nil || took < 400*time.Millisecond {
					t.Errorf("a slow answer: %v after %v", err, took)
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		if took, err := call(r1, annID, "yes"); err != nil || took > 200*time.Millisecond {
			t.Errorf("beside slow answers: %v after %v", err, took)
		}
		wg.Wait()
		for _, q := range at.asked {
			far := q.Peer == other.Self()
			if q.Room != room.ID() || q.RoomName != "talk" || q.Action != engine.ActionSpeak || q.Participant == "" || q.Peer != "" && !far {
				t.Errorf("it was asked %+v", q)
			}
		}
		if hub.Engine.Counters()["policy_denied_total"] != 4 {
			t.Errorf("%d were refused", hub.Engine.Counters()["policy_denied_total"])
		}
	})
}
