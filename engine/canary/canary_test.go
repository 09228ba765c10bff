package canary

import (
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

const generous = 5 * time.Second

func pair(t *testing.T) (parent, child *Canary, at string) {
	t.Helper()
	parent, child = New("parent", 0), New("child", 0)
	if !parent.Listening() {
		t.Fatal("cannot listen")
	}
	t.Cleanup(func() { _ = parent.Close(); _ = child.Close() })
	return parent, child, "127.0.0.1:" + strconv.Itoa(parent.listener.Addr().(*net.TCPAddr).Port)
}

func (c *Canary) held() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.conns)
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(generous); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not %s", what)
		}
	}
}

func TestBroken(t *testing.T) {
	parent, child, at := pair(t)
	broken := make(chan struct{})
	child.Watch("parent", at, func() { close(broken) })
	eventually(t, "connected", func() bool { return parent.held() == 1 })
	time.Sleep(20 * time.Millisecond) // the greeting is on its way
	_ = parent.Close()
	select {
	case <-broken:
	case <-time.After(generous):
		t.Error("nothing is told")
	}
}

// A child that cannot connect to its parent has it told by the connection that the parent opens.
func TestShown(t *testing.T) {
	child, parent, at := pair(t) // with the roles changed: "parent" listens
	broken := make(chan struct{})
	child.Watch("child", "127.0.0.1:1", func() { close(broken) })
	parent.Show("parent", at, func() {})
	eventually(t, "connected", func() bool { child.mu.Lock(); defer child.mu.Unlock(); return child.greeted["child"] == 1 })
	_ = parent.Close()
	select {
	case <-broken:
	case <-time.After(generous):
		t.Error("nothing is told")
	}
}

// The parent has it told when a child ends that has connected to it.
func TestChildEnds(t *testing.T) {
	parent, child, at := pair(t)
	broken := make(chan struct{})
	parent.Show("child", "127.0.0.1:1", func() { close(broken) })
	child.Watch("parent", at, func() {})
	eventually(t, "connected", func() bool { parent.mu.Lock(); defer parent.mu.Unlock(); return parent.greeted["child"] == 1 })
	_ = child.Close()
	select {
	case <-broken:
	case <-time.After(generous):
		t.Error("nothing is told")
	}
}

// A connection that is needed no longer says nothing of its process, nor does one from elsewhere or in another's name.
func TestShownInVain(t *testing.T) {
	for _, c := range []struct {
		name, id, host string
		stop           bool
	}{{"farewell", "child", "127.0.0.1:1", true}, {"another host", "child", "127.0.0.2:1", false}, {"another name", "other", "127.0.0.1:1", false}} {
		t.Run(c.name, func(t *testing.T) {
			child, parent, at := pair(t)
			told := make(chan struct{}, 1)
			child.Watch(peer.ID(c.id), c.host, func() { told <- struct{}{} })
			stop := parent.Show("parent", at, func() {})
			eventually(t, "connected", func() bool { return child.held() == 1 })
			time.Sleep(20 * time.Millisecond)
			if c.stop {
				stop()
			} else {
				_ = parent.Close()
			}
			eventually(t, "gone", func() bool { return child.held() == 0 })
			_ = child.Close() // waits
			select {
			case <-told:
				t.Error("something is told")
			default:
			}
		})
	}
}

// A parent whose child has connected opens no connection of its own.
func TestShownOnce(t *testing.T) {
	parent, child, at := pair(t)
	child.Watch("parent", at, func() {})
	eventually(t, "connected", func() bool { return parent.held() == 1 })
	parent.Show("child", "127.0.0.1:"+strconv.Itoa(child.listener.Addr().(*net.TCPAddr).Port), func() {})
	time.Sleep(showAfter + 200*time.Millisecond)
	if n := child.held(); n != 0 {
		t.Errorf("%d connections to the child", n)
	}
}

func TestNothingIsTold(t *testing.T) {
	for _, c := range []struct {
		name string
		id   peer.ID
		stop bool
	}{{"once it is stopped", "parent", true}, {"of another peer", "other!", false}, {"of a peer with a longer id", "parent of others", false}} {
		t.Run(c.name, func(t *testing.T) {
			parent, child, at := pair(t)
			told := make(chan struct{}, 1)
			stop := child.Watch(c.id, at, func() { told <- struct{}{} })
			if c.stop {
				eventually(t, "connected", func() bool { return parent.held() == 1 })
				time.Sleep(20 * time.Millisecond)
				stop()
				eventually(t, "closed", func() bool { return parent.held() == 0 })
			}
			_ = parent.Close()
			_ = child.Close() // waits
			select {
			case <-told:
				t.Error("something is told")
			default:
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	c := New("child", 0)
	c.Watch("parent", "127.0.0.1:1", func() { t.Error("broken") })
	c.Watch("parent", "", func() { t.Error("broken") })
	_ = c.Close()
}

// One address may hold so many connections and no more, and each that goes makes room.
func TestBounds(t *testing.T) {
	parent, _, at := pair(t)
	var conns []net.Conn
	for range maxFrom + 8 {
		conn, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	eventually(t, "full", func() bool { return parent.held() == maxFrom })
	for _, c := range conns {
		_ = c.Close()
	}
	eventually(t, "empty", func() bool { return parent.held() == 0 })
}
