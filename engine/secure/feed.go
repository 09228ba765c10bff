package secure

import (
	"encoding/binary"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/pion/transport/v5/deadline"
)

// Way is where the records of a Feed go.
type Way interface {
	Write(b []byte) (int, error)
	LocalAddr() net.Addr
	RemoteAddr() net.Addr
}

// Feed is the net.PacketConn under a DTLS connection: whoever reads the socket puts DTLS records in, writes go to the Way.
type Feed struct {
	in       chan []byte // full: records are dropped and counted, DTLS sends them again
	way      Way
	deadline *deadline.Deadline
	done     chan struct{}
	closed   atomic.Bool
	data     bool // what is said over the connection, besides goodbye, is of use
	phase    atomic.Int32
	dropped  atomic.Uint64
	known    map[string]struct{} // types and contents of the records in clear that came while anything might; Put's
}

const (
	recordHeader    = 13 // octets (RFC 6347 section 4.1)
	recordAlert     = 21
	recordHandshake = 22
	recordData      = 23
	maxKnown        = 64 // records; a handshake has about ten
)

// Phases of a handshake, as far as records without protection are concerned. Whoever can write the peer's address into a
// packet can send those, and some would end the connection. A peer who repeats a flight repeats its contents.
const (
	PhaseOpen       = 0 // anything may come
	PhaseLastFlight = 1 // this side is done, the peer may still repeat his last flight
	PhaseProtected  = 2 // the peer is done as well
)

// NewFeed returns an open Feed.
func NewFeed(way Way) *Feed {
	return &Feed{in: make(chan []byte, 32), way: way, deadline: deadline.New(), done: make(chan struct{}), known: make(map[string]struct{})}
}

// TakeData lets what the peer says over the connection in, which without it is dropped. It is called before any Put.
func (f *Feed) TakeData() { f.data = true }

// Advance moves to a later phase. It is safe for concurrent use.
func (f *Feed) Advance(phase int32) {
	for now := f.phase.Load(); now < phase; now = f.phase.Load() {
		if f.phase.CompareAndSwap(now, phase) {
			return
		}
	}
}

// Phase returns the phase.
func (f *Feed) Phase() int32 { return f.phase.Load() }

// Dropped returns how many datagrams did not belong into their phase or found no room.
func (f *Feed) Dropped() uint64 { return f.dropped.Load() }

// Put copies a datagram in, unless it does not belong into the phase. Calls come one at a time.
func (f *Feed) Put(b []byte) {
	if !f.admissible(b) {
		f.dropped.Add(1)
		return
	}
	select {
	case f.in <- append([]byte(nil), b...):
	default:
		f.dropped.Add(1)
	}
}

// admissible reports whether all records of a datagram belong into the phase. While anything may come, it remembers what came.
func (f *Feed) admissible(b []byte) bool {
	phase := f.phase.Load()
	if phase == PhaseProtected {
		f.known = nil
	}
	for len(b) > 0 {
		if len(b) < recordHeader || b[1] != 0xfe {
			return phase == PhaseOpen // DTLS knows what to do with it
		}
		n := recordHeader + int(binary.BigEndian.Uint16(b[11:]))
		if len(b) < n {
			return phase == PhaseOpen
		}
		epoch := binary.BigEndian.Uint16(b[3:])
		body := b[recordHeader:n]
		switch {
		case phase == PhaseOpen:
			if epoch == 0 && len(f.known) < maxKnown {
				f.known[string(b[:1])+string(body)] = struct{}{}
			}
		case epoch == 1 && (b[0] == recordAlert || b[0] == recordHandshake || b[0] == recordData && f.data): // DTLS authenticates it
		case epoch == 0 && phase == PhaseLastFlight:
			if _, ok := f.known[string(b[:1])+string(body)]; !ok {
				return false
			}
		default:
			return false
		}
		b = b[n:]
	}
	return true
}

// ReadFrom implements net.PacketConn.
func (f *Feed) ReadFrom(p []byte) (int, net.Addr, error) {
	select {
	case b := <-f.in:
		return copy(p, b), f.way.RemoteAddr(), nil
	case <-f.deadline.Done():
		return 0, nil, os.ErrDeadlineExceeded
	case <-f.done:
		return 0, nil, net.ErrClosed
	}
}

// WriteTo implements net.PacketConn. There is one peer, whatever his address is now.
func (f *Feed) WriteTo(p []byte, _ net.Addr) (int, error) {
	if f.closed.Load() {
		return 0, net.ErrClosed
	}
	return f.way.Write(p)
}

// Close implements net.PacketConn. Nothing goes out any more, and reading ends.
func (f *Feed) Close() error {
	if f.closed.CompareAndSwap(false, true) {
		close(f.done)
	}
	return nil
}

// LocalAddr implements net.PacketConn.
func (f *Feed) LocalAddr() net.Addr { return f.way.LocalAddr() }

// SetDeadline implements net.PacketConn.
func (f *Feed) SetDeadline(t time.Time) error { return f.SetReadDeadline(t) }

// SetReadDeadline implements net.PacketConn.
func (f *Feed) SetReadDeadline(t time.Time) error {
	f.deadline.Set(t)
	return nil
}

// SetWriteDeadline implements net.PacketConn. Writes do not wait.
func (f *Feed) SetWriteDeadline(time.Time) error { return nil }
