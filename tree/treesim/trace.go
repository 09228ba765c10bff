package treesim

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
)

// trace is the event log of a run, of which only the digest is kept.
type trace struct {
	h   hash.Hash
	buf []byte
}

func newTrace() trace { return trace{h: sha256.New(), buf: make([]byte, 0, 1<<16)} }

func (t *trace) room(n int) {
	if len(t.buf)+n > cap(t.buf) {
		t.h.Write(t.buf)
		t.buf = t.buf[:0]
	}
}

// event notes that an event happened.
func (t *trace) event(at int64, p *payload) {
	t.room(48)
	t.buf = append(t.buf, 'e', byte(p.kind))
	t.buf = binary.LittleEndian.AppendUint64(t.buf, uint64(at))
	t.buf = binary.LittleEndian.AppendUint32(t.buf, uint32(p.a))
	t.buf = binary.LittleEndian.AppendUint32(t.buf, uint32(p.b))
	t.buf = binary.LittleEndian.AppendUint64(t.buf, uint64(p.x))
	t.buf = binary.LittleEndian.AppendUint64(t.buf, uint64(p.y))
}

// action notes what a router wanted: a letter for the kind, whom it concerns, and a number.
func (t *trace) action(kind byte, who, to int32, n uint64) {
	t.room(24)
	t.buf = append(t.buf, 'a', kind)
	t.buf = binary.LittleEndian.AppendUint32(t.buf, uint32(who))
	t.buf = binary.LittleEndian.AppendUint32(t.buf, uint32(to))
	t.buf = binary.LittleEndian.AppendUint64(t.buf, n)
}

func (t *trace) sum() string {
	t.h.Write(t.buf)
	t.buf = t.buf[:0]
	return hex.EncodeToString(t.h.Sum(nil))
}
