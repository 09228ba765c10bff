// Package canary notices at once that the process of a peer has ended. Media and control run over UDP, where nothing tells of a
// crash until a timer does; but whoever's process ends, for whatever reason, has its TCP connections closed by the operating
// system. So a child keeps one idle TCP connection to its parent, to the number of the port that media uses.
//
// The end of a connection is a hint and no proof: a middlebox may have ended it. It is authenticated no further than that the
// parent names itself, because all that follows from the end is that another peer is asked for media early. What
// cannot be reached by TCP has no canary. A machine that loses power or network says nothing either; silence tells of those.
//
// Who listens reads nothing and writes its id once. It holds at most maxConns connections, and maxFrom of one address; more are
// closed at once. All methods are safe for concurrent use.
package canary

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	maxConns = 256
	maxFrom  = 64
	patience = 2 * time.Second // to connect, and to be greeted
)

// Canary holds connections from children and to parents.
type Canary struct {
	// constant
	self     peer.ID
	listener net.Listener // nil: nobody can watch this peer
	ctx      context.Context
	cancel   context.CancelFunc
	work     sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]netip.Addr // accepted
	from  map[netip.Addr]int
}

// New listens on the TCP port, which is that of media. Where it is taken this peer cannot be watched, but can watch others.
func New(self peer.ID, port int) *Canary {
	c := &Canary{self: self, conns: make(map[net.Conn]netip.Addr), from: make(map[netip.Addr]int)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if l, err := net.Listen("tcp", ":"+strconv.Itoa(port)); err == nil {
		c.listener = l
		c.work.Go(c.accept)
	}
	return c
}

// Listening reports whether others can watch this peer.
func (c *Canary) Listening() bool { return c.listener != nil }

func (c *Canary) accept() {
	for {
		conn, err := c.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // no file descriptors are left, perhaps
			select {
			case <-c.ctx.Done():
				return
			case <-time.After(time.Second):
			}
			continue
		}
		if !c.admit(conn) {
			_ = conn.Close()
			continue
		}
		c.work.Go(func() {
			defer c.dismiss(conn)
			_ = conn.SetWriteDeadline(time.Now().Add(patience))
			if _, err := conn.Write(append([]byte{byte(len(c.self))}, c.self...)); err == nil {
				_, _ = conn.Read(make([]byte, 1)) // nobody says anything: it is the end
			}
		})
	}
}

func (c *Canary) admit(conn net.Conn) bool {
	var addr netip.Addr
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		addr = a.AddrPort().Addr().Unmap()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil || len(c.conns) >= maxConns || c.from[addr] >= maxFrom {
		return false
	}
	c.conns[conn] = addr
	c.from[addr]++
	return true
}

func (c *Canary) dismiss(conn net.Conn) {
	_ = conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	addr := c.conns[conn]
	delete(c.conns, conn)
	if c.from[addr]--; c.from[addr] == 0 {
		delete(c.from, addr)
	}
}

// Watch connects to the peer, whose media comes from the UDP address at, and calls broken if the connection ends before stop is
// called: at most once, and never if the peer cannot be reached or is another.
func (c *Canary) Watch(id peer.ID, at string, broken func()) (stop func()) {
	ctx, cancel := context.WithCancel(c.ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() == nil {
		c.work.Go(func() {
			defer cancel()
			if watch(ctx, id, at) && ctx.Err() == nil {
				broken()
			}
		})
	}
	return cancel
}

// watch returns when the connection has ended, true if there was one that was good.
func watch(ctx context.Context, id peer.ID, at string) bool {
	dialer := net.Dialer{Timeout: patience}
	conn, err := dialer.DialContext(ctx, "tcp", at)
	if err != nil {
		return false
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	greeting := make([]byte, 1+len(id))
	if _, err := io.ReadFull(conn, greeting); err != nil || int(greeting[0]) != len(id) || peer.ID(greeting[1:]) != id {
		return false
	}
	_ = conn.SetReadDeadline(time.Time{})
	n, err := conn.Read(greeting[:1])
	return n == 0 && err != nil
}

// Close ends all connections and waits.
func (c *Canary) Close() error {
	c.mu.Lock()
	c.cancel()
	for conn := range c.conns {
		_ = conn.Close()
	}
	c.mu.Unlock()
	if c.listener != nil {
		_ = c.listener.Close()
	}
	c.work.Wait()
	return nil
}
