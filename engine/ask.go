package engine

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree"
)

// askAgainAfter is how long a peer is left in peace that could not be asked: of two connections that both sides opened at once, one
// is closed, and a question that was on it is lost.
const askAgainAfter = 200 * time.Millisecond

// asking is one search among peers. It belongs to the goroutine in ask.
type asking struct {
	e       *Engine
	ctx     context.Context
	ref     room.Ref
	query   *wire.RoomQuery
	answers map[wire.RoomID]*found
	refused []string

	done    chan asked // has room for each of those asked, once
	asked   map[peer.ID]bool
	pending int                   // of those asked for the first time
	failed  map[peer.ID]time.Time // who could not be asked, since when
}

// asked is what came of one question.
type asked struct {
	peer  peer.ID
	again bool // it was not the first
	found []*found
	err   error
}

// mostAsked bounds how many peers one search asks.
const mostAsked = 64

// ask asks peers about a room: those of an invite, else everyone who is connected or gets connected meanwhile. It returns as
// soon as all have answered and at least one knows, and after e.reach at the latest. Who cannot be asked is asked again for as
// long as nobody knows. chain is the right that is shown to peers of a private room; refused is why those who know the room do not
// tell.
func (e *Engine) ask(ctx context.Context, ref room.Ref, via []peer.AddrInfo, chain *wire.Chain) (answers map[wire.RoomID]*found, refused []string) {
	ctx, cancel := context.WithTimeout(ctx, e.reach)
	defer cancel()
	a := &asking{
		e: e, ctx: ctx, ref: ref, query: &wire.RoomQuery{Room: ref.Name, Chain: chain}, answers: make(map[wire.RoomID]*found),
		done: make(chan asked, mostAsked), asked: make(map[peer.ID]bool), failed: make(map[peer.ID]time.Time),
	}
	if ref.ID != "" {
		a.query.Room = string(ref.ID)
	}
	var wg sync.WaitGroup
	for _, p := range via[:min(len(via), mostAsked)] {
		a.question(&wg, p.ID, false)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil && (len(a.answers) == 0 || a.pending > 0) {
		for _, id := range e.control.Connected() {
			if !a.asked[id] && len(a.asked) < mostAsked {
				a.question(&wg, id, false)
			}
		}
		for _, id := range sortedKeys(a.failed) {
			if len(a.answers) == 0 && time.Since(a.failed[id]) >= askAgainAfter {
				delete(a.failed, id)
				a.question(&wg, id, true)
			}
		}
		select {
		case <-ctx.Done():
		case got := <-a.done:
			a.take(got)
		case <-tick.C:
		}
	}
	cancel()
	wg.Wait()
	close(a.done)
	for got := range a.done {
		a.take(got)
	}
	return a.answers, a.refused
}

// question asks one peer. Who is asked again is not waited for: he may be out of reach.
func (a *asking) question(wg *sync.WaitGroup, id peer.ID, again bool) {
	a.asked[id] = true
	if !again {
		a.pending++
	}
	wg.Go(func() {
		found, err := a.e.askRoom(a.ctx, id, a.query)
		a.done <- asked{peer: id, again: again, found: found, err: err}
	})
}

// take notes what came of a question.
func (a *asking) take(got asked) {
	if !got.again {
		a.pending--
	}
	if got.err != nil {
		a.failed[got.peer] = time.Now()
		return
	}
	for _, f := range got.found {
		if f.refused != "" {
			a.refused = append(a.refused, f.refused)
			continue
		}
		if a.ref.ID != "" && f.rec.ID != a.ref.ID || a.ref.ID == "" && f.rec.Name != a.ref.Name {
			continue
		}
		have := a.answers[f.rec.ID]
		if have == nil {
			a.answers[f.rec.ID] = f
			continue
		}
		have.candidates = append(have.candidates, f.candidates...)
		have.keys = append(have.keys, f.keys...)
		if have.beacon == nil {
			have.beacon, have.heard = f.beacon, f.heard
		}
		if room.Newer(f.rec, have.rec) {
			have.rec = f.rec
		}
	}
}

// askRoom asks one peer. An error says that no answer came, which another try may mend.
func (e *Engine) askRoom(ctx context.Context, id peer.ID, q *wire.RoomQuery) ([]*found, error) {
	var a wire.RoomAnswer
	if err := e.request(ctx, id, "", wire.Type_ROOM_QUERY, q, wire.Type_ROOM_ANSWER, &a); err != nil {
		return nil, err
	}
	var out []*found
	for _, rf := range a.Rooms[:min(len(a.Rooms), 8)] {
		if rf.GetRefused() != "" {
			out = append(out, &found{refused: rf.Refused})
			continue
		}
		rec, err := room.VerifyRecord(rf.Record, time.Now())
		if err != nil {
			continue
		}
		f := &found{
			rec: rec, candidates: candidatesFromWire(rf.Candidates), beacon: rf.Beacon,
			heard: time.Now().Add(-time.Duration(rf.BeaconAgeMs) * time.Millisecond),
		}
		if rf.Keys != nil {
			f.keys = append(f.keys, rf.Keys)
		}
		out = append(out, f)
	}
	return out, nil
}

// answerQuery answers with the open rooms of that name or id: their records and whom to ask for a place. Of a private room only
// those are told who may be in it, and they get its keys. Others hear why not, if they know the room's id; by a name they could
// find out what there is.
func (e *Engine) answerQuery(m *wire.Message, q *wire.RoomQuery) *wire.RoomAnswer {
	a := &wire.RoomAnswer{}
	for _, r := range e.Rooms() {
		rec := r.record.Load()
		if q.Room != string(r.id) && !strings.EqualFold(q.Room, rec.Name) {
			continue
		}
		if why := r.lockedOut(m, q.Chain); why != "" {
			if q.Room == string(r.id) || !rec.Private {
				a.Rooms = append(a.Rooms, &wire.RoomFound{Refused: why})
			}
			continue
		}
		if rec.Private {
			if why := r.refusal(m.User, q.Chain, time.Now()); why != "" {
				e.metrics.refused.Add(1)
				if q.Room == string(r.id) {
					a.Rooms = append(a.Rooms, &wire.RoomFound{Refused: why})
				}
				continue
			}
		}
		f := &wire.RoomFound{Record: rec.Envelope}
		if r.access.Load() != nil {
			f.Keys = r.keysMessage()
			f.Keys.Record = nil
		}
		l := r.links.Load()
		if b := r.beacon.Load(); b != nil && b.env != nil && time.Since(b.at) < messageLife {
			f.Beacon, f.BeaconAgeMs = b.env, uint32(time.Since(b.at).Milliseconds())
		}
		var list []tree.Candidate
		if l.place.Placed {
			list = append(list, r.selfCandidate(l.place))
		}
		f.Candidates = candidatesToWire(list)
		a.Rooms = append(a.Rooms, f)
	}
	slices.SortFunc(a.Rooms, func(x, y *wire.RoomFound) int { return slices.Compare(x.Record, y.Record) })
	return a
}

// askAgain asks the peers in reach about this room, for candidates.
func (r *Room) askAgain() {
	r.post(func() {
		for _, id := range r.e.control.Connected() {
			r.askPeerLoop(id)
		}
	})
}

func (r *Room) askPeerLoop(id peer.ID) {
	r.done.Go(func() {
		ctx, cancel := context.WithTimeout(r.ctx, 3*time.Second)
		defer cancel()
		told, err := r.e.askRoom(ctx, id, &wire.RoomQuery{Room: string(r.id), Chain: r.shownChain()})
		if err != nil {
			return // others are asked too, and the room is asked about again while it knows of no place
		}
		for _, f := range told {
			if f.refused != "" || f.rec.ID != r.id {
				continue
			}
			r.offer(f.candidates)
			r.postKeys(f)
			if m, err := wire.OpenEnvelope(f.beacon, time.Now()); f.beacon != nil && err == nil && m.Type == wire.Type_BEACON && m.Room == r.id {
				r.post(func() { r.beaconLoop(m, f.beacon, f.heard) })
			}
		}
	})
}

// postKeys has the room take the record, list and keys of an answer.
func (r *Room) postKeys(f *found) {
	rec := f.rec
	r.post(func() { r.recordLoop(rec) })
	for _, k := range f.keys {
		r.post(func() { r.keysLoop(k, time.Now()) })
	}
}
