package bench

import "encoding/binary"

// stampSize is the length of a stamp in octets. It is the end of a payload, where no server's changes of codec headers reach.
const stampSize = 4 + 1 + 1 + 8 + 8

const stampMagic = 0xCA57D57A

// stamp is what a payload tells of itself.
type stamp struct {
	publisher uint8
	kind      kind
	counter   uint64 // of the publisher's track, from 0
	sent      int64  // wall clock, ns since 1970
}

// put writes the stamp into the last octets of b.
func (s stamp) put(b []byte) {
	b = b[len(b)-stampSize:]
	binary.BigEndian.PutUint32(b, stampMagic)
	b[4], b[5] = s.publisher, byte(s.kind)
	binary.BigEndian.PutUint64(b[6:], s.counter)
	binary.BigEndian.PutUint64(b[14:], uint64(s.sent))
}

// readStamp reads the stamp at a payload's end.
func readStamp(payload []byte) (s stamp, ok bool) {
	if len(payload) < stampSize {
		return stamp{}, false
	}
	b := payload[len(payload)-stampSize:]
	if binary.BigEndian.Uint32(b) != stampMagic || b[5] >= byte(kinds) {
		return stamp{}, false
	}
	return stamp{
		publisher: b[4], kind: kind(b[5]), counter: binary.BigEndian.Uint64(b[6:]), sent: int64(binary.BigEndian.Uint64(b[14:])),
	}, true
}
