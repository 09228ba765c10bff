package elect

import (
	"math/bits"
	"time"
)

// ID names a peer: the octets of a libp2p peer id.
type ID string

// Reach says how well others can open connections to a peer; larger is better.
type Reach uint8

// Kinds of reachability.
const (
	Unknown Reach = iota // not measured, or behind a NAT that nobody gets through
	Cone                 // behind a NAT that lets in who was sent to
	Mapped               // behind a NAT with a port mapped
	Public
)

// Bounds of what others say in an Offer.
const (
	MaxSlots   = 64
	MaxVersion = 32  // octets
	MaxNetwork = 32  // octets
	MaxID      = 128 // octets
)

// Offer is what a peer says of itself. Slots, Reach, CPUFree, Constrained, Crashes and LossPermille are its own claims; Uptime is one
// until Attested has clamped it.
type Offer struct {
	Peer         ID
	Slots        int           // ordinary children
	Uptime       time.Duration // without a break
	Reach        Reach
	CPUFree      int    // thousandths of the machine's CPU that are idle
	Constrained  bool   // on battery, or on a metered or cellular line
	Crashes      int    // ends without a goodbye in the last ten minutes
	LossPermille int    // of what it receives
	Version      string // of castd
	Network      string // /16 of its address, "" if unknown
}

// Clamp bounds everything in an offer to what can be meant.
func (o Offer) Clamp() Offer {
	o.Slots = min(max(o.Slots, 0), MaxSlots)
	o.Uptime = min(max(o.Uptime, 0), 400*24*time.Hour)
	if o.Reach > Public {
		o.Reach = Unknown
	}
	o.CPUFree = min(max(o.CPUFree, 0), 1000)
	o.Crashes = min(max(o.Crashes, 0), 1000)
	o.LossPermille = min(max(o.LossPermille, 0), 1000)
	o.Version = o.Version[:min(len(o.Version), MaxVersion)]
	o.Network = o.Network[:min(len(o.Network), MaxNetwork)]
	return o
}

// Attested returns the offer with an uptime that is no longer than the reader has known the peer, and a head start: nobody earns
// trust faster than by having been there.
func (o Offer) Attested(known, headStart time.Duration) Offer {
	o.Uptime = min(o.Uptime, known+headStart)
	return o
}

// Gates say what a peer must have to carry others.
type Gates struct {
	Reach   Reach
	Slots   int
	Uptime  time.Duration
	CPUFree int // thousandths
	Crashes int // at most
}

// SupernodeGates are those of a supernode.
func SupernodeGates() Gates {
	return Gates{Reach: Mapped, Slots: 4, Uptime: 10 * time.Minute, CPUFree: 300, Crashes: 1}
}

// Passes reports whether an offer meets the gates.
func (g Gates) Passes(o Offer) bool {
	return g.able(o) && o.Reach >= g.Reach && o.Slots >= g.Slots && o.Uptime >= g.Uptime
}

// able reports whether a peer could carry others if it were better known and better reached: there may be nobody who is.
func (g Gates) able(o Offer) bool {
	return !o.Constrained && o.CPUFree >= g.CPUFree && o.Crashes <= g.Crashes
}

// Score says in thousandths how well a peer carries others: twice the binary logarithm of its slots, up to three points for its
// uptime, up to two for its reachability, one off for each tenth of loss. It is at least 100, so that everybody has a chance.
// Only integers are used: all peers must come to the same order on all machines.
func (o Offer) Score() uint64 {
	s := 2000 * log2Milli(uint64(o.Slots)+1) / 1000
	s += uptimeClass(o.Uptime) * 600
	s += [...]uint64{Unknown: 0, Cone: 500, Mapped: 1500, Public: 2000}[min(o.Reach, Public)]
	return max(s, 100+uint64(o.LossPermille)*10) - uint64(o.LossPermille)*10
}

// uptimeClass is 0 to 5. Classes, and not the time itself, since the order must not change from one second to the next.
func uptimeClass(d time.Duration) uint64 {
	n := uint64(0)
	for _, least := range [...]time.Duration{10 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour} {
		if d >= least {
			n++
		}
	}
	return n
}

// log2Milli returns 1000 x the binary logarithm of n, 0 for 0, linear between powers of two.
func log2Milli(n uint64) uint64 {
	if n < 2 {
		return 0
	}
	whole := uint64(bits.Len64(n) - 1)
	rest := n - 1<<whole
	return whole*1000 + rest*1000>>whole
}
