package udp

import (
	"net/netip"
)

const (
	// maxMessages bounds what one system call sends.
	maxMessages = 64
	// maxSegments bounds the parts of a datagram that the kernel cuts: UDP_MAX_SEGMENTS is 64 in kernels before 6.9.
	maxSegments = 60
	// maxSegmented bounds their octets together, below what an IP packet holds.
	maxSegmented = 62000
)

// message is one or more datagrams to one address: all of the size segment, but for the last that may be shorter.
type message struct {
	to       netip.AddrPort
	from     int // place in the Batch's memory
	size     int
	segment  int
	segments int
}

// Batch collects datagrams for one socket and sends them together. It sends by itself when it is full.
type Batch struct {
	socket   *Socket
	memory   []byte
	used     int
	messages []message
	system   systemBatch
	result   Sent
	refusal  func(to netip.AddrPort, datagrams, octets int)
}

// Sent counts datagrams since the last Flush.
type Sent struct {
	Datagrams int // handed to the network
	Octets    int // of them
	Failed    int // refused by the system
	Refused   int // octets of those
}

// NewBatch returns an empty Batch of the socket that collects up to so many octets.
func (s *Socket) NewBatch(octets int) *Batch {
	return &Batch{socket: s, memory: make([]byte, octets), messages: make([]message, 0, maxMessages)}
}

// OnRefusal has f told of what the system refuses, for a Batch whose datagrams are not all counted by one. f is called during
// Space and Flush, and must not use the Batch.
func (b *Batch) OnRefusal(f func(to netip.AddrPort, datagrams, octets int)) { b.refusal = f }

// Socket returns the socket that the Batch writes to.
func (b *Batch) Socket() *Socket { return b.socket }

// Space returns an empty slice with a capacity of n octets at least, to write the next datagram into. It is valid until Add.
func (b *Batch) Space(n int) []byte {
	if len(b.memory)-b.used < n || len(b.messages) == maxMessages {
		b.send()
	}
	return b.memory[b.used:b.used:len(b.memory)]
}

// Add makes the first n octets of the space the next datagram.
func (b *Batch) Add(to netip.AddrPort, n int) {
	if n <= 0 || b.used+n > len(b.memory) {
		return
	}
	at := b.used
	b.used += n
	if last := len(b.messages) - 1; last >= 0 {
		m := &b.messages[last]
		if m.to == to && n <= m.segment && m.size == m.segments*m.segment && m.segments < maxSegments && m.size+n <= maxSegmented &&
			b.socket.segments.Load() {
			m.size += n
			m.segments++
			return
		}
	}
	b.messages = append(b.messages, message{to: to, from: at, size: n, segment: n, segments: 1})
}

// Flush sends what has been collected and returns what became of all datagrams since the last Flush.
func (b *Batch) Flush() Sent {
	b.send()
	r := b.result
	b.result = Sent{}
	return r
}

func (b *Batch) send() {
	if len(b.messages) > 0 {
		b.write()
	}
	b.messages, b.used = b.messages[:0], 0
}

// singly sends the parts of a message one at a time.
func (b *Batch) singly(m *message) {
	rest := b.memory[m.from : m.from+m.size]
	for len(rest) > 0 {
		n := min(m.segment, len(rest))
		if _, err := b.socket.WriteTo(rest[:n], m.to); err != nil {
			b.fail(m.to, 1, n)
		} else {
			b.result.Datagrams++
			b.result.Octets += n
		}
		rest = rest[n:]
	}
}

// fail counts datagrams that the system did not take.
func (b *Batch) fail(to netip.AddrPort, datagrams, octets int) {
	b.result.Failed += datagrams
	b.result.Refused += octets
	b.socket.port.count.unsent.Add(uint64(datagrams))
	if b.refusal != nil {
		b.refusal(to, datagrams, octets)
	}
}

// accept counts a message that has been sent whole.
func (b *Batch) accept(m *message) {
	b.result.Datagrams += m.segments
	b.result.Octets += m.size
}
