package node

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/gateway"
)

// MediaUpload serves POST /api/v1/rooms/{room}/media for the gateway: the body is a media file, which is sent into the room as
// PublishFile does while it arrives. `?loop=N` says that the body is a file of N octets again and again, without an end. The answer
// comes when all is sent. The gateway has authorized the request; it is the administrator's.
func MediaUpload(svc engine.Service, log *slog.Logger) http.Handler {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m, err := svc.Find(r.PathValue("room"))
		if err != nil {
			mediaProblem(w, err)
			return
		}
		body, again, err := uploadBody(r)
		if err != nil {
			mediaProblem(w, err)
			return
		}
		noDeadlines(w)
		var done Progress
		var shown atomic.Pointer[Progress]
		stop := processing(w, &shown)
		err = PublishFile(r.Context(), m, body, PublishOptions{Next: again, Progress: func(p Progress) { done = p; shown.Store(&p) }})
		stop()
		w.Header().Del(ProgressHeader)
		if err != nil {
			log.Info("upload ended early", "room", m.ID(), "err", err)
			mediaProblem(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		// Whoever has gone by now does not want the answer.
		_ = json.NewEncoder(w).Encode(struct {
			Packets uint64 `json:"packets"`
			Bytes   uint64 `json:"bytes"`
			Ms      int64  `json:"ms"`
		}{done.Packets, done.Bytes, done.Sent.Milliseconds()})
	})
}

// processingEvery is how soon an upload ends when the client has gone.
const processingEvery = 250 * time.Millisecond

// ProgressHeader is a header of the informational responses to an upload: a Progress as JSON.
const ProgressHeader = "Castd-Progress"

// processing sends informational responses (RFC 2518, section 10.1) until stop, which waits, is called. A client that has gone
// leaves up to minutes of media in the buffers on the way, behind which nobody sees that the connection is closed; a write that
// fails, though, ends the request's context. They tell how far the sending has come. Until stop returns, w is not the caller's.
func processing(w http.ResponseWriter, shown *atomic.Pointer[Progress]) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(processingEvery)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				if p := shown.Load(); p != nil {
					text, _ := json.Marshal(p) // numbers and words
					w.Header().Set(ProgressHeader, string(text))
				}
				w.WriteHeader(http.StatusProcessing)
			case <-end:
				return
			}
		}
	}()
	return func() { close(end); <-ended }
}

// uploadBody returns the file in a request's body, and how to get it again where it is sent in a loop.
func uploadBody(r *http.Request) (io.Reader, func() (io.Reader, error), error) {
	loop := r.URL.Query().Get("loop")
	if loop == "" {
		return r.Body, nil, nil
	}
	size, err := strconv.ParseInt(loop, 10, 64)
	if err != nil || size <= 0 {
		return nil, nil, engine.NewUserError(engine.CodeBadMedia, "loop must be the size of the file in octets")
	}
	round := &io.LimitedReader{R: r.Body, N: size}
	again := func() (io.Reader, error) {
		// The reader may have stopped before the file's last octets.
		if _, err := io.Copy(io.Discard, round); err != nil {
			return nil, err
		}
		round.N = size
		return round, nil
	}
	return round, again, nil
}

// noDeadlines lifts the gateway's time limits from a request that lasts as long as its media.
func noDeadlines(w http.ResponseWriter) {
	c := http.NewResponseController(w)
	// Where deadlines are not supported there are none to lift.
	_ = c.SetReadDeadline(time.Time{})
	_ = c.SetWriteDeadline(time.Time{})
}

// mediaStatus returns the HTTP status and code that belong to an error.
func mediaStatus(err error) (status int, code string) {
	var user *engine.UserError
	switch {
	case errors.As(err, &user):
		switch code = user.Code; code {
		case engine.CodeNotAllowed:
			return http.StatusForbidden, code
		case engine.CodeNoRoom, engine.CodeNoParticipant:
			return http.StatusNotFound, code
		case engine.CodeWrongMode, engine.CodeAmbiguous, engine.CodeReplaced:
			return http.StatusConflict, code
		case engine.CodeFull:
			return http.StatusServiceUnavailable, code
		}
		return http.StatusBadRequest, code
	case errors.Is(err, engine.ErrNoRoom):
		return http.StatusNotFound, engine.CodeNoRoom
	case errors.Is(err, engine.ErrAmbiguous):
		return http.StatusConflict, engine.CodeAmbiguous
	case errors.Is(err, engine.ErrClosed), errors.Is(err, context.Canceled), errors.Is(err, errEnded):
		return http.StatusServiceUnavailable, ""
	}
	return http.StatusInternalServerError, ""
}

// mediaProblem answers with a problem document (RFC 9457).
func mediaProblem(w http.ResponseWriter, err error) {
	status, code := mediaStatus(err)
	detail := http.StatusText(status)
	if code != "" || status == http.StatusServiceUnavailable {
		detail = err.Error()
	}
	gateway.WriteProblem(w, status, code, detail)
}
