package plugins

import (
	"context"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/plugins/sdk/protocol"
)

func TestPace(t *testing.T) {
	p := pace{gap: 100 * time.Millisecond, burst: 3}
	now := time.Unix(1000, 0)
	var got []time.Duration
	for range 5 {
		got = append(got, p.wait(now))
	}
	if want := []time.Duration{0, 0, 0, 100 * time.Millisecond, 200 * time.Millisecond}; !slices.Equal(got, want) {
		t.Errorf("at once: %v, want %v", got, want)
	}
	now = now.Add(300 * time.Millisecond)
	if got := []time.Duration{p.wait(now), p.wait(now)}; got[0] != 0 || got[1] != 100*time.Millisecond {
		t.Errorf("after some time: %v", got)
	}
	now = now.Add(time.Hour)
	for i := range 4 {
		if got := p.wait(now); (got == 0) != (i < 3) {
			t.Errorf("after an hour, number %d waits %v", i, got)
		}
	}
}

// flood calls a method from 100 goroutines for 10 s, and returns how many calls were served.
func flood(t *testing.T, s *hostService, method string) int64 {
	ctx, cancel := context.WithTimeout(metadata.NewIncomingContext(t.Context(), metadata.Pairs(protocol.TokenKey, s.token)), 10*time.Second)
	defer cancel()
	var served atomic.Int64
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			for ctx.Err() == nil {
				_, _ = s.check(ctx, nil, &grpc.UnaryServerInfo{FullMethod: method}, func(context.Context, any) (any, error) {
					served.Add(1)
					return nil, nil
				})
			}
		})
	}
	all.Wait()
	return served.Load()
}

// TestFloodOfCalls: what a plugin asks for costs castd so much and no more.
func TestFloodOfCalls(t *testing.T) {
	for method, most := range map[string]int64{
		protocol.Host_Get_FullMethodName: 1200, protocol.Host_Log_FullMethodName: 600, protocol.Host_Put_FullMethodName: 210, protocol.Host_Delete_FullMethodName: 210,
		protocol.Host_Publish_FullMethodName: 80,
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newHostService("flood", []string{permissionSend})
			if n := flood(t, s, method); n > most || n < most/2 {
				t.Errorf("%s: %d calls in 10 s, want about %d", method, n, most)
			}
		})
	}
}

// TestFloodOfBadTokens: who guesses does so slowly.
func TestFloodOfBadTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newHostService("flood", nil)
		began, tries := time.Now(), 0
		for ; time.Since(began) < 10*time.Second; tries++ {
			if _, err := s.check(t.Context(), nil, &grpc.UnaryServerInfo{}, nil); err == nil {
				t.Fatal("let in without a token")
			}
		}
		if tries > 1200 {
			t.Errorf("%d tries in 10 s", tries)
		}
	})
}

// fakeListener accepts for ever.
type fakeListener struct{ accepted atomic.Int64 }

func (l *fakeListener) Accept() (net.Conn, error) {
	l.accepted.Add(1)
	a, _ := net.Pipe()
	return a, nil
}
func (l *fakeListener) Close() error   { return nil }
func (l *fakeListener) Addr() net.Addr { return nil }

func TestFewConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := &fakeListener{}
		l := fewConnections(all)
		conns := make(chan net.Conn, 100)
		go func() {
			for range maxConnections + 1 {
				c, _ := l.Accept()
				conns <- c
			}
		}()
		synctest.Wait()
		if n := all.accepted.Load(); n != maxConnections {
			t.Fatalf("%d connections at a time", n)
		}
		c := <-conns
		c.Close()
		c.Close()
		synctest.Wait()
		if n := all.accepted.Load(); n != maxConnections+1 {
			t.Errorf("%d connections after one was closed", n)
		}
	})
}

// fakeStream is a call of Attend: the plugin's side says what say returns, and takes so many messages.
type fakeStream struct {
	grpc.ClientStream
	ctx    context.Context
	say    func() ([]byte, error)
	takes  int
	closed bool
}

func (s *fakeStream) NewStream(ctx context.Context, _ *grpc.StreamDesc, _ string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	s.ctx = ctx
	return s, nil
}

func (s *fakeStream) Invoke(context.Context, string, any, any, ...grpc.CallOption) error { return nil }

func (s *fakeStream) SendMsg(any) error {
	if s.takes--; s.takes < 0 {
		<-s.ctx.Done()
		return io.EOF
	}
	return s.ctx.Err()
}

func (s *fakeStream) RecvMsg(m any) error {
	if s.say != nil {
		b, err := s.say()
		m.(*protocol.Frame).Bytes = b
		if err != nil || s.ctx.Err() == nil {
			return err
		}
	}
	<-s.ctx.Done()
	return s.ctx.Err()
}

func (s *fakeStream) CloseSend() error { return nil }

func testAttendance(m engine.Media) *attendance {
	service := newHostService("test", []string{permissionAudio, permissionVideo})
	service.refused = func(string) {}
	return newAttendance(m, engine.RoomInfo{Room: string(m.ID())}, service, new(counters), slog.New(slog.DiscardHandler), new(buffers))
}

// countingMedia is a room that counts who begins to listen.
type countingMedia struct {
	kitRoom
	subscriptions atomic.Int64
}

func (m *countingMedia) Subscribe(s engine.Sink, o engine.SinkOptions) (engine.Subscription, error) {
	m.subscriptions.Add(1)
	return m.kitRoom.Subscribe(s, o)
}

// TestFloodOfMessages: a plugin that talks without end is listened to at a pace, and what it wants of a room changes now and then.
func TestFloodOfMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// What it wants is another thing every 0.4 s.
		messages := make([][]byte, 2)
		for i := range messages {
			want := protocol.Want{Audio: protocol.Payload_PAYLOAD_OPUS, Video: protocol.Payload(i), Backlog: true}
			var err error
			if messages[i], err = protocol.Append(nil, &protocol.FromPlugin{Want: &want}); err != nil {
				t.Fatal(err)
			}
		}
		m := &countingMedia{}
		said := 0
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		stream := &fakeStream{takes: 1 << 30, say: func() ([]byte, error) {
			if said++; said > 1e6 {
				return nil, io.EOF
			}
			return messages[said/2000%2], nil
		}}
		_ = testAttendance(m).run(ctx, ctx, stream) // until the time is over
		if said > 60_000 || said < 30_000 {
			t.Errorf("%d messages were taken in 10 s", said)
		}
		if n := m.subscriptions.Load(); n > 30 || n < 10 {
			t.Errorf("what it wants changed %d times in 10 s", n)
		}
	})
}

// TestStuckInSending: a plugin that does not read is stuck, also when what is on its way to it fills the connection before it owes 25
// acknowledgements.
func TestStuckInSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := testAttendance(&kitRoom{})
		stream := &fakeStream{takes: 3}
		end := make(chan error, 1)
		began := time.Now()
		go func() { end <- a.run(t.Context(), t.Context(), stream) }()
		for range 10 {
			a.tell(&protocol.Event{Event: "something", Json: []byte("{}")})
			time.Sleep(time.Second)
		}
		err := <-end
		if took := time.Since(began); err == nil || !strings.Contains(err.Error(), errStuck.Error()) || took > 3*stuckTime {
			t.Errorf("%v after %v", err, took)
		}
	})
}
