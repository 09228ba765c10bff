package hop

import (
	"net/netip"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/udp"
	"github.com/castd/castd/engine/wire"
)

const (
	// outboxSize is how many octets an Outbox collects before it sends: what fits a processor's cache.
	outboxSize = 192 << 10
	// maxOutboxes bounds the addresses of this machine that an Outbox sends from at a time.
	maxOutboxes = 16
)

// outbox implements engine.Outbox: hops append to its batches what they would send themselves, each with its own numbers and
// keys. Hops whose path is not known, as on a virtual network, send at once.
type outbox struct {
	t       *Transport
	batches []*udp.Batch // one for each socket
	control bool         // what waits is control messages; else it is packets
}

// NewOutbox implements engine.Transport.
func (t *Transport) NewOutbox() engine.Outbox { return &outbox{t: t} }

// WritePackets implements engine.Outbox.
func (o *outbox) WritePackets(h engine.Hop, pkts [][]byte) error {
	mine, ok := h.(*Hop)
	if !ok {
		_, err := h.WritePackets(pkts)
		return err
	}
	o.turn(false)
	s := &mine.send
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hop == nil {
		return engine.ErrClosed
	}
	o.aim(s)
	s.packets(pkts)
	s.batch = nil
	return nil
}

// WriteControl implements engine.Outbox.
func (o *outbox) WriteControl(h engine.Hop, c *wire.HopControl) error {
	mine, ok := h.(*Hop)
	if !ok {
		return h.WriteControl(c)
	}
	o.turn(true)
	s := &mine.send
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hop == nil {
		return engine.ErrClosed
	}
	o.aim(s)
	err := s.writeControl(c)
	s.batch = nil
	return err
}

// Flush implements engine.Outbox.
func (o *outbox) Flush() {
	for _, b := range o.batches {
		b.Flush()
	}
}

// turn sees to it that packets and control messages do not wait together, so that refusals are counted as what they are.
func (o *outbox) turn(control bool) {
	if o.control != control {
		o.Flush()
		o.control = control
	}
}

// aim has the sender write into the batch of its path's socket, if the path is known.
func (o *outbox) aim(s *sender) {
	if s.socket != nil {
		s.batch = o.batch(s.socket)
	}
}

func (o *outbox) batch(s *udp.Socket) *udp.Batch {
	for _, b := range o.batches {
		if b.Socket() == s {
			return b
		}
	}
	if len(o.batches) >= maxOutboxes {
		o.Flush()
		o.batches = nil
	}
	b := s.NewBatch(outboxSize)
	b.OnRefusal(o.refused)
	o.batches = append(o.batches, b)
	return b
}

// refused is told what the system did not take.
func (o *outbox) refused(to netip.AddrPort, datagrams, octets int) {
	h := o.t.hopTo(to)
	if h == nil {
		return
	}
	h.counters.unsent.Add(uint64(datagrams))
	h.counters.bytesSent.Add(-uint64(octets))
	if !o.control {
		h.counters.packetsSent.Add(-uint64(datagrams))
	}
}

// hopTo returns the hop that sends to the address, or nil.
func (t *Transport) hopTo(to netip.AddrPort) *Hop {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range t.hops {
		if p := h.path.Load(); p != nil && p.remote == to {
			return h
		}
	}
	return nil
}
