package gossip

import (
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"
)

// class is a kind of traffic with a rate of its own.
type class int

const (
	classMessage class = iota
	classRequest
	classGossip
	classes
)

// What one peer may send. Joining a tree takes a burst of probes and joins, hence 60; a forwarder of gossip speaks for a
// whole room, hence its larger share. The number in work is what a peer can hold open by being slow.
var classLimits = [classes]struct { //nolint:gochecknoglobals // a constant
	rate   rate.Limit // a second
	burst  int
	inWork int
}{
	classMessage: {20, 60, 32},
	classRequest: {20, 60, 32},
	classGossip:  {500, 1000, 1 << 20}, // gossip is validated inline: gossipsub's own workers bound it
}

// maxInWork bounds the direct streams of all peers that are in work at once.
const maxInWork = 512

// admission is the answer of limits.admit.
type admission int

const (
	admitted admission = iota
	overRate
	tooBusy
)

// limits holds what each peer may still send. Buckets outlive connections, so that coming back does not fill them.
type limits struct {
	mu        sync.Mutex
	peers     map[peer.ID]*peerLimits
	inWork    int
	sweepSize int // number of peers at which full buckets are thrown away
}

type peerLimits struct {
	buckets [classes]*rate.Limiter
	inWork  [classes]int
}

const minSweep = 256

func newLimits() *limits { return &limits{peers: make(map[peer.ID]*peerLimits), sweepSize: minSweep} }

// admit takes a token of the peer. Whoever is admitted must call done with the same arguments, save for gossip.
func (l *limits) admit(now time.Time, id peer.ID, c class) admission {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.peers[id]
	if p == nil {
		l.sweepLocked(now)
		p = &peerLimits{}
		for i := range p.buckets {
			p.buckets[i] = rate.NewLimiter(classLimits[i].rate, classLimits[i].burst)
		}
		l.peers[id] = p
	}
	if !p.buckets[c].AllowN(now, 1) {
		return overRate
	}
	if c == classGossip {
		return admitted
	}
	if p.inWork[c] >= classLimits[c].inWork || l.inWork >= maxInWork {
		return tooBusy
	}
	p.inWork[c]++
	l.inWork++
	return admitted
}

func (l *limits) done(id peer.ID, c class) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.peers[id].inWork[c]--
	l.inWork--
}

// sweepLocked forgets peers whose buckets are full again, each time that the table has doubled.
func (l *limits) sweepLocked(now time.Time) {
	if len(l.peers) < l.sweepSize {
		return
	}
	for id, p := range l.peers {
		idle := true
		for c := range p.buckets {
			if p.inWork[c] > 0 || p.buckets[c].TokensAt(now) < float64(classLimits[c].burst) {
				idle = false
			}
		}
		if idle {
			delete(l.peers, id)
		}
	}
	l.sweepSize = max(minSweep, 2*len(l.peers))
}
