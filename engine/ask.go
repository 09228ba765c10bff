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

// ask asks peers about a room: those of an invite, else everyone who is connected or gets connected meanwhile. It returns as
// soon as all have answered and at least one knows, and after e.reach at the latest. chain is the right that is shown to peers of
// a private room; refused is why those who know the room do not tell.
func (e *Engine) ask(ctx context.Context, ref room.Ref, via []peer.AddrInfo, chain *wire.Chain) (answers map[wire.RoomID]*found, refused []string) {
	ctx, cancel := context.WithTimeout(ctx, e.reach)
	defer cancel()
	q := &wire.RoomQuery{Room: ref.Name, Chain: chain}
	if ref.ID != "" {
		q.Room = string(ref.ID)
	}
	answers = make(map[wire.RoomID]*found)
	var mu sync.Mutex
	var wg sync.WaitGroup
	asked := make(map[peer.ID]bool)
	pending := 0
	done := make(chan struct{}, 64)
	askOne := func(id peer.ID) {
		asked[id] = true
		pending++
		wg.Go(func() {
			defer func() { done <- struct{}{} }()
			for _, f := range e.askRoom(ctx, id, q) {
				if f.refused != "" {
					mu.Lock()
					refused = append(refused, f.refused)
					mu.Unlock()
					continue
				}
				if ref.ID != "" && f.rec.ID != ref.ID || ref.ID == "" && f.rec.Name != ref.Name {
					continue
				}
				mu.Lock()
				if have := answers[f.rec.ID]; have == nil {
					answers[f.rec.ID] = f
				} else {
					have.candidates = append(have.candidates, f.candidates...)
					have.keys = append(have.keys, f.keys...)
					if have.beacon == nil {
						have.beacon, have.heard = f.beacon, f.heard
					}
					if room.Newer(f.rec, have.rec) {
						have.rec = f.rec
					}
				}
				mu.Unlock()
			}
		})
	}
	for _, p := range via {
		askOne(p.ID)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		for _, id := range e.control.Connected() {
			if !asked[id] && len(asked) < 64 {
				askOne(id)
			}
		}
		mu.Lock()
		enough := len(answers) > 0 && pending == 0
		mu.Unlock()
		if enough {
			break
		}
		select {
		case <-ctx.Done():
		case <-done:
			pending--
		case <-tick.C:
		}
	}
	cancel()
	wg.Wait()
	return answers, refused
}

// askRoom asks one peer.
func (e *Engine) askRoom(ctx context.Context, id peer.ID, q *wire.RoomQuery) []*found {
	var a wire.RoomAnswer
	if err := e.request(ctx, id, "", wire.Type_ROOM_QUERY, q, wire.Type_ROOM_ANSWER, &a); err != nil {
		return nil
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
	return out
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
		for _, f := range r.e.askRoom(ctx, id, &wire.RoomQuery{Room: string(r.id), Chain: r.shownChain()}) {
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
