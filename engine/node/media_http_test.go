package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// oneRoom is a Service that is in one room.
type oneRoom struct {
	engine.Service
	m engine.Media
}

func (s oneRoom) Find(room string) (engine.Media, error) {
	if room != "lobby" {
		return nil, engine.ErrNoRoom
	}
	return s.m, nil
}

func mediaServer(t *testing.T, m engine.Media) *httptest.Server {
	mux := http.NewServeMux()
	mux.Handle("POST /api/v1/rooms/{room}/media", MediaUpload(oneRoom{m: m}, nil))
	mux.Handle("GET /api/v1/rooms/{room}/media", MediaDownload(oneRoom{m: m}, nil))
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv
}

// TestMediaOverHTTP sends a file by one request and records it by another.
func TestMediaOverHTTP(t *testing.T) {
	file := testFile(t, 600*time.Millisecond)
	_, source := framesOf(t, file)
	m := newFakeMedia()
	url := mediaServer(t, m).URL + "/api/v1/rooms/lobby/media"

	resp, err := http.Get(url + "?format=webm&until-end=true")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if kind := resp.Header.Get("Content-Type"); kind != "video/webm" {
		t.Errorf("type %s", kind)
	}
	up, err := http.Post(url, "application/octet-stream", bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	defer up.Body.Close()
	var answer struct{ Packets, Ms int }
	if err := json.NewDecoder(up.Body).Decode(&answer); err != nil || up.StatusCode != 200 || answer.Packets < 45 || answer.Ms != 580 {
		t.Errorf("upload: %s, %+v, %v", up.Status, answer, err)
	}
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.Trailer.Get(ErrorTrailer) != "" {
		t.Fatalf("download: %v, %v", err, resp.Trailer)
	}
	_, frames := framesOf(t, got)
	for _, k := range []wire.Kind{wire.KindVideo, wire.KindAudio} {
		sameFrames(t, k, frames[k], source[k], 2*time.Millisecond)
	}
}

func TestMediaUploadInALoop(t *testing.T) {
	file := testFile(t, 200*time.Millisecond)
	m := newFakeMedia()
	m.Subscribe(listener{}, engine.SinkOptions{})
	url := mediaServer(t, m).URL + "/api/v1/rooms/lobby/media?loop="
	resp, err := http.Post(url+jsonInt(len(file)), "application/octet-stream", io.MultiReader(bytes.NewReader(file), bytes.NewReader(file), bytes.NewReader(file)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	// The body ended, which a loop never does by itself.
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("status %s", resp.Status)
	}
	if n := len(m.packets[audioLabel]); n != 30 {
		t.Errorf("%d audio packets, want 30", n)
	}
}

// arrivals is a sink that tells of each packet.
type arrivals chan struct{}

func (arrivals) Streams([]*engine.StreamState) {}
func (a arrivals) WritePacket(*engine.Packet) {
	select {
	case a <- struct{}{}:
	default:
	}
}

// TestUploadEndsWithItsClient: what a client that has gone left in the buffers is not sent.
func TestUploadEndsWithItsClient(t *testing.T) {
	file := testFile(t, 20*time.Second)
	m := newFakeMedia()
	came := make(arrivals, 2000)
	m.Subscribe(came, engine.SinkOptions{})
	ended := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		r.SetPathValue("room", "lobby")
		MediaUpload(oneRoom{m: m}, nil).ServeHTTP(w, r)
	}))
	defer srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "POST", srv.URL, bytes.NewReader(file))
	go func() {
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	for range 10 {
		<-came
	}
	cancel()
	<-ended
	if n := m.sent(audioLabel); n > 500 {
		t.Errorf("%d of 1000 packets were sent for a client that left after 10", n)
	}
}

func jsonInt(n int) string { b, _ := json.Marshal(n); return string(b) }

func TestMediaProblems(t *testing.T) {
	denied := newFakeMedia()
	denied.refuse = engine.NewUserError(engine.CodeNotAllowed, "ask the owner for castd invite ROOM --speak")
	url := mediaServer(t, denied).URL + "/api/v1/rooms/"
	file := testFile(t, 100*time.Millisecond)
	tests := []struct {
		method, path string
		status       int
		code, detail string
	}{
		{"POST", "attic/media", 404, engine.CodeNoRoom, ""},
		{"GET", "attic/media", 404, engine.CodeNoRoom, ""},
		{"POST", "lobby/media", 403, engine.CodeNotAllowed, "--speak"},
		{"POST", "lobby/media?loop=x", 400, engine.CodeBadMedia, "size of the file"},
		{"POST", "lobby/media?loop=-1", 400, engine.CodeBadMedia, "size of the file"},
		{"GET", "lobby/media?format=mp3", 400, engine.CodeBadMedia, "ogg"},
		{"GET", "lobby/media?for=soon", 400, engine.CodeBadMedia, "10s"},
		{"GET", "lobby/media?until-end=maybe", 400, engine.CodeBadMedia, "true"},
		{"GET", "lobby/media?since=yesterday", 400, engine.CodeBadMedia, "time"},
	}
	for _, tt := range tests {
		req, _ := http.NewRequestWithContext(t.Context(), tt.method, url+tt.path, bytes.NewReader(file))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var doc struct{ Code, Detail string }
		err = json.NewDecoder(resp.Body).Decode(&doc)
		resp.Body.Close()
		if err != nil || resp.StatusCode != tt.status || doc.Code != tt.code || !strings.Contains(doc.Detail, tt.detail) ||
			resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %s %+v %v", tt.method, tt.path, resp.Status, doc, err)
		}
	}
}

// TestDownloadTellsLateErrors: what goes wrong when the answer has begun is in the trailers.
func TestDownloadTellsLateErrors(t *testing.T) {
	m := newFakeMedia()
	resp, err := http.Get(mediaServer(t, m).URL + "/api/v1/rooms/lobby/media?format=webm")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	pub, _ := m.Publish(t.Context(), engine.SlotConfig{Streams: []engine.StreamConfig{
		{Label: "video", Kind: wire.KindVideo, Codec: "h264", ClockRate: 90000}}})
	pub.Write("video", &engine.MediaPacket{Payload: []byte{0x65, 1, 2, 3}, Marker: true})
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	if resp.Trailer.Get(CodeTrailer) != engine.CodeBadMedia || !strings.Contains(resp.Trailer.Get(ErrorTrailer), ".mkv") {
		t.Errorf("trailers %v", resp.Trailer)
	}
}

// TestUploadProblems: whoever may do something about an error is told what it is; what went wrong inside stays inside.
func TestUploadProblems(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		says   string
	}{
		{fmt.Errorf("node: %w", engine.ErrReplaced), http.StatusConflict, engine.CodeReplaced},
		{engine.NewUserError(engine.CodeNotAllowed, "You may listen only."), http.StatusForbidden, "You may listen only."},
		{engine.ErrNoRoom, http.StatusNotFound, engine.CodeNoRoom},
		{engine.ErrClosed, http.StatusServiceUnavailable, "Closed."},
		{errors.New("a secret"), http.StatusInternalServerError, http.StatusText(http.StatusInternalServerError)},
	} {
		w := httptest.NewRecorder()
		mediaProblem(w, c.err)
		if body := w.Body.String(); w.Code != c.status || !strings.Contains(body, c.says) || strings.Contains(body, "secret") {
			t.Errorf("%v: %d %s", c.err, w.Code, body)
		}
	}
}
