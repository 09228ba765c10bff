package elect

import (
	"slices"
	"time"
)

// Config sets up an Elector.
type Config struct {
	Self ID
	// Seed tells roles and rooms apart, for Rank.
	Seed string
	// Gates order successors; see Rank.
	Gates Gates
	// Lease is how long a holder counts as alive after its last renewal. Shorter: a role is taken over sooner, and a holder that is
	// only slow loses it, which costs its followers a change. Renew is how often it renews: several times within Lease, since
	// renewals get lost. Stagger is how much later each further successor moves, and must be longer than a message takes.
	Lease, Renew, Stagger time.Duration
	// Patience is what Lease is to a peer that was not named a successor.
	Patience time.Duration
	// Dwell is how long the first successor stays the first at least, while it is named at all: others may have made ready to follow it.
	Dwell time.Duration
	// Standbys is how many successors a holder names.
	Standbys int
}

// HubConfig returns what a room's hub is elected by: it is replaced within 1.5 to 2.5 s. Of those who may hold it, who is fit to be a
// supernode comes first.
func HubConfig(self ID, seed string) Config {
	return Config{
		Self: self, Seed: seed, Gates: SupernodeGates(), Lease: 1500 * time.Millisecond, Renew: 300 * time.Millisecond, Stagger: 500 * time.Millisecond,
		Patience: 5 * time.Second, Dwell: 30 * time.Second, Standbys: 3,
	}
}

// RoleConfig returns what a mixer, or another role that many could carry, is elected by: a lease of 2 s, renewed each 500 ms.
func RoleConfig(self ID, seed string) Config {
	return Config{
		Self: self, Seed: seed, Gates: SupernodeGates(), Lease: 2 * time.Second, Renew: 500 * time.Millisecond,
		Stagger: 500 * time.Millisecond, Patience: 5 * time.Second, Standbys: 2,
	}
}

// Bounds.
const (
	MaxSuccessors = 4
	maxOffers     = 64
	// offerLife is how long an offer counts that is not repeated.
	offerLife = 30 * time.Second
	// maxTerm keeps a liar from ending all terms by the last number there is.
	maxTerm = 1 << 62
)

// Term is a holder's time in a role.
type Term struct {
	N      uint64 // grows with each holder; 0 is nobody's
	Since  int64  // Unix milliseconds at which the holder began, by its clock
	Holder ID
}

// Newer reports whether a takes the place of b: the larger number does, then who began earlier, then the smaller id.
func (a Term) Newer(b Term) bool {
	switch {
	case a.N != b.N:
		return a.N > b.N
	case a.Since != b.Since:
		return a.Since < b.Since
	}
	return a.Holder != b.Holder && (b.Holder == "" || a.Holder < b.Holder)
}

// Lease is a renewal: from the holder to its successors, and to whoever takes another for the holder.
type Lease struct {
	Term       Term
	Successors []ID // the first moves first
}

// Input is something that happened.
type Input interface{ input() }

// Inputs.
type (
	// Stand says whether this peer may hold the role. It begins as one that may not.
	Stand struct{ Ready bool }
	// Take makes this peer the holder, at the next term.
	Take struct{}
	// Resign ends its term without a successor.
	Resign struct{}
	// Heard is a lease of a holder, whose right to the role the caller has verified; also what a holder tells otherwise, such as a
	// beacon, and also a repeated one, with the time at which it was heard where somebody else heard it.
	Heard struct {
		Lease Lease
		At    time.Time
	}
	// Served says whether this peer still gets what the holder gives, by whatever way: then the holder counts as alive.
	Served struct{ On bool }
	// Offered is an offer of a peer that may hold the role, as its reader attests it.
	Offered struct{ Offer Offer }
	// Gone says that a peer has left, or may not hold the role any more.
	Gone struct{ Peer ID }
	// Tick is given when NextDeadline has come; more often does no harm.
	Tick struct{}
)

func (Stand) input()   {}
func (Take) input()    {}
func (Resign) input()  {}
func (Heard) input()   {}
func (Served) input()  {}
func (Offered) input() {}
func (Gone) input()    {}
func (Tick) input()    {}

// Action is something for the caller to do.
type Action interface{ action() }

// Actions.
type (
	// Renew asks to send the lease to these peers.
	Renew struct {
		To    []ID
		Lease Lease
	}
	// Acquired says that this peer holds the role from now on, Lost that it does not any more, because of another's term.
	Acquired struct{ Term Term }
	Lost     struct{ To Term }
	// Follow says that another peer is the holder now.
	Follow struct{ Term Term }
)

func (Renew) action()    {}
func (Acquired) action() {}
func (Lost) action()     {}
func (Follow) action()   {}

type offered struct {
	Offer
	at time.Time
}

// former was an heir, and is told a few times that it is not: else it would miss renewals that nobody sends it.
type former struct {
	id   ID
	left int
}

// formerTold is how often, of which a minority may be lost.
const formerTold = 3

// Elector is one peer's view of one role. It belongs to one goroutine.
type Elector struct {
	cfg Config // constant

	now     time.Time
	acts    []Action
	ready   bool
	holding bool
	served  bool
	term    Term      // newest known, this peer's own while it holds
	highest uint64    // number of a term that was ever heard of
	heirs   []ID      // of term, in order
	firstAt time.Time // since when the first of them is, while this peer holds
	heard   time.Time // when the holder was heard last; the beginning where nobody was
	lostAt  time.Time // when this peer ceased to be served
	renewAt time.Time
	told    time.Time // when a pretender was answered last
	offers  []offered // sorted by peer
	former  []former  // who were heirs until a moment ago
}

// New returns an elector that has heard of nobody.
func New(c Config) *Elector { return &Elector{cfg: c} }

// Step takes what happened at now and returns what is to be done. The slice is valid until the next Step.
func (e *Elector) Step(now time.Time, in Input) []Action {
	e.acts = e.acts[:0]
	if now.Before(e.now) {
		now = e.now
	}
	if e.heard.IsZero() {
		e.heard, e.lostAt = now, now
	}
	e.now = now
	e.handle(in)
	e.timers()
	return e.acts
}

func (e *Elector) handle(in Input) {
	switch in := in.(type) {
	case Stand:
		if in.Ready && !e.ready {
			e.lostAt = later(e.lostAt, e.now)
		}
		e.ready = in.Ready
	case Take:
		e.take()
	case Resign:
		if e.holding {
			e.holding = false
			e.heard = e.now // nobody moves before a lease is over, unless it is told to
		}
	case Heard:
		e.hear(in.Lease, in.At)
	case Served:
		if e.served && !in.On {
			e.lostAt = e.now
		}
		e.served = in.On
	case Offered:
		e.offer(in.Offer)
	case Gone:
		e.offers = slices.DeleteFunc(e.offers, func(o offered) bool { return o.Peer == in.Peer })
		e.former = slices.DeleteFunc(e.former, func(f former) bool { return f.id == in.Peer })
		e.heirs = slices.DeleteFunc(slices.Clone(e.heirs), func(id ID) bool { return id == in.Peer })
	case Tick:
	}
}

func (e *Elector) take() {
	if e.holding {
		return
	}
	e.holding = true
	e.highest = min(max(e.highest, e.term.N)+1, maxTerm)
	e.term = Term{N: e.highest, Since: e.now.UnixMilli(), Holder: e.cfg.Self}
	e.heirs, e.former = nil, nil
	e.renewAt = e.now
	e.acts = append(e.acts, Acquired{Term: e.term})
}

// hear takes a lease. One of a term that is over is answered, so that its holder learns of it.
func (e *Elector) hear(l Lease, at time.Time) {
	t := l.Term
	if t.N == 0 || t.N > maxTerm || t.Holder == "" || t.Holder == e.cfg.Self {
		return
	}
	e.highest = max(e.highest, t.N)
	if at.IsZero() || at.After(e.now) {
		at = e.now
	}
	switch {
	case t.Holder == e.term.Holder && t.N == e.term.N: // a renewal
		e.heard = later(e.heard, at)
		e.setHeirs(l.Successors)
	case e.holding && t.Newer(e.term):
		e.holding = false
		e.follow(l, at)
		e.acts = append(e.acts, Lost{To: t})
	case e.holding:
		if e.now.Sub(e.told) >= e.cfg.Renew/2 {
			e.told = e.now
			e.acts = append(e.acts, Renew{To: []ID{t.Holder}, Lease: e.lease()})
		}
	case t.Newer(e.term), e.now.Sub(e.heard) >= e.cfg.Lease:
		// An older term counts again where the newer one's holder is silent: it may be all that is left.
		if at.Before(e.heard) && !t.Newer(e.term) {
			return
		}
		e.follow(l, at)
	}
}

func (e *Elector) follow(l Lease, at time.Time) {
	e.term, e.heard = l.Term, later(at, e.now.Add(-e.cfg.Lease))
	e.setHeirs(l.Successors)
	e.acts = append(e.acts, Follow{Term: l.Term})
}

func (e *Elector) setHeirs(ids []ID) {
	ids = ids[:min(len(ids), MaxSuccessors)]
	if !slices.Equal(ids, e.heirs) {
		e.heirs = slices.Clone(ids)
	}
}

func (e *Elector) offer(o Offer) {
	if o.Peer == "" || len(o.Peer) > MaxID || o.Peer == e.cfg.Self {
		return
	}
	o = o.Clamp()
	i, found := slices.BinarySearchFunc(e.offers, o.Peer, func(a offered, id ID) int {
		switch {
		case a.Peer < id:
			return -1
		case a.Peer > id:
			return 1
		}
		return 0
	})
	if found {
		e.offers[i] = offered{o, e.now}
		return
	}
	if len(e.offers) >= maxOffers {
		e.forget()
		if len(e.offers) >= maxOffers {
			return // those that are known keep their places
		}
		e.offer(o)
		return
	}
	e.offers = slices.Insert(e.offers, i, offered{o, e.now})
	if e.holding {
		e.renewAt = e.now // it is to know what it may have to do
	}
}

func (e *Elector) forget() {
	e.offers = slices.DeleteFunc(e.offers, func(o offered) bool { return e.now.Sub(o.at) >= offerLife })
}

// lease returns what the holder says now.
func (e *Elector) lease() Lease { return Lease{Term: e.term, Successors: e.heirs} }

func (e *Elector) timers() {
	if e.holding {
		if !e.now.Before(e.renewAt) {
			e.renew()
		}
		return
	}
	if at, ok := e.takeAt(); ok && !e.now.Before(at) {
		e.take()
		e.renew()
	}
}

func (e *Elector) renew() {
	e.forget()
	list := make([]Offer, len(e.offers))
	for i, o := range e.offers {
		list[i] = o.Offer
	}
	before := e.heirs
	e.heirs = Rank(e.cfg.Seed, e.cfg.Gates, list, min(e.cfg.Standbys, MaxSuccessors))
	e.dwell(before)
	e.renewAt = e.now.Add(e.cfg.Renew)
	for _, id := range before {
		if !slices.Contains(e.heirs, id) {
			e.former = append(e.former, former{id, formerTold})
		}
	}
	to := e.heirs[:len(e.heirs):len(e.heirs)]
	for i := range e.former {
		f := &e.former[i]
		if f.left--; !slices.Contains(to, f.id) {
			to = append(to, f.id)
		}
	}
	e.former = slices.DeleteFunc(e.former, func(f former) bool { return f.left <= 0 })
	if len(to) == 0 {
		e.renewAt = e.now.Add(offerLife) // the first offer brings it forward
		return
	}
	e.acts = append(e.acts, Renew{To: to, Lease: e.lease()})
}

// dwell keeps the first successor in its place for a while.
func (e *Elector) dwell(before []ID) {
	if len(e.heirs) == 0 || len(before) > 0 && e.heirs[0] == before[0] {
		return
	}
	if len(before) > 0 && e.now.Sub(e.firstAt) < e.cfg.Dwell {
		if i := slices.Index(e.heirs, before[0]); i >= 0 {
			e.heirs = slices.Insert(slices.Delete(e.heirs, i, i+1), 0, before[0])
			return
		}
	}
	e.firstAt = e.now
}

// takeAt returns when this peer takes the role, unless it hears of a holder before.
func (e *Elector) takeAt() (time.Time, bool) {
	if !e.ready || e.holding || e.served {
		return time.Time{}, false
	}
	wait, turn := e.cfg.Lease, slices.Index(e.heirs, e.cfg.Self)
	if turn < 0 {
		// Not among those who were named, or nobody was heard: later, in an order that the ids alone decide.
		wait, turn = e.cfg.Patience, int(race(e.cfg.Seed, e.cfg.Self, 1)>>12&7)
	}
	return later(e.heard.Add(wait), e.lostAt).Add(time.Duration(turn) * e.cfg.Stagger), true
}

// NextDeadline returns when to give Tick; false while there is nothing to wait for.
func (e *Elector) NextDeadline() (time.Time, bool) {
	if e.holding {
		return e.renewAt, true
	}
	return e.takeAt()
}

// Term returns the newest term known, and whether this peer holds it.
func (e *Elector) Term() (t Term, holding bool) { return e.term, e.holding }

// Lease returns what the holder said last, or says now.
func (e *Elector) Lease() Lease { return e.lease() }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
