package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// get opens a stream of events with further headers and returns the response.
func get(t *testing.T, l *pipes, query, token string, headers ...string) (*http.Response, net.Conn) {
	t.Helper()
	c := l.dial()
	head := strings.Join(append(headers, ""), "\r\n")
	fmt.Fprintf(c, "GET /api/v1/events%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n%s\r\n", query, token, head)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp, c
}

// TestEventsSnapshot: who has missed something, or asks for it, begins with what is now.
func TestEventsSnapshot(t *testing.T) {
	for _, tt := range []struct {
		name, query, header, token string
		want                       string // events, by room
	}{
		{"neither", "", "", admin, ""},
		{"asked", "?snapshot=true", "", admin, "parent stream"},
		{"came back", "", "Last-Event-ID: 17", admin, "parent stream"},
		{"came back to less", "?snapshot=false", "Last-Event-ID: 17", admin, ""},
		{"guest", "?snapshot=1", "", viewer, "parent stream"},
		{"other room", "?snapshot=1", "", twin, "parent"},
		{"one room", "?snapshot=1&room=lobby", "", admin, "parent stream"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			serving(t, func(b *bench, l *pipes) {
				b.gateway.config.Service = snapshotService{b.service}
				var headers []string
				if tt.header != "" {
					headers = append(headers, tt.header)
				}
				resp, c := get(t, l, tt.query, tt.token, headers...)
				defer c.Close()
				lines := bufio.NewScanner(resp.Body)
				b.service.events <- engine.Event{Event: "left", Room: string(lobby)}
				b.service.events <- engine.Event{Event: "left", Room: string(twinB)}
				var got []string
				id, ids := "", 0
				for lines.Scan() {
					if n, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
						ids++
						if id = n; n != fmt.Sprint(ids) {
							t.Errorf("event %d has the number %s", ids, n)
						}
					}
					data, ok := strings.CutPrefix(lines.Text(), "data: ")
					if !ok {
						continue
					}
					var ev engine.Event
					if err := json.Unmarshal([]byte(data), &ev); err != nil || id == "" {
						t.Fatalf("%v in %q", err, data)
					}
					if ev.Event == "left" {
						break
					}
					if ev.Time == "" || ev.Room == "" || ev.Event == "stream" && ev.State != "live" || ev.Event == "parent" && (ev.Peer != "other" || *ev.Depth != 1) {
						t.Errorf("event %+v", ev)
					}
					if ev.Room == string(lobby) || tt.token == twin {
						got = append(got, ev.Event)
					}
				}
				if s := strings.Join(got, " "); s != tt.want {
					t.Errorf("got %q, want %q", s, tt.want)
				}
			})
		})
	}
}

// value returns what a counter or gauge shows.
func value(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var d dto.Metric
	if err := m.Write(&d); err != nil {
		t.Fatal(err)
	}
	return d.GetCounter().GetValue() + d.GetGauge().GetValue()
}

// snapshotService has a live stream in the lobby, and is not the origin.
type snapshotService struct{ *fakeService }

func (s snapshotService) Rooms() []engine.RoomInfo {
	rooms := s.fakeService.Rooms()
	for i := range rooms {
		if rooms[i].Room == string(lobby) {
			rooms[i].Streams = []engine.StreamInfo{{Stream: "1", Kind: "audio", State: "live"}, {Stream: "2", Kind: "audio", State: "ended"}}
		}
	}
	return rooms
}

func (s snapshotService) Tree(wire.RoomID) (engine.TreeInfo, error) {
	return engine.TreeInfo{Peer: "self", Parent: "other", Depth: 1, Path: []string{"other", "self"}}, nil
}

// TestSlowReaderIsCutOff: who does not read is not waited for, and not lied to by leaving something out.
func TestSlowReaderIsCutOff(t *testing.T) {
	serving(t, func(b *bench, l *pipes) {
		flood := make(chan engine.Event)
		b.gateway.config.Service = floodService{b.service, flood}
		resp, c := get(t, l, "", admin)
		defer c.Close()
		synctest.Wait()
		if n := value(t, b.gateway.metrics.streams); n != 1 {
			t.Errorf("%v streams are open", n)
		}
		begin := time.Now()
		sent := 0
		for taken := true; taken; {
			select {
			case flood <- engine.Event{Event: "peer", Room: string(lobby)}:
				sent++
			case <-time.After(time.Minute):
				taken = false
			}
		}
		if sent < eventQueue || sent > 2*eventQueue {
			t.Errorf("%d events were taken for a reader that does not read", sent)
		}
		if took := time.Since(begin); took > time.Minute+slowTime {
			t.Errorf("he was waited for %s", took-time.Minute)
		}
		rest, err := io.ReadAll(resp.Body)
		if err == nil {
			t.Errorf("the stream ended as if it were complete, after %d octets", len(rest))
		}
		synctest.Wait()
		if n, open := value(t, b.gateway.metrics.cut), value(t, b.gateway.metrics.streams); n != 1 || open != 0 {
			t.Errorf("%v cut off, %v open", n, open)
		}
	})
}

// TestBurstIsNoSlowness: many events at once are for a reader that reads.
func TestBurstIsNoSlowness(t *testing.T) {
	serving(t, func(b *bench, l *pipes) {
		flood := make(chan engine.Event)
		b.gateway.config.Service = floodService{b.service, flood}
		lines, c := stream(t, l, "", admin)
		defer c.Close()
		go func() {
			for range 20 * eventQueue {
				flood <- engine.Event{Event: "peer", Room: string(lobby)}
			}
		}()
		for range 20 * eventQueue {
			if got := <-lines; !strings.Contains(got, "peer") {
				t.Fatalf("got %q", got)
			}
		}
		if n := value(t, b.gateway.metrics.cut); n != 0 {
			t.Errorf("%v cut off", n)
		}
	})
}

// floodService has events without a queue.
type floodService struct {
	*fakeService
	flood chan engine.Event
}

func (s floodService) Events(ctx context.Context, _ time.Duration) <-chan engine.Event {
	out := make(chan engine.Event)
	go func() {
		defer close(out)
		for {
			select {
			case ev := <-s.flood:
				select {
				case out <- ev:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}
