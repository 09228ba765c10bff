package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
)

// Whoever takes part in a conference by way of a peer that does not mix it has a line: what he says goes over the hop from his peer to the
// one that mixes, and what he is to hear comes back over it. These packets are between the two only. They are neither streams of the
// room, which everybody would get, nor sealed or signed: a hop is, and whoever mixes has to read them anyway.

// lineEnd takes the packets of one direction of a line.
type lineEnd struct {
	from peer.ID
	take func(h *wire.Header, payload []byte)

	mu   sync.Mutex // guards seen
	seen window
}

// lineIDs returns the ids of a line's directions. device is that of the peer by way of which somebody takes part, at the one that mixes, or
// stands by.
func lineIDs(id wire.RoomID, device []byte, participant string, at peer.ID) (say, hear wire.StreamID) {
	return wire.NewStreamID(id, device, participant, "call", "say "+string(at)), wire.NewStreamID(id, device, participant, "call", "hear "+string(at))
}

// connect adds, or with nil removes, who takes packets of an id.
func (e *Engine) connect(id wire.StreamID, end *lineEnd) {
	e.mu.Lock()
	defer e.mu.Unlock()
	next := maps.Clone(*e.lines.Load())
	delete(next, id)
	if end != nil {
		next[id] = end
	}
	e.lines.Store(&next)
}

// takeLine takes a packet that belongs to a line, and reports whether it does. The header is a copy, so that those of all other packets need
// not be allocated.
func (e *Engine) takeLine(from peer.ID, h wire.Header, payload []byte) bool {
	end := (*e.lines.Load())[h.Stream]
	if end == nil || h.Kind != wire.KindAudio {
		return false
	}
	if end.from != from {
		e.metrics.notFed.Add(1)
		return true
	}
	end.mu.Lock()
	fresh := end.seen.fresh(h.Number)
	end.mu.Unlock()
	if fresh {
		end.take(&h, payload)
	} else {
		e.metrics.lineRepeated.Add(1)
	}
	return true
}

// window tells repeated numbers from new ones; what is 64 or more below the highest counts as repeated.
type window struct {
	begun bool
	high  uint64
	bits  uint64 // of high and those below it
}

func (w *window) fresh(n uint64) bool {
	switch {
	case !w.begun || n > w.high && n-w.high >= 64:
		*w = window{begun: true, high: n, bits: 1}
		return true
	case n > w.high:
		w.bits, w.high = w.bits<<(n-w.high)|1, n
		return true
	case w.high-n >= 64 || w.bits>>(w.high-n)&1 != 0:
		return false
	}
	w.bits |= 1 << (w.high - n)
	return true
}

// writeLine sends a packet of a line. It does not block, and drops what no hop takes.
func (e *Engine) writeLine(to peer.ID, id wire.StreamID, p *MediaPacket) {
	hop := e.hop(to)
	if hop == nil || len(p.Payload) > maxPayload {
		e.metrics.lineDropped.Add(1)
		return
	}
	h := wire.Header{
		Kind: wire.KindAudio, Marker: p.Marker, FrameStart: true, FrameEnd: true, Level: p.Level, Voice: p.Voice, Stream: id,
		Number: uint64(p.Sequence) & (1<<48 - 1), Timestamp: p.Timestamp,
	}
	pkt := append(h.Append(make([]byte, 0, h.Size()+len(p.Payload))), p.Payload...)
	if n, _ := hop.WritePackets([][]byte{pkt}); n == 0 {
		e.metrics.lineDropped.Add(1)
	}
}

// ofLine is a line's packet as it was written.
func ofLine(h *wire.Header, payload []byte) *MediaPacket {
	return &MediaPacket{
		Sequence: int64(h.Number), Timestamp: h.Timestamp, Marker: h.Marker, Level: h.Level, Voice: h.Voice, Payload: payload,
	}
}

// line is a seat at another peer's mix.
type line struct {
	// constant
	room      *Room
	hub       peer.ID
	config    SeatConfig
	say, hear wire.StreamID
	sound     bool // for his sound only, at a further mixer
	closed    sync.Once

	gone atomic.Bool  // the mixer says so
	loss atomic.Int64 // permille that the mixer was told last

	state uint64     // number of the newest that was told; the room's goroutine's
	told  *CallState // that; likewise

	hopless time.Time // since when there is no hop; the call's goroutine's
}

var _ Seat = (*line)(nil)

// maxHopless is how long a line waits for its hop to come back.
const maxHopless = time.Second

// seatPatience is how long it may take to ask a peer for a seat and to open the hop to it.
const seatPatience = 3 * time.Second

// soundIDs are those of a line to a further mixer.
func soundIDs(id wire.RoomID, device []byte, participant string, at peer.ID) (say, hear wire.StreamID) {
	return wire.NewStreamID(id, device, participant, "call", "sound "+string(at)), wire.NewStreamID(id, device, participant, "call", "mix "+string(at))
}

// soundSeatAt asks a further mixer for a seat for somebody's sound. It returns nothing where asking again may help.
func (r *Room) soundSeatAt(ctx context.Context, at peer.ID, c SeatConfig) (Seat, error) {
	if at != r.e.self {
		return r.dialSeat(ctx, at, c, true)
	}
	var s Seat
	err := r.call(ctx, func() {
		if l := r.localNativeLoop(c); l != nil {
			s = l
		}
	})
	return s, err
}

// dialLine asks a peer for a seat, and opens the hop to it. It returns nothing where asking again may help.
func (r *Room) dialLine(ctx context.Context, hub peer.ID, c SeatConfig) (Seat, error) {
	return r.dialSeat(ctx, hub, c, false)
}

// dialSeat does so; with sound for sound only, at a further mixer.
func (r *Room) dialSeat(ctx context.Context, hub peer.ID, c SeatConfig, sound bool) (Seat, error) {
	l := &line{room: r, hub: hub, config: c, sound: sound}
	ids := lineIDs
	if sound {
		ids = soundIDs
	}
	l.say, l.hear = ids(r.id, r.e.signer.Public(), c.Participant, hub)
	ask := &wire.SeatJoin{
		Participant: c.Participant, Name: c.Name, Red: c.RED, SendsStereo: c.SendsStereo, HearsStereo: c.HearsStereo, Chain: r.chain.Load(), Self: c.Self,
		Waiting: c.Waiting, Announces: c.Announces, To: c.To, Sound: sound,
	}
	short, cancel := context.WithTimeout(ctx, seatPatience)
	defer cancel()
	var answer wire.SeatAnswer
	if err := r.e.request(short, hub, r.id, wire.Type_SEAT_JOIN, ask, wire.Type_SEAT_ANSWER, &answer); err != nil {
		r.e.log.Debug("who mixes does not answer", "peer", hub, "err", err)
		return nil, nil
	}
	switch answer.Reason {
	case "":
	case "not_allowed":
		if c.Announces {
			return nil, r.unmoderated(CodeNotAllowed, Moderation{})
		}
		return nil, NewUserError(CodeNotAllowed, fmt.Sprintf("the owner of room %q does not let you speak: ask for an invite made with `castd invite %s --speak`", r.Name(), r.Name()))
	case room.DeniedPutOut, room.DeniedLocked, room.DeniedDismiss:
		return nil, denied(answer.Reason, r.Name())
	case deniedPolicy:
		return nil, refusedBy(answer.Detail, r.Name())
	case CodeNoParticipant:
		return nil, noParticipant(c.To, r.Name())
	case "full":
		return nil, NewUserError(CodeFull, fmt.Sprintf("the conference in room %q is full: listen to it, or try again when somebody has left", r.Name()))
	default:
		return nil, nil
	}
	r.e.connect(l.hear, &lineEnd{from: hub, take: func(h *wire.Header, payload []byte) {
		c.Hear(ofLine(h, append([]byte(nil), payload...)))
	}})
	_ = r.call(short, func() {
		r.lines[l] = true
		r.seatPlanLoop(hub, answer.Plan, time.Now())
		r.seatLinksLoop()
	})
	l.tell(&wire.SeatNews{Ready: true})
	if _, err := r.e.transport.Dial(short, hub); err != nil {
		r.e.log.Debug("cannot reach who mixes", "peer", hub, "err", err)
		l.Close()
		return nil, nil
	}
	return l, nil
}

// holds reports whether the line is still of use.
func (l *line) holds(now time.Time) bool {
	r := l.room
	if l.gone.Load() || !l.sound && !slices.Contains(r.mixers(), l.hub) {
		return false
	}
	switch {
	case r.e.hop(l.hub) != nil:
		l.hopless = time.Time{}
	case l.hopless.IsZero():
		l.hopless = now
	}
	return l.hopless.IsZero() || now.Sub(l.hopless) < maxHopless
}

// Write implements Seat.
func (l *line) Write(p *MediaPacket) { l.room.e.writeLine(l.hub, l.say, p) }

// Loss implements Seat. What has hardly changed is not told.
func (l *line) Loss(percent float64) {
	permille := int64(percent * 10)
	if old := l.loss.Load(); max(permille-old, old-permille) >= 10 || permille == 0 && old != 0 {
		l.loss.Store(permille)
		l.tell(&wire.SeatNews{LossPermille: proto.Uint32(uint32(max(0, min(permille, 1000))))})
	}
}

// Wish implements Seat.
func (l *line) Wish(participant string, gain float32) {
	l.tell(&wire.SeatNews{Wishes: []*wire.SeatWish{{Participant: participant, Gain: gain}}})
}

// Close implements Seat.
func (l *line) Close() {
	l.closed.Do(func() {
		l.room.e.connect(l.hear, nil)
		l.tell(&wire.SeatNews{Gone: true})
		l.room.tell(func() {
			delete(l.room.lines, l)
			l.room.seatLinksLoop()
		})
	})
}

// tell sends news to the mixer.
func (l *line) tell(n *wire.SeatNews) {
	n.Participant, n.Sound = l.config.Participant, l.sound
	l.room.sendSeatNews(l.hub, n)
}

// maxSeatNews bounds the news that are on their way out; more are dropped and counted.
const maxSeatNews = 64

// sendSeatNews sends news of a seat to a peer, at most once. It does not block.
func (r *Room) sendSeatNews(to peer.ID, n *wire.SeatNews) {
	env, err := r.e.seal(r.id, wire.Type_SEAT_NEWS, n)
	if err != nil {
		r.e.log.Error("cannot encode news of a seat", "err", err)
		return
	}
	if r.seatNews.Add(1) > maxSeatNews {
		r.seatNews.Add(-1)
		r.e.metrics.lineDropped.Add(1)
		return
	}
	r.done.Go(func() {
		defer r.seatNews.Add(-1)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), time.Second)
		defer cancel()
		if err := r.e.control.Send(ctx, to, env); err != nil {
			r.e.log.Debug("cannot tell of a seat", "peer", to, "err", err)
		}
	})
}
