package plugins

import (
	"context"
	"net"
	"sync"
	"time"
)

// pace says when what may come only so often may come: burst of it at once, and then one in each gap. It is a value: its owner passes the time.
type pace struct {
	gap   time.Duration
	burst int
	next  time.Time // when it would come if there were no bursts
}

// wait notes one more, and returns how long it has to wait.
func (p *pace) wait(now time.Time) time.Duration {
	if p.next.Before(now) {
		p.next = now
	}
	p.next = p.next.Add(p.gap)
	return max(0, p.next.Sub(now)-p.gap*time.Duration(p.burst))
}

// pause waits until a time has passed or ctx has ended.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// maxConnections is how many a plugin may have to castd.
const maxConnections = 4

// fewConnections accepts no more than that at a time.
func fewConnections(l net.Listener) net.Listener {
	return &fewListener{Listener: l, used: make(chan struct{}, maxConnections)}
}

type fewListener struct {
	net.Listener
	used chan struct{}
}

func (l *fewListener) Accept() (net.Conn, error) {
	l.used <- struct{}{} // whoever closes the listener closes all connections as well, so that this ends
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.used
		return nil, err
	}
	return &fewConn{Conn: c, done: sync.OnceFunc(func() { <-l.used })}, nil
}

type fewConn struct {
	net.Conn
	done func()
}

func (c *fewConn) Close() error {
	defer c.done()
	return c.Conn.Close()
}
