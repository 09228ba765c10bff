package engine

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A tap shows what is in a conference besides its mix: what each of those who take part says, as it comes, who talks, whose hands are up, what
// is written. What each says is known to the peer that mixes and to its standby, and to nobody else; while somebody taps it at the peer
// that mixes, it does mix, also where few take part, who would hear each other directly. A peer by way of which somebody takes part knows
// the rest, as far as he is told; one that only listens knows nothing of it.

// Tapper is what a Media can do besides where its room is a conference. *Room implements it.
type Tapper interface {
	// Tap has t told of the conference until the Tapping is closed. It fails where the room is none.
	Tap(t Tap, o TapOptions) (Tapping, error)
}

// TapOptions say what a Tap wants besides hands and the title.
type TapOptions struct {
	Voices  bool // what each of those who take part says
	Talking bool // when who talks
	Chat    bool // what is written
}

// Tap is told of a conference. No call may block.
type Tap interface {
	// Voices gets those of whom WriteVoice gets packets from now on, in the order in which they came; at the start, where there are any, and
	// when that changes. Values of the list stay the same.
	Voices(all []*Voice)
	// WriteVoice gets a packet as it has come to this peer: before any jitter buffer, so that packets may come late, twice or not at all. The
	// packet is valid during the call. Calls come from several goroutines at once, those for one Voice one at a time; one that has begun
	// may go on while the Tapping is closed.
	WriteVoice(v *Voice, p *MediaPacket)
	// Happened gets EventTalking, EventHand, EventChat and EventTitle; at the start those for who talks and whose hand is up at the moment.
	// Calls come one at a time, and with those of Voices. The event is shared: it may be kept, and must not be changed.
	Happened(ev *Event)
}

// Voice is somebody who takes part in a conference, as long as he has this seat. Values are immutable.
type Voice struct {
	Participant string
	Name        string
	RED         bool // packets are those of RFC 2198, with Opus in them; else they are Opus
	Stereo      bool
	Started     time.Time // when he took the seat
}

// Tapping is an open Tap. Close may be called again; after it neither Voices nor Happened is called.
type Tapping interface{ Close() }

// Events that taps get. State tells "live" and "ended" of the first two.
const (
	EventTalking = "talking" // Participant is heard; it ends 0.4 s after his last sound. Time is the mixer's tick.
	EventHand    = "hand"    // Participant has raised his hand
	EventChat    = "chat"    // Participant wrote Message; Number grows with each message of the room
	EventTitle   = "title"   // the room's Title has changed
)

// maxTaps bounds the taps of a room, and talkQueue the changes of who talks that wait for the room; of more the newest are dropped and
// counted.
const (
	maxTaps   = 32
	talkQueue = 256
)

// talkSource is who says who talks.
type talkSource int

const (
	talkMixed  talkSource = iota // the mix of this peer
	talkDirect                   // that for its own participants, who hear the others directly
	talkTold                     // the peer that mixes
	talkSources
)

// talkChange says that somebody begins to be heard, or is heard no longer.
type talkChange struct {
	source      talkSource
	mix         uint64 // which one of the source's
	participant string
	on          bool
	at          time.Time
}

// taps is what a room has of its taps.
type taps struct {
	voices atomic.Pointer[[]*tapping] // those that want packets; nil: none
	needed atomic.Bool                // the hub has to mix for them
	queue  chan talkChange            // capacity talkQueue

	// The room's goroutine's.
	all     []*tapping
	list    []*Voice
	talking [talkSources]map[string]time.Time // since when
	mixes   [talkSources]uint64               // how many there were
}

func (t *taps) init() {
	t.queue = make(chan talkChange, talkQueue)
	for i := range t.talking {
		t.talking[i] = make(map[string]time.Time)
	}
}

// tapping is an open tap, and what it was told.
type tapping struct {
	room    *Room
	to      Tap
	options TapOptions
	close   sync.Once

	// the room's goroutine's
	voices  []*Voice
	talking map[string]bool
	hands   []string
	title   string
}

var (
	_ Tapper  = (*Room)(nil)
	_ Tapping = (*tapping)(nil)
)

// Tap implements Tapper.
func (r *Room) Tap(t Tap, o TapOptions) (Tapping, error) {
	if r.Mode() != "conference" {
		return nil, NewUserError(CodeWrongMode, "this room is a broadcast: only a conference has participants who talk")
	}
	p := &tapping{room: r, to: t, options: o, talking: make(map[string]bool), title: r.record.Load().Title}
	full := false
	err := r.call(context.Background(), func() {
		if full = len(r.taps.all) >= maxTaps; full {
			return
		}
		r.retapLoop(append(slices.Clone(r.taps.all), p))
		r.tapsLoop(time.Now())
	})
	switch {
	case err != nil:
		return nil, err
	case full:
		return nil, NewUserError(CodeFull, "too many listen in to this conference already: end one of them")
	}
	return p, nil
}

// Close implements Tapping.
func (p *tapping) Close() {
	p.close.Do(func() {
		r := p.room
		_ = r.call(context.Background(), func() { // with the room all of it ends
			r.retapLoop(slices.DeleteFunc(slices.Clone(r.taps.all), func(o *tapping) bool { return o == p }))
		})
	})
}

// retapLoop takes another list of taps.
func (r *Room) retapLoop(all []*tapping) {
	t := &r.taps
	t.all = all
	var voices []*tapping
	needed := false
	for _, p := range all {
		if p.options.Voices {
			voices = append(voices, p)
		}
		needed = needed || p.options.Voices || p.options.Talking
	}
	t.voices.Store(nil)
	if len(voices) > 0 {
		t.voices.Store(&voices)
	}
	if t.needed.Swap(needed) != needed {
		r.planLoop(time.Now())
	}
}

// heardVoice shows a packet of somebody who has a seat here to the taps.
func (r *Room) heardVoice(v *Voice, p *MediaPacket) {
	all := r.taps.voices.Load()
	if all == nil || v == nil {
		return
	}
	for _, t := range *all {
		t.to.WriteVoice(v, p)
	}
}

// talksLoop returns what a new mix of this peer tells who talks. It does not block.
func (r *Room) talksLoop(source talkSource) func(participant string, on bool, at time.Time) {
	clear(r.taps.talking[source])
	r.taps.mixes[source]++
	mix := r.taps.mixes[source]
	return func(participant string, on bool, at time.Time) {
		select {
		case r.taps.queue <- talkChange{source, mix, participant, on, at}:
		default:
			r.e.metrics.talksDropped.Add(1)
		}
	}
}

// talkedLoop takes a change of who talks.
func (r *Room) talkedLoop(c talkChange) {
	switch {
	case c.mix != r.taps.mixes[c.source]:
		return // of one that has ended
	case c.on:
		r.taps.talking[c.source][c.participant] = c.at
	default:
		delete(r.taps.talking[c.source], c.participant)
	}
	r.tapsLoop(c.at)
}

// toldTalkingLoop takes who talks as the peer that mixes says.
func (r *Room) toldTalkingLoop(hub bool, s *CallState, now time.Time) {
	if !hub {
		return // the standby may be behind
	}
	old, next := r.taps.talking[talkTold], make(map[string]time.Time)
	for _, p := range s.Participants {
		if !p.Talking {
			continue
		}
		next[p.Participant] = now
		if at, known := old[p.Participant]; known {
			next[p.Participant] = at
		}
	}
	r.taps.talking[talkTold] = next
	r.tapsLoop(now)
}

// talkingLoop returns who talks, by whoever knows best: who hears them.
func (r *Room) talkingLoop() map[string]time.Time {
	t := &r.taps
	if r.mixing == nil {
		clear(t.talking[talkMixed])
	}
	if r.direct == nil {
		clear(t.talking[talkDirect])
	}
	if len(r.lines) == 0 {
		clear(t.talking[talkTold])
	}
	d := r.directNow.Load()
	switch {
	case r.direct != nil && d != nil && d.lead:
		return t.talking[talkDirect]
	case r.mixing != nil:
		return t.talking[talkMixed]
	}
	return t.talking[talkTold]
}

// tapsLoop tells the taps what has changed by now.
func (r *Room) tapsLoop(now time.Time) {
	if len(r.taps.all) == 0 {
		return
	}
	talking, hands, title := r.talkingLoop(), r.seated.Load().hands, r.record.Load().Title
	r.voicesTapLoop()
	for _, p := range r.taps.all {
		if p.options.Voices && !slices.Equal(p.voices, r.taps.list) {
			p.voices = r.taps.list
			p.to.Voices(p.voices)
		}
		if p.options.Talking {
			p.talkingLoop(talking, now)
		}
		for _, id := range p.hands {
			if !slices.Contains(hands, id) {
				p.happened(now, &Event{Event: EventHand, Participant: id, State: "ended"})
			}
		}
		for _, id := range hands {
			if !slices.Contains(p.hands, id) {
				p.happened(now, &Event{Event: EventHand, Participant: id, State: "live"})
			}
		}
		p.hands = hands
		if p.title != title {
			p.title = title
			p.happened(now, &Event{Event: EventTitle, Title: title})
		}
	}
}

// talkingLoop tells one of them who talks.
func (p *tapping) talkingLoop(talking map[string]time.Time, now time.Time) {
	for _, id := range sortedKeys(p.talking) {
		if _, still := talking[id]; !still {
			delete(p.talking, id)
			p.happened(now, &Event{Event: EventTalking, Participant: id, State: "ended"})
		}
	}
	for _, id := range sortedKeys(talking) {
		if !p.talking[id] {
			p.talking[id] = true
			p.happened(talking[id], &Event{Event: EventTalking, Participant: id, State: "live"})
		}
	}
}

// happened completes an event, and tells it.
func (p *tapping) happened(at time.Time, ev *Event) {
	ev.Time, ev.Room = EventTime(at), string(p.room.id)
	if ev.Participant != "" && ev.Name == "" {
		for _, s := range p.room.seated.Load().participants {
			if s.Participant == ev.Participant {
				ev.Name = s.Name
			}
		}
	}
	p.to.Happened(ev)
}

// voicesTapLoop lists whose packets come here.
func (r *Room) voicesTapLoop() {
	var list []*Voice
	for s := range r.seated.Load().seats {
		if s.voice != nil && !s.info.Waiting {
			list = append(list, s.voice)
		}
	}
	slices.SortFunc(list, func(a, b *Voice) int {
		if c := a.Started.Compare(b.Started); c != 0 {
			return c
		}
		return strings.Compare(a.Participant, b.Participant)
	})
	if !slices.Equal(list, r.taps.list) {
		r.taps.list = list
	}
}

// wroteLoop tells the taps of messages that are new.
func (r *Room) wroteLoop(list []ChatMessage) {
	for _, m := range list {
		for _, p := range r.taps.all {
			if p.options.Chat {
				at, _ := time.Parse(time.RFC3339, m.Time) // say wrote it
				p.happened(at, &Event{Event: EventChat, Participant: m.Participant, Name: m.Name, Message: m.Text, Number: ptr(m.Number)})
			}
		}
	}
}
