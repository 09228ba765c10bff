package engine

import "time"

// ErrReplaced ends a Publication whose slot its publisher has opened again by another connection. It is a UserError: of two senders
// into a slot the one that came first is told, so that they do not take it from each other in turns.
var ErrReplaced error = NewUserError(CodeReplaced, "Somebody with the same rights has begun to send in this slot; stop one of the two, or use another slot's name to send beside each other.")

// hold is one connection's hold on an open slot, as a Publication. A source that lost its connection comes back before the old
// one is given up; then the slot goes on under a new hold, and what happens to the old connection no longer matters.
type hold struct {
	p    *publication
	done chan struct{}
	// guarded by p.mu
	over bool
	err  error
}

// newHold makes a hold the only one. The caller holds p.mu, or is alone.
func (p *publication) newHold() *hold {
	p.release(ErrReplaced)
	p.held = &hold{p: p, done: make(chan struct{})}
	return p.held
}

// release ends the present hold. The caller holds p.mu, or is alone.
func (p *publication) release(err error) {
	if h := p.held; h != nil && !h.over {
		h.over, h.err = true, err
		close(h.done)
	}
}

// Write implements Publication.
func (h *hold) Write(label string, m *MediaPacket) error {
	p := h.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if h.over {
		return ErrClosed
	}
	return p.write(label, m, time.Now())
}

// Clock implements Publication.
func (h *hold) Clock(label string, timestamp uint32, wallUs int64) {
	p := h.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if ps := p.streams[label]; !h.over && ps != nil && ps.begun {
		ps.clock = &clockRecord{timestamp: timestamp + ps.offset, unixUs: wallUs}
	}
}

// Receivers implements Publication.
func (h *hold) Receivers() int {
	r := h.p.room
	return len(r.fan.Load().children) + int(r.leaf.active.Load())
}

// Feedback implements Publication.
func (h *hold) Feedback() Feedback { return h.p.room.feedback() }

// Done implements Publication.
func (h *hold) Done() <-chan struct{} { return h.done }

// Err implements Publication.
func (h *hold) Err() error {
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	return h.err
}

// Close implements Publication: the slot waits for its publisher.
func (h *hold) Close() error {
	p := h.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if !h.over {
		p.release(nil)
		p.closedAt = time.Now()
		p.flush(p.closedAt)
	}
	return nil
}

// End implements Publication. After Close it ends a slot that waits.
func (h *hold) End() error {
	p := h.p
	p.mu.Lock()
	mine := p.held == h
	p.mu.Unlock()
	if mine {
		p.finish(nil)
	}
	return nil
}
