package recording

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"time"

	"github.com/castd/castd/engine/container"
	"github.com/castd/castd/plugins/sdk"
)

const (
	// waitForClock is how long the first file waits for what its tracks need: a first frame, and their publishers' clocks.
	waitForClock = 1500 * time.Millisecond
	// waitForKey is how long it waits for the first key frame of video that does come.
	waitForKey = 5 * time.Second
	// maxEarly bounds the frames that are kept until then.
	maxEarly = 4096
	// rotateWithin is how long a file that is to end waits for a key frame to begin the next one with.
	rotateWithin = 10 * time.Second
	// manifestEvery is how often the manifest is written while something changes; a large one less often.
	manifestEvery = time.Second
	// retryEvery is how often a disk that was full or broken is tried again.
	retryEvery = time.Second
	// stallAfter is how long the disk may take for something until that is told.
	stallAfter = 700 * time.Millisecond
	// fadeAfter is how long a stream may send nothing until a file does not wait for a key frame of it.
	fadeAfter = 3 * time.Second
)

// session is a recording as a value: batches of a room and the time go in, files come out by a spool. It belongs to one goroutine.
type session struct {
	options Options
	spool   *spool
	random  *rand.Rand
	notify  func(text string) // tells the operator
	refresh func()            // asks for key frames

	started  time.Time
	manifest Manifest
	dirty    bool
	written  time.Time // the manifest
	size     int       // of it
	number   int       // of the last segment
	// trackNumber is that of the last file of a track.
	trackNumber int
	open        []*segment // files of which the manifest may not know the end

	tracks map[uint32]*track
	clocks map[string]*clock // by publisher
	people map[string]string // participants who are there, with their names
	early  []earlyFrame
	first  time.Time // when the first frame came

	segment   *segment
	begun     time.Time
	rotate    string // why the segment is to end
	rotating  time.Time
	broken    time.Time // since when the disk takes nothing; zero: it does
	tried     time.Time
	stalled   bool
	refreshed time.Time
	problem   string
	told      struct{ segments, lost, dropped uint64 } // of its counters, to the plugin's
}

// earlyFrame waits for a file.
type earlyFrame struct {
	track *track
	frame container.Frame
	place container.Place
}

// newSession begins a recording of a room, or goes on with one that was interrupted, whose manifest is before.
func newSession(room *sdk.RoomInfo, o Options, before *Manifest, sp *spool, random *rand.Rand, now time.Time) *session {
	s := &session{
		options: o.withDefaults(), spool: sp, random: random, notify: func(string) {}, refresh: func() {}, started: now,
		tracks: make(map[uint32]*track), clocks: make(map[string]*clock), people: make(map[string]string), dirty: true,
	}
	if before != nil {
		s.manifest = *before
		if began, err := time.Parse(timeFormat, before.Started); err == nil {
			s.started = began
		}
		s.number, s.trackNumber = len(before.Segments), len(before.Tracks)
		s.manifest.crashed()
		s.manifest.State, s.manifest.Ended, s.manifest.Problem = StateRecording, "", ""
		s.event(now, Event{Event: "resumed", Text: fmt.Sprintf("after %v without a recorder", now.Sub(s.lastEnd()).Round(10*time.Millisecond))})
		s.manifest.chapter(s.ms(now), "Resumed")
	} else {
		s.manifest = Manifest{
			Version: manifestVersion, Room: room.ID, Name: room.Name, Mode: room.Mode, State: StateRecording, Started: stamp(now),
			Segments: []Segment{}, Events: []Event{},
		}
		s.event(now, Event{Event: "started"})
		s.manifest.chapter(0, cmp.Or(room.Title, room.Name))
	}
	s.manifest.Title = room.Title
	for _, p := range room.Participants {
		s.join(now, p.ID, p.Name)
	}
	return s
}

func stamp(t time.Time) string { return t.UTC().Format(timeFormat) }

func (s *session) ms(now time.Time) int64 { return now.Sub(s.started).Milliseconds() }

// lastEnd is when what was recorded before ended.
func (s *session) lastEnd() time.Time {
	return s.started.Add(time.Duration(s.manifest.Duration) * time.Millisecond)
}

func (s *session) event(now time.Time, e Event) {
	e.Ms = s.ms(now)
	s.manifest.event(e)
	s.dirty = true
}

func (s *session) join(now time.Time, id, name string) {
	if old, there := s.people[id]; there && old == name {
		return
	} else if !there {
		s.event(now, Event{Event: "join", Participant: id, Name: name})
	}
	s.people[id] = name
}

// batch takes what came of the room.
func (s *session) batch(b *sdk.Batch) {
	now := b.Time
	if b.Streams != nil {
		s.streams(b.Streams, now)
	}
	for i := range b.Gaps {
		if t := s.tracks[b.Gaps[i].Track]; t != nil {
			n := b.Gaps[i].Last - b.Gaps[i].First + 1
			s.event(now, Event{Event: "gap", Participant: t.stream.Participant, Text: fmt.Sprintf("%d packets of %s were dropped, since the recorder was too slow", n, t.stream.Kind)})
		}
	}
	for i := range b.Packets {
		s.packet(&b.Packets[i])
	}
	for i := range b.Events {
		s.happened(&b.Events[i], now)
	}
	s.tick(now)
}

// streams takes the room's streams.
func (s *session) streams(all []sdk.Stream, now time.Time) {
	for i := range all {
		st := &all[i]
		t := s.tracks[st.Track]
		if t == nil {
			in, err := container.NewIntake(int(st.Track), sourceOf(st))
			if err != nil {
				continue // of a codec that no file can hold
			}
			publisher := st.Participant + "/" + st.Slot
			c := s.clocks[publisher]
			if c == nil {
				c = new(clock)
				s.clocks[publisher] = c
			}
			t = &track{in: in, clock: c, video: st.Kind == "video"}
			if st.Voice {
				t.clock = new(clock) // it comes by another way than what is mixed of it
			}
			s.tracks[st.Track] = t
		} else if t.stream.Incarnation != st.Incarnation || t.stream.Codec != st.Codec {
			if source := sourceOf(st); source != sourceOf(&t.stream) {
				s.change(t, int(st.Track), source)
			} else {
				t.in.Change(source)
			}
			t.ticks = clock{}
		}
		if t.stream.Live != st.Live || t.stream.ID == "" {
			state := "ended"
			if st.Live {
				state = "live"
			}
			s.event(now, Event{Event: "stream", Participant: st.Participant, Name: st.Name, Text: st.Slot + " " + st.Label + " " + st.Codec + " " + state})
		}
		t.stream = *st
	}
	there := make(map[uint32]bool, len(all))
	for i := range all {
		there[all[i].Track] = true
	}
	for id, t := range s.tracks {
		if !there[id] {
			s.closeOwn(t, ReasonStopped)
			delete(s.tracks, id)
		}
	}
}

// change gives a track whose codec is another one now a new place in the file.
func (s *session) change(t *track, id int, source container.Source) {
	in, err := container.NewIntake(id, source)
	if err != nil {
		return
	}
	s.closeOwn(t, ReasonTracks)
	t.in, t.main = in, laneState{}
	if s.segment != nil {
		s.endLater(ReasonTracks, t.came)
	}
}

// packet takes a packet.
func (s *session) packet(p *sdk.Packet) {
	t := s.tracks[p.Track]
	if t == nil {
		return
	}
	arrived := time.UnixMicro(p.ArrivedUs)
	t.came = arrived
	if p.WallUs != 0 && !p.Backlog {
		t.clock.take(p.WallUs, p.ArrivedUs)
	}
	f, at, missing, ok := t.in.Push(&container.Packet{
		Number: p.Number, Timestamp: p.Timestamp, Marker: p.Marker, WallUs: p.WallUs, Arrived: arrived, Payload: p.Payload,
	})
	s.manifest.Lost += missing
	if missing > 0 && t.video && arrived.Sub(s.refreshed) >= retryEvery {
		s.refreshed = arrived // decoders wait for a key frame now
		s.refresh()
	}
	if !ok {
		return
	}
	if !p.Backlog {
		t.took(&at, p.ArrivedUs)
	}
	if s.segment == nil && !t.stream.Voice {
		if !s.broken.IsZero() {
			return
		}
		s.keep(t, f, at, arrived)
		return
	}
	s.frame(t, &f, &at, arrived)
}

// keep holds a frame until there is a file.
func (s *session) keep(t *track, f container.Frame, at container.Place, now time.Time) {
	if s.first.IsZero() {
		s.first = now
	}
	f.Data = append([]byte(nil), f.Data...)
	if len(s.early) == maxEarly {
		s.early = s.early[1:]
	}
	s.early = append(s.early, earlyFrame{t, f, at})
	s.tryBegin(now)
}

// tryBegin begins a file when all that comes is known, or when that takes too long.
func (s *session) tryBegin(now time.Time) {
	if len(s.early) == 0 || s.segment != nil || !s.broken.IsZero() {
		return
	}
	waited := now.Sub(s.first)
	for _, t := range s.tracks {
		switch {
		case !t.stream.Live, t.stream.Voice:
		case t.in.Ready && (t.clock.known || waited >= waitForClock):
		case t.in.Ready, !t.in.Begun && waited < waitForClock, t.in.Begun && waited < waitForKey:
			return
		}
	}
	early := s.early
	s.early, s.first = nil, time.Time{}
	for _, e := range early {
		e.track.clock.settle()
	}
	for i := range early {
		e := &early[i]
		e.track.in.Clock.Put(&e.place, e.track.in.Track.ClockRate)
	}
	at := func(e *earlyFrame) int64 { us, _ := e.track.place(&e.place); return us }
	slices.SortStableFunc(early, func(a, b earlyFrame) int { return cmp.Compare(at(&a), at(&b)) })
	// A file of pictures begins with a key frame, and sound is not cut off for that.
	if !s.begin(at(&early[0]), now) {
		return
	}
	for i := range early {
		s.frame(early[i].track, &early[i].frame, &early[i].place, now)
	}
}

// begin begins a segment at a moment of this machine's clock.
func (s *session) begin(origin int64, now time.Time) bool {
	var all []container.Track
	var with []*track
	video, sounds := false, 0
	for _, id := range sortedKeys(s.tracks) {
		t := s.tracks[id]
		if len(all) == container.MaxTracks || !t.in.Ready || t.stream.Voice || !t.stream.Live && now.Sub(t.came) > fadeAfter {
			continue
		}
		all, with = append(all, t.in.Track), append(with, t)
		if t.video {
			video = true
		} else {
			sounds++
		}
	}
	if len(all) == 0 {
		return false
	}
	s.number++
	name, ogg := "room.mkv", !video && sounds == 1
	if ogg {
		name = "mix.ogg"
	}
	if s.number > 1 {
		name = fmt.Sprintf("%s-%03d%s", name[:len(name)-4], s.number, name[len(name)-4:])
	}
	file := s.spool.create(path.Join(s.options.Folder, name))
	var g *segment
	var err error
	if ogg {
		g, err = openOgg(file, all[0], s.random.Uint32())
	} else {
		g, err = openMatroska(file, all)
	}
	if err != nil {
		s.number--
		s.diskFailed(err, now)
		return false
	}
	g.origin = origin
	began := time.UnixMicro(origin)
	g.info = Segment{File: name, Ms: s.ms(began), Started: stamp(began)}
	for _, t := range s.tracks {
		t.main = laneState{}
	}
	for i, t := range with {
		t.main.begun = true
		g.info.Tracks = append(g.info.Tracks, s.trackInfo(t, i+1, g.info.Ms))
	}
	s.segment, s.begun, s.rotate = g, now, ""
	s.manifest.Segments = append(s.manifest.Segments, g.info)
	g.place = len(s.manifest.Segments) - 1
	s.open = append(s.open, g)
	s.writeManifest(now, true) // who comes after a crash knows of the file
	return true
}

func (s *session) trackInfo(t *track, number int, ms int64) Track {
	kind := "audio"
	if t.video {
		kind = "video"
	}
	return Track{
		Track: number, Kind: kind, Codec: t.in.Track.Codec, Slot: t.stream.Slot, Label: t.stream.Label, Participant: t.stream.Participant,
		Name: t.stream.Name, Ms: ms,
	}
}

// frame writes a frame to the segment, and to its own file.
func (s *session) frame(t *track, f *container.Frame, at *container.Place, now time.Time) {
	us, exact := t.place(at)
	if s.rotate != "" && !t.stream.Voice && s.mayRotate(t, f, now) {
		s.turn(us, now)
	}
	if s.options.Tracks {
		s.writeOwn(t, *f, at, us, exact)
	}
	g := s.segment
	if g == nil || t.stream.Voice {
		return
	}
	if !t.main.begun && !s.place(t, g, now) {
		if s.rotate == "" || !t.video || !f.Key {
			return
		}
		s.turn(us, now) // with this one
		if g = s.segment; g == nil {
			return
		}
	}
	ok, err := t.writeTo(g, &t.main, f, at.Timestamp, us, exact)
	if err != nil || !ok && t.main.keyed {
		s.manifest.Dropped++
	}
}

// place gives a track that comes later a place in the segment, or has the segment end where it has none.
func (s *session) place(t *track, g *segment, now time.Time) bool {
	if !t.in.Ready {
		return false
	}
	if g.ogg != nil && !t.video && !s.sounding(t, now) {
		// It takes the place of the one that has ended.
		for _, other := range s.tracks {
			if other.main.begun && other != t {
				t.main, other.main = other.main, laneState{}
			}
		}
		t.main.begun, t.main.line = true, container.Timeline{}
		return true
	}
	ok, err := g.add(t.in.Track)
	if err != nil {
		return false // the disk, which tick sees
	}
	if !ok {
		if len(g.info.Tracks) == container.MaxTracks {
			s.manifest.Dropped++ // another file would have no room for it either
			return false
		}
		s.endLater(ReasonTracks, now)
		return false
	}
	t.main.begun = true
	g.info.Tracks = append(g.info.Tracks, s.trackInfo(t, len(g.info.Tracks)+1, s.ms(now)))
	s.dirty = true
	return true
}

// sounding reports whether another stream of sound than t is in the segment and goes on.
func (s *session) sounding(t *track, now time.Time) bool {
	for _, other := range s.tracks {
		if other != t && !other.video && other.main.begun && other.stream.Live && now.Sub(other.came) < fadeAfter {
			return true
		}
	}
	return false
}

// endLater has the segment end at the next key frame.
func (s *session) endLater(reason string, now time.Time) {
	if s.rotate == "" {
		s.rotate, s.rotating = reason, now
		s.refresh()
	}
}

// mayRotate reports whether the next file may begin with a frame.
func (s *session) mayRotate(t *track, f *container.Frame, now time.Time) bool {
	if t.video && f.Key || now.Sub(s.rotating) >= rotateWithin {
		return true
	}
	for _, other := range s.tracks {
		if other.video && other.stream.Live && now.Sub(other.came) < fadeAfter {
			return false
		}
	}
	return true
}

// turn ends the segment and begins the next one, where sound goes on in which it ended.
func (s *session) turn(us int64, now time.Time) {
	g := s.segment
	for _, t := range s.tracks {
		if !t.video && t.main.keyed && now.Sub(t.came) < fadeAfter {
			us = min(us, g.origin+t.main.end.Microseconds())
		}
	}
	s.end(s.rotate)
	s.begin(us, now)
}

// end ends the segment.
func (s *session) end(reason string) {
	g := s.segment
	if g == nil {
		return
	}
	s.segment, s.rotate = nil, ""
	_ = g.close() // the disk, which was seen
	g.info.Reason = reason
	s.dirty = true
}

// measure brings the manifest up to date with the files.
func (s *session) measure() {
	for _, g := range s.open {
		g.info.Duration, g.info.Bytes = g.last.Milliseconds(), g.file.written()
		if g.own {
			s.manifest.Tracks[g.place] = g.info
		} else {
			s.manifest.Segments[g.place] = g.info
		}
		s.manifest.Duration = max(s.manifest.Duration, g.info.Ms+g.info.Duration)
	}
	s.open = slices.DeleteFunc(s.open, func(g *segment) bool { return g.info.Reason != "" && g.file.done() })
	s.manifest.Bytes = 0
	for i := range s.manifest.Segments {
		s.manifest.Bytes += s.manifest.Segments[i].Bytes
	}
	for i := range s.manifest.Tracks {
		s.manifest.Bytes += s.manifest.Tracks[i].Bytes
	}
}

// writeOwn writes a frame to the file of its track.
func (s *session) writeOwn(t *track, f container.Frame, at *container.Place, us int64, exact bool) {
	if t.own == nil {
		if t.video && !f.Key {
			return
		}
		s.trackNumber++
		name := fmt.Sprintf("tracks/%03d-%s", s.trackNumber, t.in.Track.Codec)
		head := t.in.Track
		var g *segment
		var err error
		if t.video {
			g, err = openMatroska(s.spool.create(path.Join(s.options.Folder, name+".mkv")), []container.Track{head})
			name += ".mkv"
		} else {
			g, err = openOgg(s.spool.create(path.Join(s.options.Folder, name+".ogg")), head, s.random.Uint32())
			name += ".ogg"
		}
		if err != nil {
			return
		}
		began := time.UnixMicro(us)
		g.origin = us
		g.info = Segment{File: name, Ms: s.ms(began), Started: stamp(began), Tracks: []Track{s.trackInfo(t, 1, s.ms(began))}}
		g.own = true
		t.own = &lane{segment: g, state: laneState{begun: true}}
		s.manifest.Tracks = append(s.manifest.Tracks, g.info)
		g.place = len(s.manifest.Tracks) - 1
		s.open = append(s.open, g)
		s.dirty = true
	}
	if _, err := t.writeTo(t.own.segment, &t.own.state, &f, at.Timestamp, us, exact); err != nil {
		s.manifest.Dropped++
	}
}

// closeOwn ends the file of a track.
func (s *session) closeOwn(t *track, reason string) {
	if t.own == nil {
		return
	}
	_ = t.own.segment.close() // the disk, which was seen
	t.own.segment.info.Reason = reason
	t.own = nil
	s.dirty = true
}

// happened notes an event of the room.
func (s *session) happened(e *sdk.Event, now time.Time) {
	switch e.Name {
	case "participants":
		var list struct {
			Participants []struct {
				Participant string `json:"participant"`
				Name        string `json:"name"`
			} `json:"participants"`
		}
		if json.Unmarshal(e.JSON, &list) != nil {
			return
		}
		there := make(map[string]bool)
		for _, p := range list.Participants {
			there[p.Participant] = true
			s.join(now, p.Participant, p.Name)
		}
		for _, id := range sortedKeys(s.people) {
			if !there[id] {
				s.event(now, Event{Event: "leave", Participant: id, Name: s.people[id]})
				delete(s.people, id)
			}
		}
	case "talking", "hand", "chat", "title":
		var p sdk.ParticipantEvent
		if e.Decode(&p) != nil {
			return
		}
		if at := e.At(); !at.IsZero() && at.Before(now) {
			now = at
		}
		text := cmp.Or(p.Message, p.State, p.Title)
		s.event(now, Event{Event: e.Name, Participant: p.Participant, Name: p.Name, Text: text[:min(len(text), maxText)]})
		if e.Name == "title" && p.Title != "" {
			s.manifest.Title = p.Title
			s.manifest.chapter(s.ms(now), p.Title)
		}
	}
	// What streams do is known from their list; the rest is of this peer's, not of the room's.
}

// tick does what is due.
func (s *session) tick(now time.Time) {
	s.lookAtDisk(now)
	s.tryBegin(now)
	if g := s.segment; g != nil {
		s.silences(g, now)
		switch {
		case s.rotate != "":
			if now.Sub(s.rotating) >= rotateWithin {
				s.turn(now.UnixMicro(), now)
			}
		case now.Sub(s.begun) >= s.options.Segment:
			s.endLater(ReasonLength, now)
		case g.file.written() >= s.options.SegmentSize:
			s.endLater(ReasonSize, now)
		}
	}
	s.writeManifest(now, false)
}

// silences writes the silence of streams of which nothing comes, as it passes.
func (s *session) silences(g *segment, now time.Time) {
	for _, t := range s.tracks {
		if t.video || !t.stream.Live || now.Sub(t.came) < fillAfter {
			continue
		}
		if t.main.keyed {
			if until := passed(t.main.end, now.Add(-fillAfter).Sub(time.UnixMicro(g.origin))); until > t.main.end {
				_ = t.silence(g, &t.main, t.in.Track.ID, until) // the disk, which tick sees
			}
		}
		if t.own != nil && t.own.state.keyed {
			if until := passed(t.own.state.end, now.Add(-fillAfter).Sub(time.UnixMicro(t.own.segment.origin))); until > t.own.state.end {
				_ = t.silence(t.own.segment, &t.own.state, t.in.Track.ID, until)
			}
		}
	}
}

// passed is up to when silence is written that lasts from end until now: by tenths of a second, so that it is few packets.
func passed(end, until time.Duration) time.Duration {
	const step = 100 * time.Millisecond
	return end + max(0, until-end)/step*step
}

// lookAtDisk sees what became of what was written, and tells.
func (s *session) lookAtDisk(now time.Time) {
	if since := s.spool.stalled(); !since.IsZero() && now.Sub(since) >= stallAfter {
		if !s.stalled {
			s.stalled = true
			s.event(now, Event{Event: "disk", Text: "it does not answer"})
			s.say("The disk does not answer: what is recorded of " + s.manifest.Name + " waits in memory; see whether the disk is well.")
		}
	} else if s.stalled {
		s.stalled = false
		s.event(now, Event{Event: "disk", Text: "it answers again"})
		s.say("")
	}
	if g := s.segment; g != nil {
		if err := g.file.failed(); err != nil {
			s.diskFailed(err, now)
		}
	}
	for _, t := range s.tracks {
		if t.own != nil && t.own.segment.file.failed() != nil {
			s.closeOwn(t, ReasonDisk) // another one begins with what comes next
		}
	}
	if s.broken.IsZero() {
		return
	}
	if known, err := s.spool.room(); known && err == nil {
		s.broken = time.Time{}
		s.event(now, Event{Event: "disk", Text: "it can be written again"})
		s.say("")
		s.refresh()
		for _, t := range s.tracks {
			t.in.Change(sourceOf(&t.stream)) // pictures begin with a key frame
		}
		return
	}
	if now.Sub(s.tried) >= retryEvery {
		s.tried = now
		s.spool.probe(path.Join(s.options.Folder, ".space"))
	}
}

// diskFailed ends the segment: another one begins when there is room again.
func (s *session) diskFailed(err error, now time.Time) {
	s.end(ReasonDisk)
	s.early, s.first = nil, time.Time{}
	if s.broken.IsZero() {
		s.broken, s.tried = now, now
		s.event(now, Event{Event: "disk", Text: diskText(err)})
		s.say(fmt.Sprintf("%s is not recorded for now: %s.", s.manifest.Name, diskText(err)))
	}
}

// say tells the operator what is wrong; "" that nothing is any more.
func (s *session) say(text string) {
	if text == s.problem {
		return
	}
	s.problem, s.manifest.Problem, s.dirty = text, text, true
	if text == "" {
		text = s.manifest.Name + " is recorded again."
	}
	s.notify(text)
}

// writeManifest writes it where it has changed, now or when that is due.
func (s *session) writeManifest(now time.Time, must bool) {
	every := manifestEvery * time.Duration(1+s.size/(256<<10))
	if !must && now.Sub(s.written) < every {
		return
	}
	if len(s.open) == 0 && !s.dirty && !must {
		return
	}
	s.measure()
	text, err := json.MarshalIndent(&s.manifest, "", " ")
	if err != nil {
		return // it can be written, always
	}
	s.size, s.written, s.dirty = len(text), now, false
	s.spool.replace(path.Join(s.options.Folder, ManifestName), append(text, '\n'))
}

// finish ends the recording.
func (s *session) finish(now time.Time) {
	if s.segment == nil && len(s.early) > 0 {
		s.first = now.Add(-waitForKey)
		s.tryBegin(now)
	}
	s.end(ReasonStopped)
	for _, id := range sortedKeys(s.tracks) {
		s.closeOwn(s.tracks[id], ReasonStopped)
	}
	s.event(now, Event{Event: "ended"})
	s.manifest.State, s.manifest.Ended = StateEnded, stamp(now)
	s.writeManifest(now, true)
}

// finished reports whether all that was written is on the disk, or never will be.
func (s *session) finished() bool {
	return !slices.ContainsFunc(s.open, func(g *segment) bool { return !g.file.done() })
}
