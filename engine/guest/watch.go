package guest

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// watcher is the part of a session that shows a room to a viewer.
type watcher struct {
	playback
	want    wish // constant
	meter   meter
	playing atomic.Pointer[programme]
	streams atomic.Pointer[[]*engine.StreamState]

	choosing sync.Mutex // held while it is chosen what plays
}

var _ engine.Sink = (*watcher)(nil)

func newWatcher(s *session, m engine.Media, o engine.GuestOptions) *watcher {
	c := &s.service.count
	w := &watcher{want: wish{o.Slot, o.From}}
	w.playback = playback{
		session: s, hall: s.service.enter(m), writer: s.service.enlist(), start: time.Now(), queue: newQueue(&c.audioDropped, &c.videoDropped),
		shows: w.pictures, sub: new(atomic.Pointer[engine.Subscription]),
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
			ssrcs[w.session.offer.accepted(t.kind.String()).mid] = t.ssrc
		}
	}
	return ssrcs
}

// close makes sure that the writer sends nothing more to this viewer.
func (w *watcher) close() {
	w.stop()
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
	defer sub.Close()
	if !w.conference() {
		<-ctx.Done()
		return
	}
	stop, err := w.hall.gauge()
	if err != nil {
		w.session.end(err)
		return
	}
	defer stop()
	look := time.NewTicker(gaugeEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			w.choose()
		}
	}
}

// conference reports whether there may be cameras in several encodings, and a mix.
func (w *watcher) conference() bool { return w.hall.room.Mode() == "conference" }

// pictures returns the video that is playing, or nil.
func (w *watcher) pictures() *engine.StreamState {
	if playing := w.playing.Load(); playing != nil {
		return playing.video
	}
	return nil
}

// Streams implements engine.Sink.
func (w *watcher) Streams(all []*engine.StreamState) {
	w.streams.Store(&all)
	w.choose()
}

// choose sets what is playing.
func (w *watcher) choose() {
	w.choosing.Lock()
	defer w.choosing.Unlock()
	streams := w.streams.Load()
	if streams == nil {
		return
	}
	var playing *programme
	if w.conference() {
		if playing = chooseConference(*streams, w.want, w.playing.Load(), w.fits); playing != nil && playing.video != nil {
			list := encodings(*streams, playing.video, w.fits)
			for i, l := range w.hall.gauges.layers(list, time.Now()) {
				if l.flows {
					playing.video = list[i]
					break
				}
			}
		}
	} else {
		playing = choosePlaying(*streams, w.want, w.playing.Load(), w.fits)
	}
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
	w.push(p)
}
