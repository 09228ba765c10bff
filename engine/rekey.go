package engine

import (
	"fmt"
	"time"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/seal"
	"github.com/castd/castd/engine/wire"
)

// A publication goes over to another media key without a new beginning: numbers and timestamps go on, only the incarnation in the
// headers changes, and the announce says which generation belongs to it. The announce goes ahead, in every manifest of the time
// until the first packet, because a relay takes no packet of an incarnation that it has not been told of.

// rekeying is a change of a stream's key that has been announced.
type rekeying struct {
	sealer      *seal.Sealer
	incarnation uint16
	at          time.Time
}

// rekeysToWire returns what the announce tells of key changes.
func (ps *pubStream) rekeysToWire() []*wire.Rekey {
	var out []*wire.Rekey
	for _, k := range ps.rekeys {
		out = append(out, &wire.Rekey{Incarnation: uint32(k.Incarnation), Generation: k.Generation})
	}
	return out
}

// turn takes the announced key when it is time. The caller holds p.mu.
func (ps *pubStream) turn(now time.Time) {
	if u := ps.upcoming; u != nil && !now.Before(u.at) {
		ps.sealer, ps.sealing, ps.upcoming = u.sealer, u.incarnation, nil
		ps.sealer.Limit(ps.floor, ps.limit)
		ps.ask(now) // so that newcomers soon need no old key for the current group of pictures
	}
}

// rekeyLoop has the publication go over to a key, keyDelay from now.
func (r *Room) rekeyLoop(p *publication, key seal.RoomKey, now time.Time) error {
	p.mu.Lock()
	if p.ended {
		p.mu.Unlock()
		return nil
	}
	for _, label := range sortedKeys(p.streams) {
		if err := p.streams[label].rekey(r, key, now); err != nil {
			p.mu.Unlock()
			return fmt.Errorf("change key: %w", err)
		}
	}
	if err := p.sign(now, false); err != nil {
		p.mu.Unlock()
		return err
	}
	env := p.announce
	p.freshTo = now.Add(freshFor)
	p.flush(now)
	p.mu.Unlock()
	r.announceOwnLoop(env)
	return nil
}

// rekey prepares the change. The caller holds p.mu.
func (ps *pubStream) rekey(r *Room, key seal.RoomKey, now time.Time) error {
	ps.turn(now)
	incarnation, err := r.e.keeper.Reserve("incarnation "+ps.s.id.String(), 1)
	if err != nil {
		return err
	}
	sealer, err := seal.NewSealer(key, r.e.signer.Public(), ps.s.id, uint16(incarnation))
	if err != nil {
		return err
	}
	if r.e.sealed != nil {
		sealer.Watch(r.e.sealed)
	}
	if u := ps.upcoming; u != nil { // never used, and not going to be
		ps.rekeys = ps.rekeys[:len(ps.rekeys)-1]
	}
	ps.upcoming = &rekeying{sealer: sealer, incarnation: uint16(incarnation), at: now.Add(keyDelay)}
	ps.rekeys = append(ps.rekeys, room.Rekey{Incarnation: uint16(incarnation), Generation: key.Generation})
	if len(ps.rekeys) > room.MaxRekeys {
		ps.rekeys = ps.rekeys[len(ps.rekeys)-room.MaxRekeys:]
	}
	return nil
}
