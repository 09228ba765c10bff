package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/container"
)

// onlyAudio returns a file with sound alone.
func onlyAudio(t *testing.T, length time.Duration) []byte {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	w, err := container.NewOggWriter(&b, 2, 312, 1)
	for at := time.Duration(0); err == nil && at < length; at += 20 * time.Millisecond {
		err = w.WritePacket(opus(r, 50+r.IntN(100)), at)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// announcedMedia is a room in which things are announced.
type announcedMedia struct {
	*fakeMedia
	mu      sync.Mutex // guards what follows
	to      []string
	packets int
}

func (m *announcedMedia) Announce(_ context.Context, to string) (engine.Call, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if to == "nobody" {
		return nil, engine.NewUserError(engine.CodeNoParticipant, "nobody is called that")
	}
	m.to = append(m.to, to)
	return &announcedCall{m: m, done: make(chan struct{})}, nil
}

type announcedCall struct {
	engine.Call
	m    *announcedMedia
	done chan struct{}
}

func (c *announcedCall) Write(*engine.MediaPacket) {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	c.m.packets++
}

func (c *announcedCall) Done() <-chan struct{} { return c.done }
func (c *announcedCall) Err() error            { return nil }
func (c *announcedCall) Close() error          { return nil }

// TestAnnounce: a file with Opus is announced, to all or to one; what cannot be is refused with the reason.
func TestAnnounce(t *testing.T) {
	m := &announcedMedia{fakeMedia: newFakeMedia()}
	mux := http.NewServeMux()
	mux.Handle("POST /api/v1/rooms/{room}/announcements", Announce(oneRoom{m: m}, nil))
	srv := httptest.NewServer(mux)
	defer srv.Close()
	audio, video := onlyAudio(t, 400*time.Millisecond), testFile(t, 200*time.Millisecond)
	for _, c := range []struct {
		path   string
		body   []byte
		status int
		says   string
	}{
		{"lobby/announcements", audio, 200, `"ms":`},
		{"lobby/announcements?to=Bob", audio, 200, `"ms":`},
		{"lobby/announcements?to=nobody", audio, 404, "Nobody"},
		{"lobby/announcements", video, 400, "Opus alone"},
		{"lobby/announcements", []byte("RIFF....WAVEfmt "), 400, "ffmpeg"},
		{"lobby/announcements", nil, 400, ""},
		{"attic/announcements", audio, 404, ""},
	} {
		resp, err := http.Post(srv.URL+"/api/v1/rooms/"+c.path, "application/octet-stream", bytes.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != c.status || !strings.Contains(string(text), c.says) {
			t.Errorf("%s: %s: %s, %v", c.path, resp.Status, text, err)
		}
		resp.Body.Close()
	}
	if len(m.to) != 2 || m.to[0] != "" || m.to[1] != "Bob" || m.packets < 20 {
		t.Errorf("announced to %q, %d packets", m.to, m.packets)
	}
	a := &announcement{Call: &announcedCall{m: m}}
	if err := a.Write("", &engine.MediaPacket{Timestamp: 7}); err != nil {
		t.Error(err)
	}
	if err := a.Write("", &engine.MediaPacket{Timestamp: 7 + 121*48000}); err == nil {
		t.Error("an announcement without an end")
	}
}
