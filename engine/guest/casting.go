package guest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// castEvery is how often it is looked whether what the screens are to show has come, and who may take whose place.
const castEvery = 500 * time.Millisecond

// casting is who is on which screen of a call.
type casting struct {
	streams atomic.Pointer[[]*engine.StreamState] // of the room
	places  *arrangement                          // guarded by the caller's mu
	line    bandwidth                             // likewise
	sent    meter                                 // of video to him
	bps     atomic.Uint64                         // by that
}

// wantMessage is what a guest may want of a section; what he leaves out he does not want any more.
type wantMessage struct {
	MID         string `json:"mid"`
	Participant string `json:"participant"`
	Height      int    `json:"height"`
	Closed      bool   `json:"closed"`
}

// newScreens makes the sections in which a participant is sent video. The room's streams are shared by them.
func (c *caller) newScreens(m engine.Media) (list []*screen) {
	s := c.session
	sections := s.offer.slots()
	if len(sections) == 0 {
		return nil
	}
	room, count, sub := s.service.enter(m), &s.service.count, new(atomic.Pointer[engine.Subscription])
	for i, section := range sections {
		v := &screen{mid: section.mid}
		v.playback = playback{
			session: s, hall: room, writer: c.writer, start: c.start, queue: newQueue(&count.audioDropped, &count.videoDropped), shows: v.showing, sub: sub,
		}
		v.tracks[wire.KindVideo] = newViewerTrack(wire.KindVideo, section, s.offer.mixed, uint16(rand.Uint32()&0x7FFF), rand.Uint32(), c.track.ssrc+2*uint32(i+1))
		v.cast.Store(&cast{})
		list = append(list, v)
	}
	c.casting.places = newArrangement(len(list))
	return list
}

// watch begins to take the room's video, where he has sections for it. due tells when it is to be looked whether all is where it should be.
func (c *caller) watch() (stop func(), due <-chan time.Time, err error) {
	if len(c.screens) == 0 {
		return func() {}, nil, nil
	}
	sub, err := c.screens[0].hall.room.Subscribe(c, engine.SinkOptions{Backlog: true, Select: c.shown})
	if err != nil {
		return nil, nil, err
	}
	c.screens[0].sub.Store(&sub)
	ungauge, err := c.screens[0].hall.gauge()
	if err != nil {
		sub.Close()
		return nil, nil, err
	}
	tick := time.NewTicker(castEvery)
	return func() {
		tick.Stop()
		ungauge()
		sub.Close()
	}, tick.C, nil
}

// shown reports whether a stream is on a screen, or about to be.
func (c *caller) shown(st *engine.StreamState) bool {
	for _, v := range c.screens {
		if cast := v.cast.Load(); cast.now != nil && cast.now.ID == st.ID || cast.next != nil && cast.next.ID == st.ID {
			return true
		}
	}
	return false
}

// Streams implements engine.Sink.
func (c *caller) Streams(all []*engine.StreamState) {
	c.casting.streams.Store(&all)
	c.rouse()
}

// WritePacket implements engine.Sink.
func (c *caller) WritePacket(p *engine.Packet) {
	if p.Stream.Kind != wire.KindVideo || len(p.Payload) == 0 || len(p.Payload)+len(p.Header.Ext) > wire.MaxPacket {
		return
	}
	for _, v := range c.screens {
		v.WritePacket(p)
	}
}

// filmed is a participant's video.
type filmed struct {
	participant string
	layers      []*engine.StreamState // by label
}

// filmedIn returns who has video that fits, but for one of them, the longest live first. Of somebody's slots his camera counts, else the oldest.
func filmedIn(all []*engine.StreamState, but string, fits func(*engine.StreamState) bool) (list []filmed) {
	var usable []*engine.StreamState
	for _, st := range all {
		if st.Live && st.Kind == wire.KindVideo && st.Participant != but && fits(st) {
			usable = append(usable, st)
		}
	}
	camera := func(st *engine.StreamState) int {
		if st.Slot == cameraSlot {
			return 0
		}
		return 1
	}
	slices.SortFunc(usable, func(a, b *engine.StreamState) int {
		return cmp.Or(cmp.Compare(camera(a), camera(b)), cmp.Compare(a.StartedMs, b.StartedMs), cmp.Compare(a.Slot, b.Slot), cmp.Compare(a.Label, b.Label), cmp.Compare(a.ID, b.ID))
	})
	for _, st := range usable {
		i := slices.IndexFunc(list, func(f filmed) bool { return f.participant == st.Participant })
		if i < 0 {
			list = append(list, filmed{st.Participant, []*engine.StreamState{st}})
		} else if f := &list[i]; keyOf(f.layers[0]) == keyOf(st) {
			f.layers = append(f.layers, st)
		}
	}
	slices.SortStableFunc(list, func(a, b filmed) int { return cmp.Compare(a.layers[0].StartedMs, b.layers[0].StartedMs) })
	return list
}

// arrange puts everybody where he belongs.
func (c *caller) arrange(now time.Time) {
	streams := c.casting.streams.Load()
	if len(c.screens) == 0 || streams == nil {
		return
	}
	film := filmedIn(*streams, c.config.Participant, c.screens[0].fits)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil {
		return
	}
	film = slices.DeleteFunc(film, func(f filmed) bool { return c.state.Waiting != "" || waits(c.state, f.participant) })
	present := make([]string, len(film))
	for i := range film {
		present[i] = film[i].participant
	}
	dominant := c.state.Dominant
	changed := c.casting.places.step(now, dominant, present)
	c.stale = c.stale || changed
	shows := make([]*filmed, len(c.screens))
	demands := make([]demand, len(c.screens))
	for i := range c.screens {
		p := &c.casting.places.places[i]
		at := slices.Index(present, p.carries)
		if at < 0 {
			continue
		}
		shows[i] = &film[at]
		demands[i] = demand{now: c.screens[i].layerOf(shows[i]), height: p.height}
		demands[i].layers = c.screens[i].hall.gauges.layers(shows[i].layers, now)
	}
	c.casting.bps.Store(c.casting.sent.rate(c.octets(), now))
	for i, l := range allot(demands, c.casting.line.limit()) {
		var st *engine.StreamState
		if l >= 0 {
			st = shows[i].layers[l]
		}
		if c.screens[i].show(st) {
			c.screens[i].seek(true, now)
		}
	}
}

// octets counts what was sent to him of video. It wraps.
func (c *caller) octets() (n uint32) {
	for _, v := range c.screens {
		v.turn.Lock()
		n += v.video().octets
		v.turn.Unlock()
	}
	return n
}

// layerOf returns which of somebody's layers is playing, or about to; -1 if none is.
func (s *screen) layerOf(f *filmed) int {
	shown := s.showing()
	if shown == nil {
		return -1
	}
	return slices.IndexFunc(f.layers, func(st *engine.StreamState) bool { return st.ID == shown.ID })
}

// received takes what part of the video to him was lost, in 1/256.
func (c *caller) received(lost uint8, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.casting.line.note(lost, c.casting.bps.Load(), now)
}

// waits reports whether somebody has not been let in yet.
func waits(s *engine.CallState, participant string) bool {
	return slices.ContainsFunc(s.Participants, func(p engine.CallParticipant) bool { return p.Participant == participant && p.Waiting })
}

// fits reports whether he can take a stream.
func (s *screen) fits(st *engine.StreamState) bool {
	_, ok := choose(s.video().codecs, st)
	return ok
}

// sectionsLocked tells who is where. The caller holds c.mu.
func (c *caller) sectionsLocked() (list []sectionMessage) {
	for i, v := range c.screens {
		list = append(list, sectionMessage{v.mid, kindVideo, c.casting.places.places[i].carries})
	}
	return list
}

// maxHeight bounds how large a picture anybody wants, in lines.
const maxHeight = 1 << 14

// want takes what a guest wants of his sections. What cannot be is skipped, and he is told.
func (c *caller) want(wants []wantMessage) {
	for _, w := range wants[:min(len(wants), maxSlots)] {
		i := slices.IndexFunc(c.screens, func(s *screen) bool { return s.mid == w.MID })
		if i < 0 {
			c.notice("no_such_section", fmt.Sprintf("There is no section %.16q in which you are sent video; name one of the sections that you were told of.", w.MID))
			continue
		}
		if w.Participant != "" && !c.knows(w.Participant) {
			c.notice(engine.CodeNoParticipant, "Who you want to see is not in the call; choose somebody who is.")
			continue
		}
		c.mu.Lock()
		c.casting.places.places[i].placeWish = placeWish{pinned: w.Participant, height: max(0, min(w.Height, maxHeight)), closed: w.Closed}
		c.mu.Unlock()
	}
	c.rouse()
}

// knows reports whether somebody takes part, or has video.
func (c *caller) knows(participant string) bool {
	if participant == c.config.Participant {
		return false // nobody is shown himself
	}
	if all := c.casting.streams.Load(); all != nil && slices.ContainsFunc(*all, func(st *engine.StreamState) bool { return st.Live && st.Participant == participant }) {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state != nil && slices.ContainsFunc(c.state.Participants, func(p engine.CallParticipant) bool { return p.Participant == participant })
}
