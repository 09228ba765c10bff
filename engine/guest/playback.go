package guest

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// Limits of what is played to a guest.
const (
	// refreshInterval is how often a viewer may have a group of pictures again; staleInterval is that while the publisher sends
	// nothing: a viewer asks for a picture then because none comes, and the old ones look to him as if the stream went on.
	refreshInterval = 500 * time.Millisecond
	staleInterval   = 10 * time.Second
	// maxMissing bounds the numbers that a viewer's NACKs have asked for and that wait for the writer; more are dropped, and the
	// message is counted.
	maxMissing = 1024
)

// playback plays streams of a room to a guest by RTP streams of his, at most one of a kind: it is what a viewer has, and each video section
// of a call.
type playback struct {
	// Constant.
	session *session
	hall    *hall
	writer  *writer
	queue   *queue
	link    *link // set by carrier
	tracks  [wire.KindVideo + 1]*viewerTrack
	start   time.Time
	shows   func() *engine.StreamState // whose pictures are playing; nil where there are none
	sub     *atomic.Pointer[engine.Subscription]

	// Atomic.
	queued atomic.Bool // in the writer's list

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

// answer sends again what the viewer's RTCP asks for.
func (w *playback) answer(now time.Time, out *outlet) {
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
func (w *playback) refresh(now time.Time) {
	shown, sub := w.shows(), w.sub.Load()
	interval := refreshInterval
	if w.live == w.liveThen {
		interval = staleInterval
	}
	if shown == nil || sub == nil || now.Sub(w.lastRefresh) < interval {
		return
	}
	w.lastRefresh, w.liveThen = now, w.live
	(*sub).Refresh(shown.ID)
}

// push queues a packet that is to be played.
func (w *playback) push(p *engine.Packet) {
	if n := w.queue.push(w.hall.packet(p)); n > 0 {
		w.writer.enqueue(w, p.Stream.Kind != wire.KindVideo || p.Header.Marker || p.Header.FrameEnd || n >= holdMost)
	}
}

// play puts one packet of the queue into the batch, and reports whether it did.
func (w *playback) play(p *packet, now time.Time, out *outlet) bool {
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

func (w *playback) writeReport(r *rtcp.SenderReport, out *outlet) {
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
func (w *playback) reported(packets []rtcp.Packet) {
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

// waits implements recipient.
func (v *playback) waits() *atomic.Bool { return &v.queued }

// serve implements recipient: it sends up to a burst of a backlog.
func (v *playback) serve(w *writer, now time.Time) {
	v.turn.Lock()
	defer v.turn.Unlock()
	if v.over || v.paused {
		return
	}
	out, ok := w.outlet(v.link)
	if !ok {
		return
	}
	v.answer(now, &out)
	for {
		n, left := v.queue.pop(w.packets[:])
		old := 0
		for i, p := range w.packets[:n] {
			if v.play(p, now, &out) && p.backlog {
				old++
			}
			w.packets[i] = nil
		}
		if old > 0 && left > 0 {
			v.paused = true
			w.paused = append(w.paused, pausedViewer{v, now.Add(burstPause)})
			break
		}
		if left == 0 {
			break
		}
	}
	w.count(&out)
}

// stop makes sure that the writer sends nothing more of it.
func (w *playback) stop() {
	w.turn.Lock()
	w.over = true
	w.turn.Unlock()
}

// video returns the RTP stream of pictures.
func (w *playback) video() *viewerTrack { return w.tracks[wire.KindVideo] }
