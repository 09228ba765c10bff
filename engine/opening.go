package engine

import (
	"encoding/binary"

	"github.com/castd/castd/engine/seal"
)

// openerOf is what an opener opens.
type openerOf struct {
	s           *stream
	incarnation uint16
	key         [seal.RoomKeySize]byte
}

// keyless reports whether a packet was sealed with a key that this peer does not hold yet, and has it asked for.
func (l *leaf) keyless(s *stream, pkt []byte) bool {
	ring := l.room.ring.Load()
	if ring.current == 0 && len(ring.keys) > 0 {
		return false // a public room has no other
	}
	g, ok := s.generation(binary.BigEndian.Uint16(pkt[2:]))
	if !ok || g <= ring.current && len(ring.keys) > 0 {
		return false
	}
	l.room.lacks(g)
	return true
}

// opener returns what opens the packets of an incarnation, nil if its key is not held.
func (l *leaf) opener(s *stream, incarnation uint16) *seal.Opener {
	g, ok := s.generation(incarnation)
	if !ok {
		return nil
	}
	key := l.room.ring.Load().get(g)
	if key == nil {
		return nil
	}
	of := openerOf{s, incarnation, key.Key}
	if o := l.openers[of]; o != nil {
		return o
	}
	o, err := seal.NewOpener(key.RoomKey, []byte(s.device), s.id, incarnation)
	if err != nil {
		l.room.e.log.Error("cannot derive stream key", "err", err)
		return nil
	}
	l.openers[of] = o
	return o
}
