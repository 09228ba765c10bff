package plugins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/plugins/sdk/protocol"
)

// stuckTime is how long a plugin may leave messages unacknowledged before it counts as hung.
const stuckTime = 10 * time.Second

// Limits of what a plugin says in a room.
const (
	messagesASecond = 5000
	wantGap         = 500 * time.Millisecond // between changes of what it wants: each asks the room for its media anew
)

// counters count what crosses to a plugin and back, over all its rooms and starts.
type counters struct {
	packets, bytes, dropped, droppedBatches, droppedEvents, messages atomic.Uint64
	received, refused                                                atomic.Uint64 // packets of the plugin's
	decisions, decisionsKnown, decisionsFailed                       atomic.Uint64
}

// attendance is a plugin's part in a room. Packets come on goroutines of the room's, and go on a goroutine of the attendance's.
type attendance struct {
	// constant
	media    engine.Media
	info     engine.RoomInfo
	granted  map[string]bool
	service  *hostService
	counters *counters
	refused  func(permission string)
	log      *slog.Logger
	pool     *buffers
	wake     chan struct{} // capacity 1
	wanted   chan want     // capacity 1

	acked atomic.Uint64

	mu     sync.Mutex // guards what follows; held for the time of a copy, by goroutines of the room's and the sender
	out    outbox
	tracks map[wire.StreamID]*heard
	voices []*engine.Voice // of whom packets come
	spoken map[*engine.Voice]*heard
	lines  []*line // of the plugin's participants who hear
	closed bool
	last   uint32 // track
	audio  protocol.Payload
	video  protocol.Payload
	voice  protocol.Payload
	known  []byte // participants as they were told last
	relist bool   // streams are to be told again

	// of the sender
	since time.Time // since when nothing may be sent; zero: it may
	pcm   *pcm      // nil until samples are wanted
}

// want is what a plugin wants of a room.
type want struct {
	audio, video, voices   protocol.Payload
	backlog, talking, chat bool
}

// heard is a stream as it comes.
type heard struct {
	track
	state  *engine.StreamState
	frames *codec.Depacketizer // of sound, where Opus packets are wanted
}

var (
	_ engine.Sink = (*attendance)(nil)
	_ engine.Tap  = (*attendance)(nil)
)

func newAttendance(m engine.Media, info engine.RoomInfo, s *hostService, c *counters, log *slog.Logger, pool *buffers) *attendance {
	return &attendance{
		media: m, info: info, granted: s.granted, service: s, counters: c, refused: s.refused, log: log, pool: pool,
		wake: make(chan struct{}, 1), wanted: make(chan want, 1), tracks: make(map[wire.StreamID]*heard),
		spoken: make(map[*engine.Voice]*heard),
	}
}

func (a *attendance) wakeUp() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Streams implements engine.Sink.
func (a *attendance) Streams(all []*engine.StreamState) {
	a.mu.Lock()
	a.streamsLocked(all)
	a.mu.Unlock()
	a.wakeUp()
}

func (a *attendance) streamsLocked(all []*engine.StreamState) {
	list := &protocol.StreamList{}
	there := make(map[wire.StreamID]bool, len(all))
	changed := a.out.number == 0 || a.relist
	a.relist = false
	for _, s := range all {
		if !s.Kind.Media() {
			continue
		}
		there[s.ID] = true
		h := a.tracks[s.ID]
		switch {
		case h == nil:
			a.last++
			h = &heard{track: track{id: a.last}}
			a.tracks[s.ID] = h
			changed = true
		case *h.state != *s:
			changed = true
		}
		if h.state == nil || h.state.Codec != s.Codec {
			h.frames, _ = codec.NewDepacketizer(s.Codec) // of an unknown codec only payloads can be had
		}
		h.state = s
		list.Streams = append(list.Streams, &protocol.Stream{
			Track: h.id, Id: s.ID.String(), Slot: valid(s.Slot), Label: valid(s.Label), Kind: s.Kind.String(), Codec: s.Codec, ClockRate: s.ClockRate,
			Channels: s.Channels, Fmtp: valid(s.Fmtp), Participant: s.Participant, ParticipantName: valid(s.Name), StartedMs: s.StartedMs,
			Live: s.Live, Incarnation: uint32(s.Incarnation),
		})
	}
	for id := range a.tracks {
		if !there[id] {
			delete(a.tracks, id)
			changed = true
		}
	}
	for _, l := range a.lines {
		list.Streams = append(list.Streams, &protocol.Stream{
			Track: l.id, Slot: "heard", Label: "audio", Kind: "audio", Codec: "opus", ClockRate: 48000, Channels: 1, Participant: l.participant,
			ParticipantName: l.name, Live: true, Heard: true,
		})
	}
	if a.voicesLocked(list) || changed {
		a.out.streams = list
	}
}

// voicesLocked lists those who take part, and reports whether that has changed.
func (a *attendance) voicesLocked(list *protocol.StreamList) (changed bool) {
	for _, v := range a.voices {
		h := a.spoken[v]
		codecName := "opus"
		if v.RED {
			codecName = "red"
		}
		if h == nil {
			a.last++
			h = &heard{track: track{id: a.last}}
			h.frames, _ = codec.NewDepacketizer(codecName) // both are known
			a.spoken[v] = h
			changed = true
		}
		channels := uint32(1)
		if v.Stereo {
			channels = 2
		}
		list.Streams = append(list.Streams, &protocol.Stream{
			Track: h.id, Slot: "voice", Label: "audio", Kind: "audio", Codec: codecName, ClockRate: 48000, Channels: channels,
			Participant: valid(v.Participant), ParticipantName: valid(v.Name), StartedMs: v.Started.UnixMilli(), Live: true, Voice: true,
		})
	}
	for v := range a.spoken {
		if !slices.Contains(a.voices, v) {
			delete(a.spoken, v)
			changed = true
		}
	}
	return changed
}

// maxLines bounds the participants of a plugin's in a room that hear.
const maxLines = 64

// line is what a participant of the plugin's hears.
type line struct {
	track
	participant, name string
}

// hear begins to bring what a participant of the plugin's hears. write is called by the mixer: it copies the packet, and never waits.
func (a *attendance) hear(participant, name string) (l *line, write func(*engine.MediaPacket), ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || len(a.lines) >= maxLines {
		return nil, nil, false
	}
	a.last++
	l = &line{track{id: a.last}, participant, name}
	a.lines = append(a.lines, l)
	a.relist = true
	a.streamsLocked(a.media.Streams())
	a.wakeUp()
	return l, func(p *engine.MediaPacket) {
		now := time.Now()
		m := protocol.Media{
			Track: l.id, Number: uint64(p.Sequence) & (1<<48 - 1), Timestamp: p.Timestamp, ArrivedUs: now.UnixMicro(), Marker: p.Marker, Payload: p.Payload,
		}
		if p.Level <= 127 {
			m.Level = p.Level + 1
		}
		a.mu.Lock()
		wake := !a.closed && a.out.add(now, &l.track, &m, a.pool)
		a.mu.Unlock()
		if wake {
			a.wakeUp()
		}
	}, true
}

// deafen ends that.
func (a *attendance) deafen(l *line) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lines = slices.DeleteFunc(a.lines, func(o *line) bool { return o == l })
	if !a.closed {
		a.relist = true
		a.streamsLocked(a.media.Streams())
		a.wakeUp()
	}
}

// close ends what others bring.
func (a *attendance) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed, a.lines = true, nil
}

// Voices implements engine.Tap.
func (a *attendance) Voices(all []*engine.Voice) {
	a.mu.Lock()
	a.voices = all
	a.streamsLocked(a.media.Streams())
	a.mu.Unlock()
	a.wakeUp()
}

// WriteVoice implements engine.Tap. It copies the packet into a batch, and never waits for the plugin.
func (a *attendance) WriteVoice(v *engine.Voice, p *engine.MediaPacket) {
	now := time.Now()
	m := protocol.Media{
		Number: uint64(p.Sequence) & (1<<48 - 1), Timestamp: p.Timestamp, ArrivedUs: now.UnixMicro(), Marker: p.Marker, Voice: p.Voice, Payload: p.Payload,
	}
	if p.Level <= 127 {
		m.Level = p.Level + 1
	}
	a.mu.Lock()
	h := a.spoken[v]
	ok := h != nil && a.voice != protocol.Payload_PAYLOAD_NONE
	if ok && a.voice == protocol.Payload_PAYLOAD_OPUS {
		m.Payload, _, ok = h.frames.Push(p.Payload, p.Timestamp, p.Marker, false)
	}
	if !ok {
		a.mu.Unlock()
		return
	}
	m.Track = h.id
	wake := a.out.add(now, &h.track, &m, a.pool)
	a.mu.Unlock()
	if wake {
		a.wakeUp()
	}
}

// Happened implements engine.Tap.
func (a *attendance) Happened(ev *engine.Event) {
	if text, err := json.Marshal(ev); err == nil {
		a.tell(&protocol.Event{Time: ev.Time, Event: ev.Event, Json: text})
	}
}

// WritePacket implements engine.Sink. It copies the packet into a batch, and never waits for the plugin.
func (a *attendance) WritePacket(p *engine.Packet) {
	now := time.Now()
	m := protocol.Media{
		Number: p.Header.Number, Timestamp: p.Header.Timestamp, WallUs: p.WallUs, ArrivedUs: now.UnixMicro(), Marker: p.Header.Marker,
		Voice: p.Header.Voice && p.Header.Kind == wire.KindAudio, Backlog: p.Backlog, Payload: p.Payload,
	}
	if p.Header.Kind == wire.KindAudio && p.Header.Level <= 127 {
		m.Level = p.Header.Level + 1
	}
	a.mu.Lock()
	h := a.tracks[p.Stream.ID]
	if h == nil || !a.takesLocked(p.Stream.Kind) {
		a.mu.Unlock()
		return
	}
	if p.Stream.Kind == wire.KindAudio && a.audio != protocol.Payload_PAYLOAD_RTP {
		ok := h.frames != nil
		if ok {
			m.Payload, _, ok = h.frames.Push(p.Payload, p.Header.Timestamp, p.Header.Marker, false)
		}
		if !ok {
			a.mu.Unlock()
			return
		}
	}
	m.Track = h.id
	wake := a.out.add(now, &h.track, &m, a.pool)
	a.mu.Unlock()
	if wake {
		a.wakeUp()
	}
}

// takesLocked reports whether streams of a kind are wanted and granted.
func (a *attendance) takesLocked(k wire.Kind) bool {
	switch k {
	case wire.KindAudio:
		return a.audio != protocol.Payload_PAYLOAD_NONE
	case wire.KindVideo:
		return a.video != protocol.Payload_PAYLOAD_NONE
	}
	return false
}

// tell adds an event.
func (a *attendance) tell(e *protocol.Event) {
	a.mu.Lock()
	a.out.event(e)
	a.mu.Unlock()
	a.wakeUp()
}

// look brings what is known of the room up to date; for who does not want media, and for participants.
func (a *attendance) look(info *engine.RoomInfo) {
	text, err := json.Marshal(struct {
		Event        string                   `json:"event"`
		Room         string                   `json:"room"`
		Participants []engine.ParticipantInfo `json:"participants"`
	}{"participants", info.Room, info.Participants})
	a.mu.Lock()
	a.streamsLocked(a.media.Streams())
	if err == nil && string(text) != string(a.known) {
		if a.known != nil {
			a.out.event(&protocol.Event{Time: engine.EventTime(time.Now()), Event: "participants", Json: text})
		}
		a.known = text
	}
	something := a.out.streams != nil || len(a.out.events) > 0
	a.mu.Unlock()
	if something {
		a.wakeUp()
	}
}

// errStuck says that a plugin takes nothing.
var errStuck = errors.New("it has taken nothing of a room for 10 s")

// run attends the room with a plugin until ctx ends, and then lets the plugin finish with what it has, until end ends. It returns nil when
// the plugin is done with the room, errStuck when it hangs, and other errors when the call broke.
func (a *attendance) run(ctx, end context.Context, conn grpc.ClientConnInterface) error {
	streamCtx, cancelCause := context.WithCancelCause(end)
	cancel := func() { cancelCause(nil) }
	defer cancel()
	// Who does not read may block the sending before he owes acknowledgements.
	guard := time.AfterFunc(time.Hour, func() { cancelCause(errStuck) })
	defer guard.Stop()
	stream, err := conn.NewStream(streamCtx, &protocol.Rooms_ServiceDesc.Streams[0], protocol.Rooms_Attend_FullMethodName, grpc.MaxCallRecvMsgSize(maxRequest))
	if err != nil {
		return fmt.Errorf("attend: %w", err)
	}
	begin, err := protocol.Append(nil, &protocol.ToPlugin{Begin: &protocol.Begin{Room: roomMessage(&a.info)}})
	if err != nil {
		return fmt.Errorf("attend: %w", err)
	}
	if err := stream.SendMsg(&protocol.Frame{Bytes: begin}); err != nil {
		return a.ending(stream)
	}
	received := make(chan error, 1)
	go func() { received <- a.receive(stream) }()

	var in ears
	a.service.attends(a, true)
	defer func() {
		a.service.attends(a, false)
		a.close()
		in.close()
		if a.pcm != nil {
			a.pcm.close()
		}
	}()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	wanted, rest := a.wanted, time.NewTimer(time.Hour) // nil while what is wanted rests
	defer rest.Stop()
	for {
		if !a.service.patient {
			guard.Reset(stuckTime)
		}
		wait, err := a.send(stream)
		guard.Stop()
		if context.Cause(streamCtx) == errStuck { //nolint:errorlint // it is this one
			<-received
			return errStuck
		}
		if err != nil {
			cancel()
			return cmpErr(<-received, err)
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			in.close()
			// What was wanted is sent, then comes the end.
			if _, err := a.send(stream); err == nil && stream.CloseSend() == nil {
				select {
				case err := <-received:
					return ended(err)
				case <-end.Done():
				}
			}
			cancel()
			<-received
			return nil
		case err := <-received:
			return ended(err)
		case <-rest.C:
			wanted = a.wanted
		case w := <-wanted:
			wanted = nil
			rest.Reset(wantGap)
			if err := a.listen(&in, w); err != nil {
				cancel()
				<-received
				return err
			}
		case <-a.wake:
		case now := <-timer.C:
			if a.stuck(now) {
				cancel()
				<-received
				return errStuck
			}
		}
	}
}

// cmpErr returns what the plugin said, or else what went wrong here.
func cmpErr(said, here error) error {
	if said == nil || errors.Is(said, io.EOF) || errors.Is(said, context.Canceled) {
		return here
	}
	return said
}

// ended is how a call ended: io.EOF is a plugin that is done.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// ending returns how the call ended, for which no more can be sent.
func (a *attendance) ending(stream grpc.ClientStream) error {
	var f protocol.Frame
	return ended(stream.RecvMsg(&f))
}

// stuck reports whether the plugin has acknowledged nothing for too long.
func (a *attendance) stuck(now time.Time) bool {
	a.mu.Lock()
	number := a.out.number
	a.mu.Unlock()
	return !a.service.patient && a.acked.Load()+protocol.Window <= number && !a.since.IsZero() && now.Sub(a.since) > stuckTime
}

// send sends what is due, as far as the plugin has acknowledged, and returns when to look again.
func (a *attendance) send(stream grpc.ClientStream) (time.Duration, error) {
	for {
		now := time.Now()
		a.mu.Lock()
		if a.out.number >= a.acked.Load()+protocol.Window {
			a.mu.Unlock()
			if a.since.IsZero() {
				a.since = now
			}
			return time.Second, nil
		}
		a.since = time.Time{}
		message, wait, err := a.out.take(now, a.pool)
		samples := a.audio == protocol.Payload_PAYLOAD_PCM
		packets, dropped, batches, events := a.out.packets, a.out.dropped, a.out.droppedBatches, a.out.droppedEvents
		a.out.packets, a.out.dropped, a.out.droppedBatches, a.out.droppedEvents = 0, 0, 0, 0
		a.mu.Unlock()
		a.counters.packets.Add(packets)
		a.counters.dropped.Add(dropped)
		a.counters.droppedBatches.Add(batches)
		a.counters.droppedEvents.Add(events)
		if err != nil {
			return 0, err
		}
		if message == nil {
			if wait == 0 {
				wait = time.Hour
			}
			return wait, nil
		}
		if samples {
			if a.pcm == nil {
				a.pcm = newPCM()
			}
			if message, err = a.pcm.decode(message, a.pool); err != nil {
				return 0, err
			}
		}
		a.counters.messages.Add(1)
		a.counters.bytes.Add(uint64(len(message)))
		if err := stream.SendMsg(&protocol.Frame{Bytes: message, Pool: a.pool}); err != nil {
			return 0, err
		}
	}
}

// receive takes what the plugin says.
func (a *attendance) receive(stream grpc.ClientStream) error {
	var f protocol.Frame
	var m protocol.FromPluginMessage
	p := pace{gap: time.Second / messagesASecond, burst: messagesASecond / 5}
	for {
		if err := stream.RecvMsg(&f); err != nil {
			return err
		}
		time.Sleep(p.wait(time.Now())) // what else comes waits at the plugin
		if err := m.Parse(f.Bytes); err != nil {
			return fmt.Errorf("the plugin sent what cannot be read: %w", err)
		}
		if len(m.Media) > 0 {
			a.take(m.Media)
		}
		if m.Ack > a.acked.Load() {
			a.acked.Store(m.Ack)
			a.wakeUp()
		}
		if w := m.Want; w != nil {
			select { // the newest counts
			case <-a.wanted:
			default:
			}
			a.wanted <- want{audio: w.Audio, video: w.Video, voices: w.Voices, backlog: w.Backlog, talking: w.Talking, chat: w.Chat}
		}
	}
}

// take passes packets of the plugin's into the room.
func (a *attendance) take(media []protocol.Media) {
	if !a.granted[permissionSend] {
		a.refused(permissionSend)
		a.counters.refused.Add(uint64(len(media)))
		return
	}
	now, before := time.Now(), a.service.dropped.Load()
	for i := range media {
		a.service.send(a.media.ID(), &media[i], now)
	}
	a.counters.received.Add(uint64(len(media)))
	a.counters.refused.Add(a.service.dropped.Load() - before)
}

// ears is by what an attendance listens to a room.
type ears struct {
	media   engine.Subscription // nil: nothing is wanted
	tap     engine.Tapping      // nil: the room is no conference, or nothing was wanted yet
	options engine.TapOptions   // of the tap
	wants   want                // what was wanted last
}

func (e *ears) close() {
	if e.media != nil {
		e.media.Close()
	}
	if e.tap != nil {
		e.tap.Close()
	}
	*e = ears{}
}

// refresh asks for key frames of the pictures that are wanted.
func (a *attendance) refresh(sub engine.Subscription) {
	a.mu.Lock()
	var pictures []wire.StreamID
	for id, h := range a.tracks {
		if h.state.Kind == wire.KindVideo && h.state.Live && a.video != protocol.Payload_PAYLOAD_NONE {
			pictures = append(pictures, id)
		}
	}
	a.mu.Unlock()
	for _, id := range pictures {
		sub.Refresh(id)
	}
}

// listen begins to listen to what is wanted in place of what was, as far as it was granted. To say the same again asks for key frames.
func (a *attendance) listen(in *ears, w want) error {
	if in.media != nil && w == in.wants {
		a.refresh(in.media)
		return nil
	}
	in.wants = w
	if in.media != nil {
		in.media.Close()
		in.media = nil
	}
	need := func(p *protocol.Payload, permission string) {
		if *p != protocol.Payload_PAYLOAD_NONE && !a.granted[permission] {
			a.refused(permission)
			*p = protocol.Payload_PAYLOAD_NONE
		}
	}
	need(&w.audio, permissionAudio)
	need(&w.video, permissionVideo)
	need(&w.voices, permissionAudio)
	if w.chat && !a.granted[permissionChat] {
		a.refused(permissionChat)
		w.chat = false
	}
	if w.voices == protocol.Payload_PAYLOAD_PCM {
		return errors.New("it wants voices as samples: there are OPUS and RTP")
	}
	if err := a.tapIn(in, w); err != nil {
		return err
	}
	a.mu.Lock()
	a.audio, a.video, a.voice, a.relist = w.audio, w.video, w.voices, true // who decodes begins with the streams
	a.streamsLocked(a.media.Streams())
	a.mu.Unlock()
	if w.audio == protocol.Payload_PAYLOAD_NONE && w.video == protocol.Payload_PAYLOAD_NONE {
		return nil
	}
	sub, err := a.media.Subscribe(a, engine.SinkOptions{Backlog: w.backlog, Select: func(s *engine.StreamState) bool {
		return s.Kind == wire.KindAudio && w.audio != protocol.Payload_PAYLOAD_NONE || s.Kind == wire.KindVideo && w.video != protocol.Payload_PAYLOAD_NONE
	}})
	if err != nil {
		return fmt.Errorf("listen to the room: %w", err)
	}
	in.media = sub
	return nil
}

// tapIn listens in to a conference.
func (a *attendance) tapIn(in *ears, w want) error {
	room, ok := a.media.(engine.Tapper)
	if !ok || a.media.Mode() != "conference" {
		return nil
	}
	options := engine.TapOptions{Voices: w.voices != protocol.Payload_PAYLOAD_NONE, Talking: w.talking, Chat: w.chat}
	if in.tap != nil && options == in.options {
		return nil
	}
	if in.tap != nil {
		in.tap.Close()
		in.tap = nil
		a.mu.Lock()
		a.voices = nil
		a.mu.Unlock()
	}
	tap, err := room.Tap(a, options)
	if err != nil {
		return fmt.Errorf("listen in to the conference: %w", err)
	}
	in.tap, in.options = tap, options
	return nil
}
