package engine

import (
	"context"
	"sync"
	"time"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
)

// The directory is a gossip topic that tells of public rooms. It answers what a name may mean where nobody in reach is in
// such a room; how to get there, the room's own peers tell.

const (
	directorySize  = 512 // rooms; those heard longest ago go first
	directoryEvery = time.Minute
)

// directory keeps the room records that were heard. It is safe for concurrent use.
type directory struct {
	mu    sync.Mutex
	rooms map[wire.RoomID]listing
}

type listing struct {
	rec *room.Record
	at  time.Time
}

// add keeps a record from the directory topic.
func (d *directory) add(env []byte, now time.Time) {
	rec, err := room.VerifyRecord(env, now)
	if err != nil || rec.Private {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rooms == nil {
		d.rooms = make(map[wire.RoomID]listing)
	}
	if have, ok := d.rooms[rec.ID]; ok && room.Newer(have.rec, rec) {
		rec = have.rec
	}
	d.rooms[rec.ID] = listing{rec: rec, at: now}
	if len(d.rooms) <= directorySize {
		return
	}
	oldest := rec.ID
	for id, l := range d.rooms {
		if o := d.rooms[oldest]; l.at.Before(o.at) || l.at.Equal(o.at) && id < oldest {
			oldest = id
		}
	}
	delete(d.rooms, oldest)
}

// find returns the rooms of a name or id that were heard of.
func (d *directory) find(ref room.Ref, now time.Time) map[wire.RoomID]*found {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make(map[wire.RoomID]*found)
	for id, l := range d.rooms {
		if (ref.ID != "" && id == ref.ID || ref.ID == "" && l.rec.Name == ref.Name) && now.Before(l.rec.Expires) {
			out[id] = &found{rec: l.rec}
		}
	}
	return out
}

// list has the directory told soon of the rooms that this peer is the hub of.
func (e *Engine) list() {
	select {
	case e.listed <- struct{}{}:
	default:
	}
}

// directoryRun tells the directory of the rooms that this peer is the hub of.
func (e *Engine) directoryRun(ctx context.Context) {
	if err := e.control.Join(directoryTopic); err != nil {
		e.log.Warn("cannot join the directory", "err", err)
		return
	}
	tick := time.NewTicker(directoryEvery)
	defer tick.Stop()
	for {
		for _, r := range e.Rooms() {
			rec := r.record.Load()
			if !r.links.Load().place.Origin || rec.Private {
				continue
			}
			if err := e.control.Publish(ctx, directoryTopic, rec.Envelope); err != nil && ctx.Err() == nil {
				e.log.Debug("cannot publish room record", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-e.listed:
		}
	}
}
