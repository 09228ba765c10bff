package hop

import (
	"sync"
	"time"

	"github.com/castd/castd/engine/wire"
)

// tend retires the hop's ICE agent a moment after the hop is up, and looks after the hop from then on. It returns what ends that.
//
// An agent costs ten goroutines and, with a check from each side every two seconds, more than the pulses do. What its checks
// prove, that the peer is there and wants what he is sent (RFC 7675), is proved as well by each packet that authenticates under
// the hop's keys, and both sides see to it that one goes out in time. Where the path is not known, as on a virtual network, the
// agent stays.
func (h *Hop) tend() (stop func()) {
	var mu sync.Mutex
	var timer *time.Timer
	over := false
	after := func(d time.Duration, f func()) {
		mu.Lock()
		defer mu.Unlock()
		if !over && d > 0 {
			timer = time.AfterFunc(d, f)
		}
	}
	up := time.Now()
	sent, silent := uint64(0), false
	var look func()
	look = func() {
		heard := h.LastReceived()
		if heard.Before(up) {
			heard = up
		}
		was := silent
		silent = time.Since(heard) >= h.t.timings.disconnected+h.t.timings.failed
		if was && silent { // twice: after this process has been stopped for a while, what came meanwhile has yet to be read
			h.end(ErrLost)
			return
		}
		if n := h.counters.bytesSent.Load(); n != sent {
			sent = n
		} else {
			_ = h.WriteControl(&wire.HopControl{})
			sent = h.counters.bytesSent.Load()
		}
		after(h.t.timings.keepalive, look)
	}
	after(h.t.timings.retire, func() {
		if h.retire() {
			after(h.t.timings.keepalive, look)
		}
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		over = true
		if timer != nil {
			timer.Stop()
		}
	}
}

// retire closes the agent of a hop whose path is known.
func (h *Hop) retire() bool {
	if h.path.Load() == nil {
		return false
	}
	h.inherit()
	h.retired.Store(true)
	_ = h.agent.Close()
	return true
}
