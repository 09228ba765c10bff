package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine"
)

// pipes is a listener in memory, for real servers inside synctest bubbles.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8470} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// serving runs f with a Gateway that serves in memory.
func serving(t *testing.T, f func(b *bench, l *pipes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		l := newPipes()
		done := make(chan error, 1)
		go func() { done <- b.gateway.Serve(context.Background(), l) }()
		f(b, l)
		if err := b.gateway.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestSlowBody(t *testing.T) {
	serving(t, func(_ *bench, l *pipes) {
		c := l.dial()
		defer c.Close()
		start := time.Now()
		fmt.Fprintf(c, "POST /whep/lobby HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/sdp\r\nContent-Length: 5000\r\n\r\nv=0", viewer)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 408 || !resp.Close || time.Since(start) > bodyTime+time.Second {
			t.Errorf("status %d after %s, close %v", resp.StatusCode, time.Since(start), resp.Close)
		}
	})
}

func TestSlowHeader(t *testing.T) {
	serving(t, func(_ *bench, l *pipes) {
		c := l.dial()
		defer c.Close()
		start := time.Now()
		fmt.Fprint(c, "POST /whep/lobby HTTP/1.1\r\nHost: local")
		rest, _ := io.ReadAll(c)
		if took := time.Since(start); took > headerTime+time.Second {
			t.Errorf("held on for %s, then %q", took, rest)
		}
	})
}

// TestSlowAnswer: a handler may take longer than reading a request may.
func TestSlowAnswer(t *testing.T) {
	serving(t, func(b *bench, l *pipes) {
		b.gateway.config.Service = slowService{b.service}
		c := l.dial()
		defer c.Close()
		body := `{"room":"garden","wait_ms":60000}`
		fmt.Fprintf(c, "POST /api/v1/rooms HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", admin, len(body), body)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 201 {
			t.Errorf("status %d", resp.StatusCode)
		}
	})
}

type slowService struct{ *fakeService }

func (s slowService) AddRoom(ctx context.Context, spec engine.RoomSpec) (engine.RoomInfo, error) {
	select {
	case <-time.After(50 * time.Second):
		return s.fakeService.AddRoom(ctx, spec)
	case <-ctx.Done():
		return engine.RoomInfo{}, ctx.Err()
	}
}

// stream opens a stream of events and returns its lines.
func stream(t *testing.T, l *pipes, query, token string) (lines chan string, c net.Conn) {
	t.Helper()
	c = l.dial()
	fmt.Fprintf(c, "GET /api/v1/events%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", query, token)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("status %d %v", resp.StatusCode, resp.Header)
	}
	lines = make(chan string, 64)
	go func() {
		defer close(lines)
		s := bufio.NewScanner(resp.Body)
		for s.Scan() {
			if s.Text() != "" && !strings.HasPrefix(s.Text(), "id: ") {
				lines <- s.Text()
			}
		}
	}()
	if first := <-lines; first != ": castd" {
		t.Errorf("begins with %q", first)
	}
	return lines, c
}

func TestEvents(t *testing.T) {
	serving(t, func(b *bench, l *pipes) {
		lines, c := stream(t, l, "?stats=1s", admin)
		defer c.Close()
		if b.service.stats != time.Second {
			t.Errorf("stats %s", b.service.stats)
		}
		b.service.events <- engine.Event{Event: "joined", Time: "now", Room: string(lobby)}
		if got, want := <-lines, `data: {"event":"joined","time":"now","room":"`+string(lobby)+`"}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		// Quiet streams are kept open, far beyond the times that requests have.
		start := time.Now()
		for range 20 {
			if got := <-lines; got != ":" {
				t.Fatalf("got %q", got)
			}
		}
		if took := time.Since(start); took != 20*keepAlive {
			t.Errorf("20 comments took %s", took)
		}
		b.service.events <- engine.Event{Event: "left", Room: string(attic)}
		if got := <-lines; !strings.Contains(got, "left") {
			t.Errorf("got %q", got)
		}
		b.gateway.close()
		if got, more := <-lines; more {
			t.Errorf("got %q after the end", got)
		}
	})
}

func TestEventsOfOneRoom(t *testing.T) {
	for _, tt := range []struct{ query, token string }{{"", viewer}, {"?room=lobby", viewer}, {"?room=LOBBY", admin}, {"?room=" + string(lobby), admin}} {
		serving(t, func(b *bench, l *pipes) {
			lines, c := stream(t, l, tt.query, tt.token)
			defer c.Close()
			b.service.events <- engine.Event{Event: "peer"}
			b.service.events <- engine.Event{Event: "peer", Room: string(attic)}
			b.service.events <- engine.Event{Event: "left", Room: string(lobby)}
			if got := <-lines; !strings.Contains(got, "left") {
				t.Errorf("%q with %s: got %q", tt.query, tt.token, got)
			}
		})
	}
}

func TestEventsRefused(t *testing.T) {
	b := newBench(t)
	for _, tt := range []struct {
		query, token string
		want         int
	}{
		{"?room=attic", viewer, 403},
		{"?room=cellar", admin, 404},
		{"?room=twin", admin, 409},
		{"?stats=often", admin, 400},
		{"?stats=1ms", admin, 400},
		{"?stats=-1s", admin, 400},
		{"?stats=1000h", admin, 400},
	} {
		if w := b.do(call{method: "GET", path: "/api/v1/events" + tt.query, token: tt.token}); w.Code != tt.want {
			t.Errorf("%q with %s: %d, want %d", tt.query, tt.token, w.Code, tt.want)
		}
	}
}

func TestEventStreamsAreBounded(t *testing.T) {
	l := newLimits()
	c := caller{remote: "192.0.2.1:1"}
	var last func()
	for range callerStream {
		var ok bool
		if last, ok = l.openStream(c); !ok {
			t.Fatal("refused too early")
		}
	}
	if _, ok := l.openStream(c); ok {
		t.Error("no bound")
	}
	last()
	last() // once counts
	if _, ok := l.openStream(c); !ok {
		t.Error("a place was not given back")
	}
	if _, ok := l.openStream(c); ok {
		t.Error("a place was given back twice")
	}
	for i := range maxStreams {
		l.openStream(caller{remote: fmt.Sprintf("192.0.3.%d:1", i/callerStream)})
	}
	if _, ok := l.openStream(caller{remote: "192.0.4.1:1"}); ok {
		t.Error("no bound in all")
	}
	admin := caller{remote: "192.0.4.1:1"}
	admin.access.Admin = true
	if _, ok := l.openStream(admin); !ok {
		t.Error("the administrator is shut out")
	}
}

func TestEventsEndWithTheirToken(t *testing.T) {
	serving(t, func(b *bench, l *pipes) {
		lines, c := stream(t, l, "", viewer)
		defer c.Close()
		b.service.mu.Lock()
		delete(b.service.tokens, viewer)
		b.service.mu.Unlock()
		start := time.Now()
		for range lines {
		}
		if took := time.Since(start); took > checkExpires+time.Second {
			t.Errorf("ended after %s", took)
		}
	})
}

// TestEventsReaderStops: a reader that takes nothing does not hold the stream forever.
func TestEventsReaderStops(t *testing.T) {
	serving(t, func(b *bench, l *pipes) {
		c := l.dial()
		defer c.Close()
		fmt.Fprintf(c, "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", admin)
		time.Sleep(eventTime + time.Second)
		synctest.Wait()
		b.gateway.limits.mu.Lock()
		defer b.gateway.limits.mu.Unlock()
		if n := b.gateway.limits.open; n != 0 {
			t.Errorf("%d streams are open", n)
		}
	})
}

func TestServeEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		l := newPipes()
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- b.gateway.Serve(ctx, l) }()
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := b.gateway.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := b.gateway.Serve(context.Background(), newPipes()); err != engine.ErrClosed { //nolint:errorlint // it is that one
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestServeLocal(t *testing.T) {
	b := newBench(t)
	if err := b.gateway.ServeLocal(t.Context(), newPipes()); err == nil {
		t.Error("TCP is served without tokens")
	}
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- b.gateway.ServeLocal(ctx, l) }()
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://localhost/api/v1/status")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("status %d", resp.StatusCode)
	}
	client.CloseIdleConnections()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
