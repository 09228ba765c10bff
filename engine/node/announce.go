package node

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/wire"
)

// MaxAnnouncement is how long an announcement may be.
const MaxAnnouncement = 2 * time.Minute

// Announce serves POST /api/v1/rooms/{room}/announcements for the gateway: the body is a file with Opus and no pictures, which is heard by
// all in the conference while it arrives, or with `?to=` a participant, by id or name, by him alone. The answer comes when all is sent. The
// gateway has authorized the request; it is the administrator's.
func Announce(svc engine.Service, log *slog.Logger) http.Handler {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m, err := svc.Find(r.PathValue("room"))
		if err != nil {
			mediaProblem(w, err)
			return
		}
		noDeadlines(w)
		var done Progress
		var shown atomic.Pointer[Progress]
		stop := processing(w, &shown)
		err = AnnounceFile(r.Context(), m, r.URL.Query().Get("to"), http.MaxBytesReader(w, r.Body, maxAnnounced), func(p Progress) { done = p })
		stop()
		if err != nil {
			log.Info("announcement ended early", "room", m.ID(), "err", err)
			mediaProblem(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		// Whoever has gone by now does not want the answer.
		_ = json.NewEncoder(w).Encode(struct {
			Ms int64 `json:"ms"`
		}{done.Sent.Milliseconds()})
	})
}

// AnnounceFile has a file with Opus alone heard by all in a conference, or with to, the id of a participant or his name, by him alone. It
// returns when all is sent. progress is told how far it is; nil for nobody.
func AnnounceFile(ctx context.Context, m engine.Media, to string, file io.Reader, progress func(Progress)) error {
	return PublishFile(ctx, announcements{m, to}, file, PublishOptions{Progress: progress})
}

// maxAnnounced bounds the file of an announcement, in octets: MaxAnnouncement at the most that Opus takes.
const maxAnnounced = 8 << 20

// announcements is a room into which a file is announced, not published.
type announcements struct {
	engine.Media
	to string
}

// Publish implements engine.Media.
func (a announcements) Publish(ctx context.Context, c engine.SlotConfig) (engine.Publication, error) {
	if len(c.Streams) != 1 || c.Streams[0].Kind != wire.KindAudio || c.Streams[0].Codec != codec.Opus {
		return nil, engine.NewUserError(engine.CodeBadMedia, "an announcement is heard and not seen: use a file with Opus alone, like one made by `ffmpeg -i FILE -vn -c:a libopus OUT.ogg`")
	}
	room, ok := a.Media.(engine.Announcer)
	if !ok {
		return nil, engine.NewUserError(engine.CodeWrongMode, "nothing can be announced in this room")
	}
	call, err := room.Announce(ctx, a.to)
	if err != nil {
		return nil, err
	}
	return &announcement{Call: call}, nil
}

// announcement is one under way, as PublishFile sends it. Its Write is PublishFile's goroutine's.
type announcement struct {
	engine.Call
	begun bool
	first uint32 // timestamp
}

var _ engine.Publication = (*announcement)(nil)

// Write implements engine.Publication.
func (a *announcement) Write(_ string, p *engine.MediaPacket) error {
	if !a.begun {
		a.begun, a.first = true, p.Timestamp
	}
	if p.Timestamp-a.first > uint32(MaxAnnouncement/time.Second*codec.AudioClock) {
		return engine.NewUserError(engine.CodeBadMedia, "an announcement ends after two minutes: make it shorter, or publish the file as a participant")
	}
	a.Call.Write(p)
	return nil
}

// Clock implements engine.Publication: an announcement has no clock but the room's.
func (a *announcement) Clock(string, uint32, int64) {}

// Receivers implements engine.Publication: whoever mixes has taken it.
func (a *announcement) Receivers() int { return 1 }

// Feedback implements engine.Publication.
func (a *announcement) Feedback() engine.Feedback { return engine.Feedback{} }

// End implements engine.Publication.
func (a *announcement) End() error { return a.Close() }
