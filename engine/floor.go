package engine

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree"
)

// The floor of a conference is what its participants say without speaking: raised hands, which wait in the order in which they went up, and
// messages to all. The peer that mixes keeps both; neither gives anybody a right. Who moves to another mixer takes his raised hand along,
// and its age; messages are remembered by every peer that has somebody in the conference.

const (
	// maxChat is how many messages are remembered, and maxChatText how long one may be, in octets.
	maxChat     = 100
	maxChatText = 4 * ChatRunes
	// chatAtOnce is how much of them one message between peers has, in octets: less than a half of wire.MaxEnvelope.
	chatAtOnce = 7000
	// ChatRunes is how long a message may be, in characters.
	ChatRunes = 1000
	// A participant may write chatBurst messages at once, and one each chatEvery.
	chatBurst = 5
	chatEvery = time.Second
	// retellGap is the least time between two times that all are told of what is not the mix's to tell.
	retellGap = 200 * time.Millisecond
)

// CodeTooMany says that somebody writes too much.
const CodeTooMany = "too_many_requests" // 429

// floor is what the room's goroutine keeps.
type floor struct {
	hands []hand
	chat  []ChatMessage // the newest maxChat
}

// hand is a raised one.
type hand struct {
	participant string
	since       time.Time
}

// raise puts a hand in the queue, where it is not yet, by the time since when it is up.
func (f *floor) raise(participant string, since time.Time) {
	if slices.ContainsFunc(f.hands, func(h hand) bool { return h.participant == participant }) {
		return
	}
	i, _ := slices.BinarySearchFunc(f.hands, since, func(h hand, t time.Time) int {
		if h.since.After(t) {
			return 1
		}
		return -1 // after those that are as old
	})
	f.hands = slices.Insert(f.hands, i, hand{participant, since})
}

// lower takes a hand down, and reports whether it was up.
func (f *floor) lower(participant string) bool {
	n := len(f.hands)
	f.hands = slices.DeleteFunc(f.hands, func(h hand) bool { return h.participant == participant })
	return len(f.hands) < n
}

// queue lists whose hands are up, with those of others who are not on the floor.
func (f *floor) queue(others []hand) []string {
	list := append(slices.Clone(f.hands), others...)
	slices.SortStableFunc(list, func(a, b hand) int { return a.since.Compare(b.since) })
	var all []string
	for _, h := range list {
		all = append(all, h.participant)
	}
	return all
}

// remember takes messages, of which some may be known, and returns those that were not. What another peer tells comes in any order.
func (f *floor) remember(list []ChatMessage) (fresh []ChatMessage) {
	for _, m := range list {
		i, known := slices.BinarySearchFunc(f.chat, m.Number, func(o ChatMessage, n uint64) int { return cmp.Compare(o.Number, n) })
		if !known {
			f.chat = slices.Insert(f.chat, i, m)
			fresh = append(fresh, m)
		}
	}
	if n := len(f.chat) - maxChat; n > 0 {
		f.chat = slices.Clone(f.chat[n:])
	}
	return fresh
}

// say makes a message of what somebody has written.
func (f *floor) say(participant, name, text string, now time.Time) ChatMessage {
	number := uint64(now.UnixMilli()) // above those of a mixer before, whose messages this one has not got
	if n := len(f.chat); n > 0 {
		number = max(number, f.chat[n-1].Number+1)
	}
	m := ChatMessage{Number: number, Participant: participant, Name: name, Text: text, Time: EventTime(now)}
	f.remember([]ChatMessage{m})
	return m
}

// welcome tells somebody who has just come what was written.
func (f *floor) welcome(s *roomSeat) {
	if s.news == nil {
		return
	}
	for rest := slices.Clone(f.chat); len(rest) > 0; {
		n, size := 0, 0
		for n < len(rest) && (n == 0 || size+len(rest[n].Text) <= chatAtOnce) {
			size += len(rest[n].Text) + chatOverhead
			n++
		}
		s.news(&CallNews{Chat: rest[:n:n]})
		rest = rest[n:]
	}
}

// chatOverhead is what a message has besides its text, in octets, at most.
const chatOverhead = 2*maxParticipantID + 4*room.MaxName

// limit is how much somebody may write: a bucket of chatBurst that fills by one each chatEvery.
type limit struct{ full time.Time }

// take reports whether there is one left.
func (l *limit) take(now time.Time) bool {
	if l.full.Before(now) {
		l.full = now
	}
	if l.full.Sub(now) > (chatBurst-1)*chatEvery {
		return false
	}
	l.full = l.full.Add(chatEvery)
	return true
}

// cleanChat returns the form in which a message is shown: lines, without other control characters, at most ChatRunes characters.
func cleanChat(text string) string {
	if len(text) > maxChatText {
		text = text[:maxChatText]
	}
	var lines []string
	left := ChatRunes
	for line := range strings.SplitSeq(strings.ToValidUTF8(text, ""), "\n") {
		line = room.CleanText(line, left)
		lines = append(lines, line)
		if left -= utf8.RuneCountInString(line) + 1; left <= 0 {
			break
		}
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

func chatToWire(list []ChatMessage) []*wire.ChatMessage {
	var out []*wire.ChatMessage
	for _, m := range list {
		at, _ := time.Parse(time.RFC3339, m.Time) // say wrote it
		out = append(out, &wire.ChatMessage{Number: m.Number, Participant: m.Participant, Name: m.Name, Text: m.Text, TimeMs: at.UnixMilli()})
	}
	return out
}

// chatFromWire reads what another peer tells; what makes no sense is left out.
func chatFromWire(list []*wire.ChatMessage) []ChatMessage {
	var out []ChatMessage
	for _, w := range list[:min(len(list), maxChat)] {
		text := cleanChat(w.GetText())
		if text == "" || len(w.Participant) > maxParticipantID {
			continue
		}
		out = append(out, ChatMessage{
			Number: w.Number, Participant: w.Participant, Name: room.CleanName(w.Name), Text: text, Time: EventTime(time.UnixMilli(w.TimeMs)),
		})
	}
	return out
}

// floorSeat is what seats can besides, wherever they are.
type floorSeat interface {
	raise(up bool, since time.Duration)
	write(text string)
	wait(on bool)                   // who mixes has him wait to be let in: for standbys
	sits(at peer.ID, number uint64) // his sound goes to a further mixer, "": to the hub
}

var (
	_ floorSeat = (*roomSeat)(nil)
	_ floorSeat = (*line)(nil)
)

func (s *roomSeat) raise(up bool, since time.Duration) {
	s.room.post(func() { s.room.handLoop(s.info.Participant, up, since, time.Now()) })
}

func (s *roomSeat) write(text string) {
	s.room.post(func() { s.room.sayLoop(s, text, time.Now()) })
}

func (l *line) raise(up bool, since time.Duration) {
	l.tell(&wire.SeatNews{Hand: &wire.SeatHand{Raised: up, AgeMs: uint32(min(since, maxHand).Milliseconds()), Number: uint64(time.Now().UnixMicro())}})
}

func (l *line) write(text string) { l.tell(&wire.SeatNews{Say: text}) }

func (s *roomSeat) wait(on bool) { s.room.post(func() { s.room.waitLoop(s, on) }) }

func (l *line) wait(on bool) { l.tell(&wire.SeatNews{Waiting: &on}) }

func (s *roomSeat) sits(at peer.ID, number uint64) {
	s.room.tell(func() { s.room.sitsLoop(s, at, number) })
}

func (l *line) sits(at peer.ID, number uint64) {
	l.tell(&wire.SeatNews{Sits: &wire.SeatPlace{At: []byte(at), Number: number}})
}

// maxHand bounds for how long a hand is said to have been up.
const maxHand = 24 * time.Hour

// heardSeatLoop takes what a participant who comes by way of another peer says besides.
func (r *Room) heardSeatLoop(s *roomSeat, n *wire.SeatNews, now time.Time) {
	if n.Hand != nil && n.Hand.Number > s.handNumber {
		s.handNumber = n.Hand.Number
		r.handLoop(s.info.Participant, n.Hand.Raised, min(time.Duration(n.Hand.AgeMs)*time.Millisecond, maxHand), now)
	}
	if n.Say != "" {
		r.sayLoop(s, n.Say, now)
	}
	if n.Ready {
		s.ready = true
		r.greetLoop(s)
	}
	if n.Waiting != nil {
		r.waitLoop(s, *n.Waiting)
	}
	if n.Sits != nil {
		r.sitsLoop(s, peer.ID(n.Sits.At), n.Sits.Number)
	}
}

// heardNewsLoop takes what whoever mixes has to say to somebody who takes part by way of this peer.
func (r *Room) heardNewsLoop(l *line, n *wire.SeatNews) {
	chat := chatFromWire(n.Chat)
	if r.mixing == nil || r.mixing.follows != "" {
		r.wroteLoop(r.floor.remember(chat))
	}
	if p := n.Place; p != nil && l.config.News != nil && l.hub == r.mixer() {
		if len(p.At) > 0 {
			r.learn(tree.Candidate{Peer: tree.ID(p.At), Addrs: shortAddrs(p.Addrs)})
		}
		l.config.News(&CallNews{place: &placed{peer.ID(p.At), p.Number}})
	}
	if l.config.News != nil && (len(chat) > 0 || n.Notice == CodeTooMany) {
		l.config.News(&CallNews{Code: n.Notice, Chat: chat})
	}
}

// handLoop puts somebody's hand up, or takes it down. Only who sits here has one.
func (r *Room) handLoop(participant string, up bool, since time.Duration, now time.Time) {
	if !up {
		if !r.floor.lower(participant) {
			return
		}
	} else if s := r.seatOfLoop(participant); s == nil || !s.inside {
		return
	} else {
		r.floor.raise(participant, now.Add(-since))
	}
	r.reseatLoop()
}

// sayLoop passes on what a participant has written.
func (r *Room) sayLoop(s *roomSeat, text string, now time.Time) {
	if text = cleanChat(text); text == "" || r.mixing == nil || !r.mixing.seats[s] || !s.inside {
		return
	}
	if !s.said.take(now) {
		if s.news != nil {
			s.news(&CallNews{Code: CodeTooMany})
		}
		return
	}
	n := &CallNews{Chat: []ChatMessage{r.floor.say(s.info.Participant, s.info.Name, text, now)}}
	r.wroteLoop(n.Chat)
	for o := range r.mixing.seats {
		if o.news != nil && o.inside {
			o.news(n)
		}
	}
}

// Chat returns what was written last, the oldest first, as far as this peer knows: it does while somebody takes part by way of it.
func (r *Room) Chat(ctx context.Context) (list []ChatMessage, err error) {
	err = r.call(ctx, func() { list = slices.Clone(r.floor.chat) })
	return list, err
}

// teller tells a participant the state of his conference: what the mix says of it, completed by what is the room's to say.
type teller struct {
	// constant
	room *Room
	to   func(*CallState) // may be nil
	self string           // his id

	mu     sync.Mutex // makes calls of to come one at a time, and guards what follows
	state  *CallState // of the mix
	closed bool
	waits  string // what he waits for
}

// close makes sure that nothing is told any more.
func (t *teller) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
}

// mixed takes a state of the mix.
func (t *teller) mixed(s *CallState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state = s
	t.tellLocked()
}

// again tells what the room says now.
func (t *teller) again() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tellLocked()
}

func (t *teller) tellLocked() {
	if t.to != nil && t.state != nil && !t.closed {
		t.to(outsider(t.room.full(t.state), t.self, t.waits))
	}
}

// fullState is a state of the mix and what became of it. Values are immutable.
type fullState struct{ of, is *CallState }

// full completes a state of the mix. All participants are told the same one, which is made once.
func (r *Room) full(s *CallState) *CallState {
	seated := r.seated.Load()
	if f := seated.full.Load(); f != nil && f.of == s {
		return f.is
	}
	p, now := r.policy(), time.Now()
	full := &CallState{
		Participants: slices.Clone(s.Participants), Dominant: s.Dominant, Hands: seated.hands, Locked: p.Locked(now), Knock: p.Knocks(now),
		MutedAll: p.MutedAll(now), Title: p.Record.Title, Settings: settingsInfo(p.Record),
		Mixer: r.mixerInfo(), Recording: r.recordingNow(),
	}
	for i := range full.Participants {
		c := &full.Participants[i]
		k, ok := slices.BinarySearchFunc(seated.participants, c.Participant, func(p ParticipantInfo, id string) int { return strings.Compare(p.Participant, id) })
		if ok {
			at := &seated.participants[k]
			c.Muted, c.Waiting, c.Roles = at.Muted, at.Waiting, at.Roles
		}
	}
	full.Participants = withAudience(full.Participants, seated.participants)
	seated.full.Store(&fullState{s, full})
	return full
}

// retellLoop tells all participants what has changed that the mix does not tell of, soon but not all the time.
func (r *Room) retellLoop(now time.Time) {
	if !r.untold || r.mixing == nil || now.Sub(r.retold) < retellGap {
		return
	}
	r.untold, r.retold = false, now
	for s := range r.mixing.seats {
		s.tell.again()
	}
}

// satLoop notes that somebody has a seat, or had one: a locked room lets him in again.
func (r *Room) satLoop(participant string) {
	if len(r.sat) >= maxTakingPart {
		clear(r.sat)
	}
	r.sat[participant] = true
}

// knownRoles returns the roles that another peer tells of that this one knows.
func knownRoles(list []string) []string {
	roles := []string{}
	for _, role := range []string{room.RoleOwner, room.RoleModerator, room.RoleSpeaker, room.RoleListener} {
		if slices.Contains(list, role) {
			roles = append(roles, role)
		}
	}
	return roles
}

// who is who takes part by the call.
func (k *call) who() room.Standing {
	return room.Standing{Participant: k.config.Participant, User: k.room.e.userKey(), Self: k.config.Self}
}

// obey does what moderators say of who takes part by way of this peer: nothing of him is sent while he is muted, of which he is told. It
// reports false where he was put out.
func (k *call) obey(now time.Time) bool {
	a := k.room.access.Load()
	if a == k.obeyed && now.Sub(k.obeyedAt) < time.Second {
		return true
	}
	k.obeyed, k.obeyedAt = a, now
	p, who := k.room.policy(), k.who()
	if p.PutOut(who, now) {
		k.mu.Lock()
		k.err = denied(room.DeniedPutOut, k.room.Name())
		k.mu.Unlock()
		return false
	}
	if muted := p.Muted(who, now); k.muted.Swap(muted) != muted {
		code, tone := NewsUnmuted, ToneUnmuted
		if muted {
			code, tone = NewsMuted, ToneMuted
		}
		if k.config.News != nil {
			k.config.News(&CallNews{Code: code})
		}
		if l, d := k.local.Load(), k.direct(); l != nil && d != nil && d.only && !p.Record.Settings.Has(room.NoTones) {
			l.seat.Tone(tone)
		}
	}
	return true
}

// Raise implements Call.
func (k *call) Raise(up bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case !up:
		k.hand, k.handUp = time.Time{}, false
	case k.hand.IsZero():
		k.hand = time.Now()
	}
	for _, s := range *k.seats.Load() {
		s.raise(up, 0)
	}
}

// raise puts the hand up or down at the seat.
func (s callSeat) raise(up bool, since time.Duration) {
	if f, ok := s.seat.(floorSeat); ok {
		f.raise(up, since)
	}
}

// wait tells a standby whether he waits to be let in.
func (s callSeat) wait(on bool) {
	if f, ok := s.seat.(floorSeat); ok {
		f.wait(on)
	}
}

// Say implements Call.
func (k *call) Say(text string) {
	if len(text) > maxChatText {
		text = text[:maxChatText]
	}
	for _, s := range *k.seats.Load() {
		if f, ok := s.seat.(floorSeat); ok && s.at == k.room.mixer() { // the standby would say it again
			f.write(text)
		}
	}
}

// Moderate implements Call.
func (k *call) Moderate(ctx context.Context, m Moderation) error {
	by := k.config.Participant
	if k.config.Self {
		by = ""
	}
	return k.room.moderate(ctx, m, by)
}

// told notes what the state says of him: a hand that a moderator took down is not raised anew at the next mixer.
func (k *call) told(s *CallState) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if waits := s.Waiting == WaitingAdmission; waits || waits != k.waits { // again and again, as it may get lost
		k.waits = waits
		for _, s := range *k.seats.Load() {
			s.wait(waits)
		}
	}
	switch up := slices.Contains(s.Hands, k.config.Participant); {
	case up:
		k.handUp = !k.hand.IsZero()
	case k.handUp:
		k.hand, k.handUp = time.Time{}, false
		for _, s := range *k.seats.Load() {
			s.raise(false, 0) // the standby did not hear of it
		}
	}
}

// news hands on what he has not got yet: the next mixer tells him all that it remembers.
func (k *call) news(n *CallNews) {
	if n.place != nil {
		k.placed(n.place)
		return
	}
	k.mu.Lock()
	var fresh []ChatMessage
	for _, m := range n.Chat {
		if !slices.Contains(k.read, m.Number) {
			k.read = append(k.read, m.Number)
			fresh = append(fresh, m)
		}
	}
	k.read = k.read[max(0, len(k.read)-2*maxChat):]
	k.mu.Unlock()
	if k.config.News != nil && (n.Code != "" || len(fresh) > 0) {
		k.config.News(&CallNews{Code: n.Code, Chat: fresh})
	}
}
