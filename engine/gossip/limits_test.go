package gossip

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/wire"
)

func TestLimitsAdmit(t *testing.T) {
	now := time.Unix(1000, 0)
	l := newLimits()
	for i := range 60 {
		if got := l.admit(now, "a", classMessage); got != admitted {
			t.Fatalf("message %d: %v", i, got)
		}
		l.done("a", classMessage)
	}
	if got := l.admit(now, "a", classMessage); got != overRate {
		t.Errorf("message 61: %v", got)
	}
	if got := l.admit(now, "a", classRequest); got != admitted {
		t.Errorf("requests have a rate of their own: %v", got)
	}
	if got := l.admit(now, "b", classMessage); got != admitted {
		t.Errorf("peers have rates of their own: %v", got)
	}
	later := now.Add(time.Second)
	n := 0
	for range 100 {
		if l.admit(later, "a", classMessage) == admitted {
			n++
			l.done("a", classMessage)
		}
	}
	if n != 20 {
		t.Errorf("%d a second", n)
	}
	for i := range classLimits[classMessage].inWork {
		if got := l.admit(now, "slow", classMessage); got != admitted {
			t.Fatalf("slow message %d: %v", i, got)
		}
	}
	if got := l.admit(now, "slow", classMessage); got != tooBusy {
		t.Errorf("too many in work: %v", got)
	}
}

func TestLimitsForgetPeersThatAreQuiet(t *testing.T) {
	now := time.Unix(1000, 0)
	l := newLimits()
	l.admit(now, "held", classMessage)
	for i := range 10000 {
		now = now.Add(time.Second)
		id := peer.ID(fmt.Sprint(i))
		l.admit(now, id, classMessage)
		l.done(id, classMessage)
	}
	if len(l.peers) > minSweep {
		t.Errorf("%d peers are kept", len(l.peers))
	}
	if l.peers["held"] == nil {
		t.Error("a peer with work was forgotten")
	}
	// One stays that is in work; l.inWork counts it alone.
	if l.inWork != 1 {
		t.Errorf("in work: %d", l.inWork)
	}
}

func TestFloodOfMessagesIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newLab(t)
		a, b := net.start(1, 1, nil), net.start(2, 2, nil)
		defer net.close(a, b)
		a.connect(t, b)
		for i := range 200 {
			a.Send(t.Context(), b.id, fmt.Appendf(nil, "%d", i))
		}
		time.Sleep(time.Second)
		messages, _, _ := b.got()
		s := b.Stats()
		if len(messages) < 55 || len(messages) > 85 || s.RateLimited+s.Busy+uint64(len(messages)) != 200 {
			t.Errorf("%d messages, %+v", len(messages), s)
		}
		time.Sleep(5 * time.Second)
		if answer, err := a.Request(t.Context(), b.id, []byte("x")); err != nil || string(answer) != "re x" {
			t.Errorf("after the flood: %q, %v", answer, err)
		}
	})
}

func TestBurstOfRequestsIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newLab(t)
		a, b := net.start(1, 1, nil), net.start(2, 2, nil)
		defer net.close(a, b)
		a.connect(t, b)
		errs := make(chan error, 30)
		for i := range cap(errs) {
			go func() {
				_, err := a.Request(t.Context(), b.id, []byte{byte(i)})
				errs <- err
			}()
		}
		for range cap(errs) {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	})
}

// A peer that opens streams and says nothing, too much, or half of it costs a bounded number of goroutines for 5 s.
func TestSlowAndOversizePeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newLab(t)
		a, b := net.start(1, 1, nil), net.start(2, 2, nil)
		defer net.close(a, b)
		a.connect(t, b)
		write := func(frame []byte) {
			s, err := a.host.NewStream(t.Context(), b.id, messageProtocol)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Write(frame); err != nil {
				t.Fatal(err)
			}
		}
		head := binary.BigEndian.AppendUint16(nil, wire.MaxEnvelope+1)
		write(append(head, bytes.Repeat([]byte{1}, 1000)...))
		time.Sleep(100 * time.Millisecond)
		if got := b.Stats().Malformed; got != 1 {
			t.Errorf("oversize: malformed = %d", got)
		}
		for range 40 {
			write([]byte{0, 10, 1, 2})
		}
		time.Sleep(time.Second)
		if s := b.Stats(); s.Busy != 40-32 {
			t.Errorf("while the slow ones wait: %+v", s)
		}
		if answer, err := a.Request(t.Context(), b.id, []byte("x")); err != nil || string(answer) != "re x" {
			t.Errorf("requests meanwhile: %q, %v", answer, err)
		}
		time.Sleep(readTimeout)
		if s := b.Stats(); s.Malformed != 1+32 {
			t.Errorf("after their time was over: %+v", s)
		}
		if err := a.Send(t.Context(), b.id, []byte("fine")); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if messages, _, _ := b.got(); len(messages) != 1 {
			t.Errorf("messages = %q", messages)
		}
		b.limits.mu.Lock()
		defer b.limits.mu.Unlock()
		if b.limits.inWork != 0 {
			t.Errorf("in work: %d", b.limits.inWork)
		}
	})
}

// What comes before Start waits for it, and a peer that is never started holds nobody up.
func TestNothingIsDeliveredBeforeStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newLab(t)
		a := net.start(1, 1, nil)
		late := net.prepare(2, 2, nil)
		defer net.close(a, late)
		a.Learn(late.Self())
		go func() {
			time.Sleep(2 * time.Second)
			if err := late.Start(late.recorder); err != nil {
				t.Error(err)
			}
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		if answer, err := a.Request(ctx, late.id, []byte("x")); err != nil || string(answer) != "re x" {
			t.Errorf("Request = %q, %v", answer, err)
		}
		if late.Start(late.recorder) == nil {
			t.Error("started twice")
		}
	})
}
