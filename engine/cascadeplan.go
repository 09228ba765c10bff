package engine

import (
	"crypto/ed25519"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/wire"
)

// cascadePlan says which peers mix a conference besides its hub, and who sits where. Values are immutable.
type cascadePlan struct {
	hub          peer.ID
	term, number uint64
	mixers       []peer.ID  // without the hub
	addrs        [][][]byte // of each of them; may be fewer
	seats        []cascadePlanSeat
}

// cascadePlanSeat is a participant in it.
type cascadePlanSeat struct {
	planSeat
	at    peer.ID // a further mixer; "": the hub
	was   peer.ID // where he comes from, while he moves
	moves bool
}

const (
	// cascadePage is how many seats a page has: these fit into an envelope.
	cascadePage = 40
	// maxCascadePages bounds them: a mix has no more seats either.
	maxCascadePages = 32
	// maxMixSeats bounds what a peer may say that it can hold.
	maxMixSeats = 1000
)

// heardFrom lists the further mixers from which what he says may come, and tells whether the hub is one of those from whom it may.
func (s *cascadePlanSeat) heardFrom() (mixers []peer.ID, hub bool) {
	hub = s.at == "" || s.moves
	if s.at != "" {
		mixers = append(mixers, s.at)
	}
	if s.moves && s.was != "" && s.was != s.at {
		mixers = append(mixers, s.was)
	}
	return mixers, hub
}

// sits reports whether he sits at a further mixer, or may still.
func (s *cascadePlanSeat) sits(at peer.ID) bool { return s.at == at || s.moves && s.was == at }

// toWire writes a plan, in pages.
func (p *cascadePlan) toWire() (pages []*wire.CallCascade) {
	index := func(id peer.ID) uint32 { return uint32(slices.Index(p.mixers, id) + 1) }
	var mixers [][]byte
	for _, id := range p.mixers {
		mixers = append(mixers, []byte(id))
	}
	seats := p.seats[:min(len(p.seats), maxCascadePages*cascadePage)]
	for first := true; first || len(seats) > 0; first = false {
		n := min(len(seats), cascadePage)
		page := &wire.CallCascade{Term: p.term, Number: p.number, Mixers: mixers, Page: uint32(len(pages))}
		for _, s := range seats[:n] {
			page.Seats = append(page.Seats, &wire.CallSeat{
				Participant: s.participant, Peer: []byte(s.peer), User: s.user, Self: s.self, Red: s.red, SendsStereo: s.stereo,
				HearsStereo: s.hearsStereo, At: index(s.at), Moves: s.moves, Was: index(s.was), Announces: s.announces, To: s.to,
			})
		}
		seats, pages = seats[n:], append(pages, page)
	}
	for i, addrs := range p.addrs {
		pages[0].At = append(pages[0].At, &wire.Candidate{Peer: []byte(p.mixers[i]), Addrs: addrs})
	}
	for _, page := range pages {
		page.Pages = uint32(len(pages))
	}
	return pages
}

// cascadePages collects the pages of a plan.
type cascadePages struct {
	plan  *cascadePlan
	pages [][]cascadePlanSeat
	left  int
}

// take takes a page of a hub's, and returns the plan when it has all. What makes no sense is left out.
func (c *cascadePages) take(hub peer.ID, w *wire.CallCascade) *cascadePlan {
	if w.Pages == 0 || w.Pages > maxCascadePages || w.Page >= w.Pages || len(w.Mixers) > maxFurther || len(w.Seats) > cascadePage {
		return nil
	}
	p := &cascadePlan{hub: hub, term: w.Term, number: w.Number}
	for _, b := range w.Mixers {
		id, err := peer.IDFromBytes(b)
		if err != nil || slices.Contains(p.mixers, id) {
			return nil
		}
		p.mixers = append(p.mixers, id)
	}
	seats := make([]cascadePlanSeat, 0, len(w.Seats))
	for _, s := range w.Seats {
		read, ok := readCascadeSeat(s, p.mixers)
		if !ok {
			return nil
		}
		seats = append(seats, read)
	}
	if c.plan == nil || c.plan.hub != hub || c.plan.term != p.term || c.plan.number < p.number || len(c.pages) != int(w.Pages) {
		*c = cascadePages{plan: p, pages: make([][]cascadePlanSeat, w.Pages), left: int(w.Pages)}
	}
	if c.plan.number != p.number || c.pages[w.Page] != nil || !slices.Equal(c.plan.mixers, p.mixers) {
		return nil
	}
	c.pages[w.Page] = seats
	if c.left--; c.left > 0 {
		return nil
	}
	all := make(map[string]bool)
	for _, seats := range c.pages {
		for _, s := range seats {
			if !all[s.participant+" "+string(s.peer)] {
				all[s.participant+" "+string(s.peer)] = true
				p.seats = append(p.seats, s)
			}
		}
	}
	*c = cascadePages{}
	return p
}

func readCascadeSeat(s *wire.CallSeat, mixers []peer.ID) (out cascadePlanSeat, ok bool) {
	id, err := peer.IDFromBytes(s.GetPeer())
	switch {
	case err != nil, s.Participant == "", len(s.Participant) > maxParticipantID, len(s.To) > maxParticipantID:
		return out, false
	case len(s.User) != ed25519.PublicKeySize && len(s.User) != 0, int(s.At) > len(mixers), int(s.Was) > len(mixers):
		return out, false
	}
	place := func(n uint32) peer.ID {
		if n == 0 {
			return ""
		}
		return mixers[n-1]
	}
	return cascadePlanSeat{
		planSeat: planSeat{
			participant: s.Participant, peer: id, user: s.User, self: s.Self, red: s.Red, stereo: s.SendsStereo, hearsStereo: s.HearsStereo,
			announces: s.Announces, to: s.To,
		},
		at: place(s.At), was: place(s.Was), moves: s.Moves,
	}, true
}
