package guest

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// Pace and limits of a watching session.
const (
	// refreshInterval is how often a viewer may have a group of pictures again.
	refreshInterval = 500 * time.Millisecond
	// burst packets of a backlog are sent without a pause; then the viewer's socket gets a moment to empty its buffer.
	burst      = 16
	burstPause = time.Millisecond
	// maxFeedback bounds the RTCP messages of a viewer that wait for the writer; more are dropped and counted.
	maxFeedback = 64
)

// watcher is the part of a session that shows a room to a viewer.
type watcher struct {
	// Constant.
	session *session
	room    engine.Media
	want    wish
	queue   *queue
	pool    bufferPool
	reports chan viewerReport
	tracks  map[wire.Kind]*viewerTrack // owned by the writer but for constants

	mu      sync.Mutex // guards all following fields
	playing *programme

	// Owned by the writer.
	sub         engine.Subscription
	start       time.Time
	step        lipSync
	sinceBurst  int
	lastRefresh time.Time
}

var _ engine.Sink = (*watcher)(nil)

// viewerReport is what a viewer's RTCP asks for.
type viewerReport struct {
	kind    wire.Kind
	missing []uint16
	picture bool // a key frame (PLI, FIR)
}

func newWatcher(s *session, m engine.Media, o engine.GuestOptions) *watcher {
	c := &s.service.count
	w := &watcher{
		session: s, room: m, want: wish{o.Slot, o.From}, queue: newQueue(&c.audioDropped, &c.videoDropped),
		reports: make(chan viewerReport, maxFeedback), tracks: map[wire.Kind]*viewerTrack{},
	}
	for kind, name := range map[wire.Kind]string{wire.KindAudio: kindAudio, wire.KindVideo: kindVideo} {
		if section := s.offer.accepted(name); section != nil {
			// Half of the numbers are left before the first wrap, which a receiver could miss (RFC 3711 section 3.3.1).
			w.tracks[kind] = newViewerTrack(kind, section, s.offer.mixed, uint16(rand.Uint32()&0x7FFF), rand.Uint32(), w)
		}
	}
	return w
}

func (w *watcher) prepare(pc *webrtc.PeerConnection) error {
	for _, kind := range []wire.Kind{wire.KindAudio, wire.KindVideo} {
		t := w.tracks[kind]
		if t == nil {
			continue
		}
		transceiver, err := pc.AddTransceiverFromTrack(t, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		if err != nil {
			return err
		}
		sender := transceiver.Sender()
		w.session.spawn(func() { w.readReports(sender, t) })
	}
	return nil
}

// open takes nothing of the room yet: a backlog is of use only once the connection is there.
func (w *watcher) open(context.Context) error { return nil }

// sources is empty: a viewer sends no media.
func (w *watcher) sources() map[string]uint32 { return nil }

// close has nothing to give back: run does it.
func (w *watcher) close() {}

// run subscribes and writes until ctx ends.
func (w *watcher) run(ctx context.Context) {
	w.start = time.Now()
	sub, err := w.room.Subscribe(w, engine.SinkOptions{Backlog: true, Guest: true})
	if err != nil {
		w.session.end(err)
		return
	}
	defer sub.Close()
	w.sub = sub
	pause := time.NewTimer(time.Hour)
	defer pause.Stop()
	var it item
	for ctx.Err() == nil {
		if w.queue.pop(&it) {
			w.play(&it)
			if it.backlog {
				w.sinceBurst++
			} else {
				w.sinceBurst = 0
			}
			if w.sinceBurst < burst {
				w.serveWaiting()
				continue
			}
			w.sinceBurst = 0
			pause.Reset(burstPause)
			select {
			case <-ctx.Done():
			case <-pause.C:
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-w.queue.wake:
		case r := <-w.reports:
			w.serve(r)
		}
	}
}

// serveWaiting serves what viewers' RTCP asks for, without waiting.
func (w *watcher) serveWaiting() {
	select {
	case r := <-w.reports:
		w.serve(r)
	default:
	}
}

func (w *watcher) serve(r viewerReport) {
	t := w.tracks[r.kind]
	if len(r.missing) > 0 {
		w.session.service.count.retransmitted.Add(uint64(t.resend(r.missing, time.Now())))
	}
	if r.picture {
		w.refresh(time.Now())
	}
}

// refresh has the group of pictures that is playing delivered again.
func (w *watcher) refresh(now time.Time) {
	w.mu.Lock()
	playing := w.playing
	w.mu.Unlock()
	if playing == nil || playing.video == nil || now.Sub(w.lastRefresh) < refreshInterval {
		return
	}
	w.lastRefresh = now
	w.sub.Refresh(playing.video.ID)
}

// Streams implements engine.Sink.
func (w *watcher) Streams(all []*engine.StreamState) {
	w.mu.Lock()
	w.playing = choosePlaying(all, w.want, w.playing, w.fits)
	misfit := w.playing != nil && w.playing.misfit
	w.mu.Unlock()
	if misfit {
		w.session.end(engine.NewUserError(engine.CodeNoCommonCodec,
			"Nothing that this room sends is in a codec that was offered; offer Opus, and VP8, VP9, H264 and AV1."))
	}
}

func (w *watcher) fits(st *engine.StreamState) bool {
	t := w.tracks[st.Kind]
	if t == nil {
		return false
	}
	_, ok := choose(t.codecs, st)
	return ok
}

// WritePacket implements engine.Sink.
func (w *watcher) WritePacket(p *engine.Packet) {
	w.mu.Lock()
	playing := w.playing
	w.mu.Unlock()
	if playing == nil || len(p.Payload) == 0 || len(p.Payload)+len(p.Header.Ext) > wire.MaxPacket {
		return
	}
	id := p.Stream.ID
	if (playing.audio == nil || playing.audio.ID != id) && (playing.video == nil || playing.video.ID != id) {
		return
	}
	b := w.pool.get()
	b.b = append(append(b.b[:0], p.Payload...), p.Header.Ext...)
	it := item{
		stream: p.Stream, header: p.Header, payload: b.b[:len(p.Payload)], ext: b.b[len(p.Payload):], backlog: p.Backlog,
		liveTime: p.LiveTimestamp, wallUs: p.WallUs, arrived: time.Now(), buffer: b,
	}
	it.header.Ext = it.ext
	if !w.queue.push(&it) {
		w.pool.put(b)
	}
}

// play sends one packet of the queue.
func (w *watcher) play(it *item) {
	t := w.tracks[it.stream.Kind]
	now := time.Now()
	if !t.ready(it) {
		w.pool.put(it.buffer)
		if t.needKey {
			w.refresh(now)
		}
		return
	}
	p, ok := t.send(it, now.Sub(w.start), now)
	if !ok {
		return
	}
	wall := it.wallUs
	if wall != 0 && it.backlog {
		wall += int64(int32(it.liveTime-it.header.Timestamp)) * 1_000_000 / t.line.rate
	}
	if report := t.report(w.step.local(keyOf(it.stream), wall, it.arrived), p, now); report != nil {
		if err := w.session.pc.WriteRTCP([]rtcp.Packet{report}); err != nil {
			w.session.log.Debug("send report", "error", err)
		}
	}
}

// readReports hands a viewer's RTCP to the writer.
func (w *watcher) readReports(sender *webrtc.RTPSender, t *viewerTrack) {
	buf := make([]byte, receiveMTU)
	for {
		n, _, err := sender.Read(buf)
		if err != nil {
			return
		}
		packets, err := rtcp.Unmarshal(buf[:n])
		if err != nil {
			continue
		}
		report := viewerReport{kind: t.kind}
		for _, packet := range packets {
			switch p := packet.(type) {
			case *rtcp.TransportLayerNack:
				for _, pair := range p.Nacks {
					report.missing = append(report.missing, pair.PacketList()...)
				}
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				report.picture = t.kind == wire.KindVideo
			}
		}
		if len(report.missing) == 0 && !report.picture {
			continue
		}
		report.missing = slices.Clip(report.missing)
		select {
		case w.reports <- report:
		default:
			w.session.service.count.feedbackDropped.Add(1)
		}
	}
}
