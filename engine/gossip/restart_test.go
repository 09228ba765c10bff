package gossip

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// A peer that was stopped, or killed, is started again with the same key at the same or another address.
func TestRestartWithTheSameKey(t *testing.T) {
	tests := []struct {
		name   string
		killed bool
		host   int  // where it starts again
		joined bool // the other side dialled
	}{
		{"stopped", false, 2, false},
		{"stopped, dialled", false, 2, true},
		{"killed", true, 2, false},
		{"killed, dialled", true, 2, true},
		{"killed, elsewhere", true, 3, false},
		{"killed, dialled, elsewhere", true, 3, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := newLab(t)
				a, b := net.start(1, 1, nil), net.start(2, 2, nil)
				for _, x := range []*node{a, b} {
					if err := x.Join(testTopic); err != nil {
						t.Fatal(err)
					}
				}
				if tt.joined {
					a.connect(t, b)
				} else {
					b.connect(t, a)
				}
				time.Sleep(3 * time.Second)
				if tt.killed {
					b.dead.Store(true)
				} else {
					b.Close()
				}
				time.Sleep(100 * time.Millisecond)
				again := net.start(2, tt.host, nil)
				defer net.close(a, b, again)
				if err := again.Join(testTopic); err != nil {
					t.Fatal(err)
				}
				again.connect(t, a)
				time.Sleep(6 * time.Second) // to find out that the first connection is dead, and make the second again
				if err := a.Send(t.Context(), b.id, []byte("still there?")); err != nil {
					t.Error(err)
				}
				if answer, err := a.Request(t.Context(), b.id, []byte("x")); err != nil || string(answer) != "re x" {
					t.Errorf("Request = %q, %v", answer, err)
				}
				a.Publish(t.Context(), testTopic, []byte("to b"))
				again.Publish(t.Context(), testTopic, []byte("to a"))
				time.Sleep(time.Second)
				messages, gossip, _ := again.got()
				if len(messages) != 1 {
					t.Errorf("messages = %q", messages)
				}
				if count(gossip, testTopic+" to b") != 1 {
					t.Errorf("gossip of the restarted peer = %q", gossip)
				}
				if _, gossip, _ = a.got(); count(gossip, testTopic+" to a") != 1 {
					t.Errorf("gossip of the other = %q", gossip)
				}
				_, _, presence := a.got()
				for i, p := range presence {
					if want := []string{"up ", "down "}[i%2] + b.id.String(); p != want {
						t.Errorf("presence = %q", presence)
						break
					}
				}
				if len(presence)%2 != 1 {
					t.Errorf("presence = %q", presence)
				}
			})
		})
	}
}

// Whoever dialled, a killed peer is missed within 16 s by both sides.
func TestKilledPeerIsMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newLab(t)
		a, b := net.start(1, 1, nil), net.start(2, 2, nil)
		defer net.close(a, b)
		a.connect(t, b)
		time.Sleep(60 * time.Second)
		if got := a.Stats().DeadConnections + b.Stats().DeadConnections; got != 0 || len(a.Connected()) != 1 {
			t.Errorf("%d healthy connections were closed", got)
		}
		a.dead.Store(true) // both fall silent
		time.Sleep(aliveSilence + time.Second)
		for _, x := range []*node{a, b} {
			if _, _, presence := x.got(); len(presence) != 2 || presence[1][:4] != "down" {
				t.Errorf("presence = %q", presence)
			}
			if x.Stats().DeadConnections != 1 {
				t.Errorf("%+v", x.Stats())
			}
		}
	})
}

// A request that times out makes the connection suspect at once.
func TestTimeoutFindsDeadConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newLab(t)
		a, b := net.start(1, 1, nil), net.start(2, 2, nil)
		defer net.close(a, b)
		b.connect(t, a)
		time.Sleep(6 * time.Second)
		b.dead.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := a.Request(ctx, b.id, []byte("x")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Request: %v", err)
		}
		time.Sleep(probeTimeout + 100*time.Millisecond)
		if len(a.Connected()) != 0 {
			t.Error("still connected")
		}
	})
}

func TestManyProbesOfOnePeerAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newLab(t)
		a, b := net.start(1, 1, nil), net.start(2, 2, nil)
		defer net.close(a, b)
		a.connect(t, b)
		for range 20 {
			s, err := openAlive(t.Context(), a.host.Network().ConnsToPeer(b.id)[0])
			if err == nil {
				s.Write([]byte{0})
			}
		}
		time.Sleep(time.Second)
		if got := b.Stats().Busy; got != 20-maxAlive {
			t.Errorf("refused %d", got)
		}
		time.Sleep(time.Minute)
		if len(a.Connected()) != 1 {
			t.Error("silent probes ended the connection")
		}
	})
}

func TestPresenceAlternates(t *testing.T) {
	e := newPresence()
	id := peer.ID("x")
	var told []string
	drain := func() {
		for {
			_, down, up, ok := e.next()
			if !ok {
				return
			}
			if down {
				told = append(told, "down")
			}
			if up {
				told = append(told, "up")
			}
		}
	}
	set := func(n int) { // as opened and closed do, without connections
		e.mu.Lock()
		defer e.mu.Unlock()
		if n == 0 {
			delete(e.count, id)
			e.gone[id] = true
		} else {
			e.count[id] = n
		}
		e.enqueueLocked(id)
	}
	set(1)
	drain()
	set(0)
	set(1) // back before anyone was told
	drain()
	set(0)
	drain()
	set(1)
	set(0) // gone before anyone was told
	drain()
	set(1)
	set(1)
	drain()
	if want := []string{"up", "down", "up", "down", "up"}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
	set(0)
	drain()
	if len(e.count)+len(e.told)+len(e.gone)+len(e.waiting)+len(e.queue) != 0 {
		t.Errorf("left behind: %+v", e)
	}
}
