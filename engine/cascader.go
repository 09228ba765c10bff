package engine

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Who sits where in a conference that is more than one mixer can hold; see cascade.go.

const (
	// maxFurther bounds the further mixers of a room, each of which sends what is said at it to all others.
	maxFurther = 8
	// cascadeAnswer is how long a peer may take to be ready to mix, and cascadeSilence how long one that is may say nothing. Where it dies
	// those who sit there find out sooner.
	cascadeAnswer  = 5 * time.Second
	cascadeSilence = 2500 * time.Millisecond
	// cascadeMoves is how long somebody may take to go to another mixer.
	cascadeMoves = 8 * time.Second
	// cascadeAvoids is how long a mixer is not chosen that has failed, or one for him who did not get there.
	cascadeAvoids = 30 * time.Second
	// cascadeCalm is how long the others must have had room for those of a mixer until it is given up, and cascadeEmpty how long it goes on
	// when nobody sits there any more.
	cascadeCalm  = 10 * time.Second
	cascadeEmpty = 2 * time.Second
)

// cascadeSeat is a participant, as a cascader knows him.
type cascadeSeat struct {
	planSeat
	stays bool    // he sits at the hub in any case
	sits  peer.ID // where his sound goes, as his peer says; "": to the hub
}

// cascadeFacts are what a cascader goes by.
type cascadeFacts struct {
	mixed      bool          // the hub mixes
	seats      []cascadeSeat // of all participants; those who have been there for longest come first
	bound      int           // how many the hub can hold
	candidates []peer.ID     // who could mix as well, the best first
	hears      func(id peer.ID) bool
}

// cascader decides who sits where. It is a value without clock and network; the hub's room drives it.
//
// Everybody comes to the hub first. Where more sit there than it can hold, those who came last go to a further mixer, and nobody else
// moves. A mixer is given up when the others have had room for its participants, and a quarter of what they can hold besides, for a
// while; then these go to the others. Nobody is moved before the mixer that he is to go to has said that it is ready.
type cascader struct {
	number uint64
	places map[planSeatKey]*cascadePlace
	mixers []*furtherMixer // in the order in which they were chosen
	avoid  map[peer.ID]time.Time
	fitted time.Time // since when the others have had room for those of one; zero: they have not
}

// cascadePlace is where somebody sits, or is about to.
type cascadePlace struct {
	at    peer.ID // a further mixer; "": the hub
	was   peer.ID // where he comes from, while moves
	moves bool
	since time.Time // when that began
	shy   time.Time // until then he is left at the hub
}

// furtherMixer is one that the hub has named.
type furtherMixer struct {
	id       peer.ID
	since    time.Time // when it was
	seats    int       // how many it can hold
	ready    bool
	heard    time.Time // when it said so last; zero: it did not
	retires  bool      // it is to be given up
	missing  []peer.ID // further mixers that it does not reach
	addrs    [][]byte
	deserted time.Time // since when nobody has sat there; zero: somebody does
}

// furtherReport is what a further mixer says of itself.
type furtherReport struct {
	number  uint64
	seats   int
	ready   bool
	missing []peer.ID // mixers that it does not reach
	addrs   [][]byte  // its own
}

func newCascader() *cascader {
	return &cascader{places: make(map[planSeatKey]*cascadePlace), avoid: make(map[peer.ID]time.Time)}
}

// resume goes on from what another hub of the room said last.
func (c *cascader) resume(p *cascadePlan, self peer.ID, now time.Time) {
	c.number = p.number
	for _, id := range p.mixers {
		if id != self {
			c.mixers = append(c.mixers, &furtherMixer{id: id, since: now, seats: maxMixSeats})
		}
	}
	for _, s := range p.seats {
		if c.mixer(s.at) != nil {
			c.places[planSeatKey{s.participant, s.peer}] = &cascadePlace{at: s.at, was: s.was, moves: s.moves, since: now}
		}
	}
}

// mixer returns a further one, or nil.
func (c *cascader) mixer(id peer.ID) *furtherMixer {
	for _, m := range c.mixers {
		if m.id == id {
			return m
		}
	}
	return nil
}

// report takes what a further mixer says of itself. It reports whether that was about what was told last.
func (c *cascader) report(from peer.ID, r furtherReport, now time.Time) bool {
	m := c.mixer(from)
	if m == nil {
		return true
	}
	m.heard, m.seats, m.missing = now, min(r.seats, maxMixSeats), r.missing
	m.ready = m.ready || r.ready
	if len(r.addrs) > 0 && !slices.EqualFunc(m.addrs, r.addrs, bytes.Equal) {
		m.addrs = r.addrs
		c.number++ // the others are to know
	}
	if r.seats == 0 {
		c.fail(m, now)
	}
	return r.number == c.number
}

// fail gives a mixer up at once. Those who sat there go to the hub by themselves.
func (c *cascader) fail(m *furtherMixer, now time.Time) {
	c.avoid[m.id] = now.Add(cascadeAvoids)
	c.mixers = slices.DeleteFunc(c.mixers, func(o *furtherMixer) bool { return o == m })
	for _, p := range c.places {
		if p.at == m.id || p.moves && p.was == m.id {
			*p = cascadePlace{shy: p.shy, since: now}
		}
	}
	c.number++
}

// step looks at what has become of the room, and reports whether there is something to tell.
func (c *cascader) step(f cascadeFacts, now time.Time) bool {
	before := c.number
	c.seat(f, now)
	for _, m := range slices.Clone(c.mixers) {
		late := !m.ready && now.Sub(m.since) >= cascadeAnswer
		lost := m.ready && (!f.hears(m.id) || now.Sub(m.heard) >= cascadeSilence)
		if late || lost {
			c.fail(m, now)
		}
	}
	c.part(f, now)
	c.settle(f, now)
	if f.mixed {
		c.grow(f, now)
	}
	c.shrink(f, now)
	for id, until := range c.avoid {
		if now.After(until) {
			delete(c.avoid, id)
		}
	}
	return c.number != before
}

// part gives up the later one of two mixers that live and do not reach each other.
func (c *cascader) part(f cascadeFacts, now time.Time) {
	for i := 0; i < len(c.mixers); i++ {
		for _, id := range c.mixers[i].missing {
			o := c.mixer(id)
			if o == nil || !f.hears(id) || !f.hears(c.mixers[i].id) {
				continue
			}
			if slices.Index(c.mixers, o) < i {
				o = c.mixers[i]
			}
			c.fail(o, now)
			i = -1 // again: there are fewer
			break
		}
	}
}

// seat notes who has come and gone.
func (c *cascader) seat(f cascadeFacts, now time.Time) {
	there := make(map[planSeatKey]bool, len(f.seats))
	for _, s := range f.seats {
		key := s.key()
		there[key] = true
		if c.places[key] == nil {
			c.places[key] = &cascadePlace{since: now}
			c.told()
		}
	}
	for key := range c.places {
		if !there[key] {
			delete(c.places, key)
			c.told()
		}
	}
}

func (s *planSeat) key() planSeatKey { return planSeatKey{s.participant, s.peer} }

// told makes the next plan another one, where it is told to anybody.
func (c *cascader) told() {
	if len(c.mixers) > 0 {
		c.number++
	}
}

// move has somebody go to another mixer.
func (c *cascader) move(p *cascadePlace, to peer.ID, now time.Time) {
	if p.at != to {
		*p = cascadePlace{at: to, was: p.at, moves: true, since: now, shy: p.shy}
		c.number++
	}
}

// settle ends the moves of those who have come where they were sent. Who does not is left at the hub for a while; and so is he who went
// there by himself.
func (c *cascader) settle(f cascadeFacts, now time.Time) {
	for _, s := range f.seats {
		p := c.places[s.key()]
		switch at := p.at; {
		case p.moves && s.sits == at:
			p.moves, p.was = false, ""
			c.number++
		case s.stays && at != "":
			c.move(p, "", now)
		case !p.moves && s.sits != at && at != "" && s.sits == "":
			p.moves, p.since = true, now // he does not hear it; if it lives he may go there again
			c.number++
		case p.moves && now.Sub(p.since) >= cascadeMoves:
			*p = cascadePlace{since: now, shy: now.Add(cascadeAvoids)}
			c.number++
		}
	}
}

// held returns how many sit at a mixer, or are to, "" being the hub.
func (c *cascader) held(at peer.ID) (n int) {
	for _, p := range c.places {
		if p.at == at {
			n++
		}
	}
	return n
}

// grow sends those on who are too many for the hub, and looks for more mixers where there is no room.
func (c *cascader) grow(f cascadeFacts, now time.Time) {
	excess := c.held("") - f.bound
	if excess <= 0 {
		return
	}
	room := make(map[peer.ID]int)
	for _, m := range c.mixers {
		if m.ready && !m.retires {
			room[m.id] = m.seats - c.held(m.id)
		}
	}
	var to []cascadeSeat // who is to go, the last comer first
	for _, s := range slices.Backward(f.seats) {
		if p := c.places[s.key()]; len(to) < excess && p.at == "" && !p.moves && !s.stays && now.After(p.shy) {
			to = append(to, s)
		}
	}
	// Who calls by way of a peer that mixes sits best there.
	to = slices.DeleteFunc(to, func(s cascadeSeat) bool {
		if room[s.peer] <= 0 {
			return false
		}
		c.move(c.places[s.key()], s.peer, now)
		room[s.peer]--
		return true
	})
	waiting := 0
	for _, s := range to {
		i := slices.IndexFunc(c.mixers, func(m *furtherMixer) bool { return room[m.id] > 0 })
		if i < 0 {
			waiting++
			continue
		}
		c.move(c.places[s.key()], c.mixers[i].id, now)
		room[c.mixers[i].id]--
	}
	for _, m := range c.mixers {
		if !m.ready && !m.retires {
			waiting -= m.seats
		}
	}
	for _, id := range f.candidates {
		if waiting <= 0 || len(c.mixers) >= maxFurther {
			return
		}
		if c.mixer(id) != nil || c.avoid[id].After(now) || !f.hears(id) {
			continue
		}
		c.mixers = append(c.mixers, &furtherMixer{id: id, since: now, seats: f.bound})
		waiting -= max(f.bound, 1)
		c.number++
	}
}

// shrink gives up the mixer with the fewest participants, when the others have had room for them for a while.
func (c *cascader) shrink(f cascadeFacts, now time.Time) {
	for _, m := range slices.Clone(c.mixers) {
		if !c.deserted(m, f) {
			m.deserted = time.Time{}
		} else if m.deserted.IsZero() {
			m.deserted = now
		} else if now.Sub(m.deserted) >= cascadeEmpty && m.retires {
			c.mixers = slices.DeleteFunc(c.mixers, func(o *furtherMixer) bool { return o == m })
			c.number++
		}
	}
	if slices.ContainsFunc(c.mixers, func(m *furtherMixer) bool { return m.retires || !m.ready }) {
		c.fitted = time.Time{}
		return // one after the other
	}
	if len(c.mixers) == 0 {
		return
	}
	least := slices.MinFunc(c.mixers, func(a, b *furtherMixer) int { return cmp.Compare(c.held(a.id), c.held(b.id)) })
	spare := max(f.bound*3/4-c.held(""), 0)
	for _, m := range c.mixers {
		if m != least {
			spare += max(m.seats*3/4-c.held(m.id), 0)
		}
	}
	n := c.held(least.id)
	if n > spare {
		c.fitted = time.Time{}
		return
	}
	if c.fitted.IsZero() {
		c.fitted = now
	}
	if now.Sub(c.fitted) < cascadeCalm {
		return
	}
	c.fitted = time.Time{}
	least.retires = true
	c.number++
	home := max(f.bound*3/4-c.held(""), 0)
	for _, s := range f.seats { // who has been there for longest comes back to the hub
		p := c.places[s.key()]
		if p.at != least.id {
			continue
		}
		if home > 0 {
			home--
			c.move(p, "", now)
			continue
		}
		for _, m := range c.mixers {
			if m != least && c.held(m.id) < m.seats*3/4 {
				c.move(p, m.id, now)
				break
			}
		}
	}
}

// deserted reports whether nobody sits at a mixer, or is about to.
func (c *cascader) deserted(m *furtherMixer, f cascadeFacts) bool {
	for _, p := range c.places {
		if p.at == m.id || p.moves && p.was == m.id {
			return false
		}
	}
	return !slices.ContainsFunc(f.seats, func(s cascadeSeat) bool { return s.sits == m.id })
}

// busy reports whether there are further mixers.
func (c *cascader) busy() bool { return len(c.mixers) > 0 }

// plan returns what is to be told of these seats.
func (c *cascader) plan(hub peer.ID, term uint64, seats []cascadeSeat) *cascadePlan {
	p := &cascadePlan{hub: hub, term: term, number: c.number}
	for _, m := range c.mixers {
		p.mixers = append(p.mixers, m.id)
		p.addrs = append(p.addrs, m.addrs)
	}
	for _, s := range seats {
		is := cascadePlanSeat{planSeat: s.planSeat}
		if at := c.places[s.key()]; at != nil {
			is.at, is.was, is.moves = at.at, at.was, at.moves
		}
		p.seats = append(p.seats, is)
	}
	return p
}

// named lists the further mixers.
func (c *cascader) named() (ids []peer.ID) {
	for _, m := range c.mixers {
		ids = append(ids, m.id)
	}
	return ids
}

// clone copies the places, for who looks at what has changed.
func (c *cascader) clone() map[planSeatKey]cascadePlace {
	out := make(map[planSeatKey]cascadePlace, len(c.places))
	for key, p := range maps.All(c.places) {
		out[key] = *p
	}
	return out
}
