package guest

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// Limits of a watching session.
const (
	// refreshInterval is how often a viewer may have a group of pictures again; staleInterval is that while the publisher sends
	// nothing: a viewer asks for a picture then because none comes, and the old ones look to him as if the stream went on.
	refreshInterval = 500 * time.Millisecond
	staleInterval   = 10 * time.Second
	// maxMissing bounds the numbers that a viewer's NACKs have asked for and that wait for the writer; more are dropped, and the
	// message is counted.
	maxMissing = 1024
)

// watcher is the part of a session that shows a room to a viewer.
type watcher struct {
	// Constant.
	session *session
	hall    *hall
	writer  *writer
	want    wish
	meter   meter
	queue   *queue
	link    *link // set by carrier
	tracks  [wire.KindVideo + 1]*viewerTrack
	start   time.Time

	// Atomic.
	playing atomic.Pointer[programme]
	queued  atomic.Bool // in the writer's list
	sub     atomic.Pointer[engine.Subscription]

	asked    atomic.Bool // feedback is not empty
	mu       sync.Mutex  // guards the following fields
	feedback feedback

	turn sync.Mutex // held by the writer while it serves this viewer; guards the following fields
	over bool

	// Owned by the writer.
	paused      bool
	step        lipSync
	lastRefresh time.Time
	live        uint64 // pictures' packets that were no backlog
	liveThen    uint64 // live at lastRefresh
}

// feedback is what a viewer's RTCP has asked for and the writer has not answered yet.
type feedback struct {
	missing [wire.KindVideo + 1][]uint16 // numbers, by kind
	picture bool                         // a key frame (PLI, FIR)
}

var _ engine.Sink = (*watcher)(nil)

func newWatcher(s *session, m engine.Media, o engine.GuestOptions) *watcher {
	c := &s.service.count
	w := &watcher{
		session: s, hall: s.service.enter(m), writer: s.service.enlist(), want: wish{o.Slot, o.From}, start: time.Now(),
		queue: newQueue(&c.audioDropped, &c.videoDropped),
	}
	w.meter.at = w.start // the first rate is that since then
	ssrc := rand.Uint32() | 1
	for kind, name := range map[wire.Kind]string{wire.KindAudio: kindAudio, wire.KindVideo: kindVideo} {
		if section := s.offer.accepted(name); section != nil {
			// Half of the numbers are left before the first wrap, which a receiver could miss (RFC 3711 section 3.3.1).
			w.tracks[kind] = newViewerTrack(kind, section, s.offer.mixed, uint16(rand.Uint32()&0x7FFF), rand.Uint32(), ssrc+2*uint32(kind))
		}
	}
	return w
}

func (w *watcher) carrier() (carrier, error) {
	l, err := w.session.service.newLink(w.session, linkEvents{reports: w.reported, heard: w.meter.heard})
	if err != nil {
		return nil, err
	}
	w.link = l
	return l, nil
}

// open takes nothing of the room yet: a backlog is of use only once the connection is there.
func (w *watcher) open(context.Context) error {
	w.session.spawn(func() { w.link.run(w.session.ctx) })
	return nil
}

// sources returns the SSRCs that the viewer is sent.
func (w *watcher) sources() map[string]uint32 {
	ssrcs := map[string]uint32{}
	for _, t := range w.tracks {
		if t != nil {
			ssrcs[t.kind.String()] = t.ssrc
		}
	}
	return ssrcs
}

// close makes sure that the writer sends nothing more to this viewer.
func (w *watcher) close() {
	w.turn.Lock()
	w.over = true
	w.turn.Unlock()
	w.session.service.dismiss(w.writer)
	w.session.service.leave(w.hall)
}

// run subscribes until ctx ends; the writer does the rest.
func (w *watcher) run(ctx context.Context) {
	sub, err := w.hall.room.Subscribe(w, engine.SinkOptions{Backlog: true, Guest: true})
	if err != nil {
		w.session.end(err)
		return
	}
	w.sub.Store(&sub)
	<-ctx.Done()
	sub.Close()
}

// answer sends again what the viewer's RTCP asks for.
func (w *watcher) answer(now time.Time, out *outlet) {
	if !w.asked.Load() {
		return
	}
	w.mu.Lock()
	asked := w.feedback
	w.feedback = feedback{}
	w.asked.Store(false)
	w.mu.Unlock()
	for kind, missing := range asked.missing {
		if len(missing) > 0 {
			n := w.tracks[kind].resend(missing, now.Sub(w.start), out)
			w.session.service.count.retransmitted.Add(uint64(n))
		}
	}
	if asked.picture {
		w.refresh(now)
	}
}

// refresh has the group of pictures that is playing delivered again.
func (w *watcher) refresh(now time.Time) {
	playing, sub := w.playing.Load(), w.sub.Load()
	interval := refreshInterval
	if w.live == w.liveThen {
		interval = staleInterval
	}
	if playing == nil || playing.video == nil || sub == nil || now.Sub(w.lastRefresh) < interval {
		return
	}
	w.lastRefresh, w.liveThen = now, w.live
	(*sub).Refresh(playing.video.ID)
}

// Streams implements engine.Sink.
func (w *watcher) Streams(all []*engine.StreamState) {
	playing := choosePlaying(all, w.want, w.playing.Load(), w.fits)
	w.playing.Store(playing)
	if playing != nil && playing.misfit {
		w.session.end(engine.NewUserError(engine.CodeNoCommonCodec,
			"Nothing that this room sends is in a codec that was offered; offer Opus, and VP8, VP9, H264 and AV1."))
	}
}

func (w *watcher) fits(st *engine.StreamState) bool {
	if int(st.Kind) >= len(w.tracks) || w.tracks[st.Kind] == nil {
		return false
	}
	_, ok := choose(w.tracks[st.Kind].codecs, st)
	return ok
}

// WritePacket implements engine.Sink.
func (w *watcher) WritePacket(p *engine.Packet) {
	playing := w.playing.Load()
	if playing == nil || len(p.Payload) == 0 || len(p.Payload)+len(p.Header.Ext) > wire.MaxPacket {
		return
	}
	id := p.Stream.ID
	if (playing.audio == nil || playing.audio.ID != id) && (playing.video == nil || playing.video.ID != id) {
		return
	}
	if n := w.queue.push(w.hall.packet(p)); n > 0 {
		w.writer.enqueue(w, p.Stream.Kind != wire.KindVideo || p.Header.Marker || p.Header.FrameEnd || n >= holdMost)
	}
}

// play puts one packet of the queue into the batch, and reports whether it did.
func (w *watcher) play(p *packet, now time.Time, out *outlet) bool {
	t := w.tracks[p.stream.Kind]
	if p.stream.Kind == wire.KindVideo && !p.backlog {
		w.live++
	}
	if !t.ready(p) {
		if t.needKey {
			w.refresh(now)
		}
		return false
	}
	at, ok := t.send(p, now.Sub(w.start), out)
	if !ok {
		return false
	}
	if !t.due(at, now) {
		return true
	}
	wall := p.wallUs
	if wall != 0 && p.backlog {
		wall += int64(int32(p.liveTime-p.header.Timestamp)) * 1_000_000 / t.line.rate
	}
	w.writeReport(t.report(w.step.local(keyOf(p.stream), wall, p.arrived), at, now), out)
	return true
}

func (w *watcher) writeReport(r *rtcp.SenderReport, out *outlet) {
	plain, err := r.Marshal()
	if err == nil {
		plain, err = out.srtp.EncryptRTCP(nil, plain, nil)
	}
	if err != nil {
		w.session.log.Debug("send report", "error", err)
		return
	}
	space := out.batch.Space(len(plain))
	out.batch.Add(out.path.Remote, len(append(space, plain...)))
}

// reported takes a viewer's RTCP, on a socket's goroutine, and hands what it asks for to the writer.
func (w *watcher) reported(packets []rtcp.Packet) {
	some := false
	w.mu.Lock()
	for _, p := range packets {
		switch p := p.(type) {
		case *rtcp.TransportLayerNack:
			for kind, t := range w.tracks {
				if t == nil || t.ssrc != p.MediaSSRC {
					continue
				}
				missing := &w.feedback.missing[kind]
				for _, pair := range p.Nacks {
					if len(*missing) >= maxMissing {
						w.session.service.count.feedbackDropped.Add(1)
						break
					}
					*missing = append(*missing, pair.PacketList()...)
				}
				some = true
			}
		case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
			if w.tracks[wire.KindVideo] != nil {
				w.feedback.picture, some = true, true
			}
		}
	}
	if some {
		w.asked.Store(true)
	}
	w.mu.Unlock()
	if some {
		w.writer.enqueue(w, true)
	}
}
