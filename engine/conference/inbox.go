package conference

import (
	"sync"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/mixer/jitter"
)

// inboxSize is how many packets wait for a tick at most: half a second of frames of 10 ms, as they come at once after the network stood
// still. Of more the oldest are dropped, and counted.
const inboxSize = 50

// inbox is between the goroutine that reads a participant's packets and the tick that plays them. Its memory is made once.
type inbox struct {
	mu      sync.Mutex // guards all following fields
	ring    [inboxSize]arrived
	head, n int
	dropped uint64
}

// arrived is a packet and when it came.
type arrived struct {
	at      time.Time
	packet  engine.MediaPacket // without the payload
	payload []byte
}

// push takes a copy of a packet.
func (b *inbox) push(p *engine.MediaPacket, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(p.Payload) > jitter.MaxPayload {
		b.dropped++
		return
	}
	if b.n == inboxSize {
		b.head, b.n = (b.head+1)%inboxSize, b.n-1
		b.dropped++
	}
	a := &b.ring[(b.head+b.n)%inboxSize]
	payload := append(a.payload[:0], p.Payload...)
	*a = arrived{now, *p, payload}
	a.packet.Payload, a.packet.Orientation, a.packet.Dependency = nil, nil, nil
	b.n++
}

// drain gives the packets to f, the oldest first. What f gets is valid during the call.
func (b *inbox) drain(f func(*arrived)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for ; b.n > 0; b.n-- {
		f(&b.ring[b.head])
		b.head = (b.head + 1) % inboxSize
	}
}
