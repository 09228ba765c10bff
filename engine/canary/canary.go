// Package canary notices at once that the process of a peer has ended. Media and control run over UDP, where nothing tells of a
// crash until a timer does; but whoever's process ends, for whatever reason, has its TCP connections closed by the operating
// system. So a child keeps one idle TCP connection to its parent, to the number of the port that media uses, and where the parent
// cannot be reached by TCP but the child can, the parent opens it. Between two of whom neither can be reached there is none.
//
// The end of a connection is a hint and no proof: a middlebox may have ended it. It is authenticated no further than that both
// name themselves, and that who was connected to is where media comes from, because all that follows from the end is that
// another peer is asked for media early. A machine that loses power or network says nothing; silence tells of those.
//
// Each end writes its id, one octet with the length before it, and nothing more but farewell where the one that connected needs the
// connection no longer. A peer accepts at most maxConns connections, and maxFrom of one address; more are closed at once. All methods
// are safe for concurrent use.
package canary

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	maxConns = 256
	maxFrom  = 64
	patience = 2 * time.Second // to connect, and to be greeted
	// showAfter is how long a parent waits for the child's connection before it opens one itself.
	showAfter = time.Second
	farewell  = 'b'
)

// Canary holds connections from children and to parents, and the other way round.
type Canary struct {
	// constant
	self     peer.ID
	listener net.Listener // nil: nobody can watch this peer
	ctx      context.Context
	cancel   context.CancelFunc
	work     sync.WaitGroup

	mu      sync.Mutex
	conns   map[net.Conn]netip.Addr // accepted
	from    map[netip.Addr]int
	greeted map[peer.ID]int // accepted connections of those who have named themselves
	watches map[peer.ID][]*watch
}

// watch is somebody who wants to know when a peer ends.
type watch struct {
	host   netip.Addr // that media comes from
	broken func()
}

// New listens on the TCP port, which is that of media. Where it is taken this peer cannot be connected to, but can connect to others.
func New(self peer.ID, port int) *Canary {
	c := &Canary{
		self: self, conns: make(map[net.Conn]netip.Addr), from: make(map[netip.Addr]int),
		greeted: make(map[peer.ID]int), watches: make(map[peer.ID][]*watch),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if l, err := net.Listen("tcp", ":"+strconv.Itoa(port)); err == nil {
		c.listener = l
		c.work.Go(c.accept)
	}
	return c
}

// Listening reports whether others can connect to this peer.
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
			id, ok := c.greet(conn)
			if !ok {
				return
			}
			c.count(id, 1)
			defer c.count(id, -1)
			if crashed(conn) {
				c.broken(id, host(conn))
			}
		})
	}
}

// greet exchanges names.
func (c *Canary) greet(conn net.Conn) (peer.ID, bool) {
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write(append([]byte{byte(len(c.self))}, c.self...)); err != nil {
		return "", false
	}
	var length [1]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil || length[0] == 0 {
		return "", false
	}
	name := make([]byte, length[0])
	if _, err := io.ReadFull(conn, name); err != nil {
		return "", false
	}
	_ = conn.SetDeadline(time.Time{})
	return peer.ID(name), true
}

// crashed returns when the connection has ended, and whether it did so without a farewell.
func crashed(conn net.Conn) bool {
	n, err := conn.Read(make([]byte, 1))
	return n == 0 && err != nil
}

func host(conn net.Conn) netip.Addr {
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

func (c *Canary) admit(conn net.Conn) bool {
	addr := host(conn)
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

func (c *Canary) count(id peer.ID, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.greeted[id] += n; c.greeted[id] == 0 {
		delete(c.greeted, id)
	}
}

// broken tells those who watch the peer at this host, once, unless it is this peer that ends.
func (c *Canary) broken(id peer.ID, at netip.Addr) {
	c.mu.Lock()
	var told []*watch
	if c.ctx.Err() == nil {
		c.watches[id] = slices.DeleteFunc(c.watches[id], func(w *watch) bool {
			if w.host == at {
				told = append(told, w)
			}
			return w.host == at
		})
		if len(c.watches[id]) == 0 {
			delete(c.watches, id)
		}
	}
	c.mu.Unlock()
	for _, w := range told {
		w.broken()
	}
}

// Watch connects to the peer, whose media comes from the UDP address at, and calls broken if that connection, or one that the peer
// has opened, ends before stop is called: at most once, and never if there is none or the peer is another.
func (c *Canary) Watch(id peer.ID, at string, broken func()) (stop func()) {
	return c.watch(id, at, broken, func(ctx context.Context) { c.connect(ctx, id, at) })
}

// watch runs connect and has broken called when a connection with the peer breaks.
func (c *Canary) watch(id peer.ID, at string, broken func(), connect func(context.Context)) (stop func()) {
	addr, err := netip.ParseAddrPort(at)
	if err != nil {
		return func() {}
	}
	w := &watch{host: addr.Addr().Unmap(), broken: broken}
	ctx, cancel := context.WithCancel(c.ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() == nil {
		c.watches[id] = append(c.watches[id], w)
		c.work.Go(func() { connect(ctx) })
	}
	return func() {
		cancel()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.watches[id] = slices.DeleteFunc(c.watches[id], func(o *watch) bool { return o == w }); len(c.watches[id]) == 0 {
			delete(c.watches, id)
		}
	}
}

// Show gives a child, whose media goes to the UDP address at, a connection to watch this peer by, unless it comes by itself. broken is
// called as by Watch.
func (c *Canary) Show(id peer.ID, at string, broken func()) (stop func()) {
	return c.watch(id, at, broken, func(ctx context.Context) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(showAfter):
		}
		c.mu.Lock()
		there := c.greeted[id] > 0
		c.mu.Unlock()
		if !there {
			c.connect(ctx, id, at)
		}
	})
}

// connect opens a connection to the peer and keeps it until ctx ends, then with a farewell, or it breaks.
func (c *Canary) connect(ctx context.Context, id peer.ID, at string) {
	dialer := net.Dialer{Timeout: patience}
	conn, err := dialer.DialContext(ctx, "tcp", at)
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() {
		if c.ctx.Err() == nil { // the process goes on
			_ = conn.SetWriteDeadline(time.Now().Add(patience))
			_, _ = conn.Write([]byte{farewell})
		}
		_ = conn.Close()
	})()
	if who, ok := c.greet(conn); !ok || who != id {
		return
	}
	if crashed(conn) && ctx.Err() == nil {
		c.broken(id, host(conn))
	}
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
