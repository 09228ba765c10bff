package gateway

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Rates of offers. On the loopback they are out of the way of load testers.
const (
	offerRate  = 5 // a second, of one token at one address
	offerBurst = 10
	localRate  = 50
	localBurst = 1000
)

// Bounds of what is remembered of callers.
const (
	maxLimiters  = 4096
	limiterLife  = time.Minute // a bucket is full again long before
	maxStreams   = 512         // of events, of all callers
	callerStream = 16          // of events, of one token at one address
)

// limitKey names who is limited: a token at an address. Refused tokens count as one.
type limitKey struct {
	net   netip.Prefix
	token tokenKey
}

type limiter struct {
	bucket *rate.Limiter
	used   time.Time
}

// limits count what callers do. When more callers come than fit, the later ones share a bucket.
type limits struct {
	mu       sync.Mutex // guards all following fields
	buckets  map[limitKey]*limiter
	overflow *rate.Limiter
	swept    time.Time
	streams  map[limitKey]int
	open     int // streams
}

func newLimits() *limits {
	return &limits{
		buckets: map[limitKey]*limiter{}, streams: map[limitKey]int{}, overflow: rate.NewLimiter(offerRate, offerBurst),
	}
}

// network returns what one household or machine has of addresses: a whole IPv4 address, 64 bits of an IPv6 one. It is not
// valid for a Unix socket.
func network(remote string) netip.Prefix {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}
	}
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() && !addr.IsLoopback() {
		bits = 64
	}
	p, _ := addr.Prefix(bits)
	return p
}

func keyOf(c caller) limitKey { return limitKey{net: network(c.remote), token: c.key} }

// allowOffer takes one offer of the caller's rate. Where there is none left, it returns how long to wait.
func (l *limits) allowOffer(c caller, now time.Time) (wait time.Duration, ok bool) {
	if c.local {
		return 0, true
	}
	b := l.bucket(keyOf(c), now)
	if b.AllowN(now, 1) {
		return 0, true
	}
	missing := 1 - b.TokensAt(now)
	return time.Duration(missing / float64(b.Limit()) * float64(time.Second)), false
}

func (l *limits) bucket(k limitKey, now time.Time) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.buckets[k]; b != nil {
		b.used = now
		return b.bucket
	}
	if len(l.buckets) >= maxLimiters && now.Sub(l.swept) > time.Second {
		l.swept = now
		for k, b := range l.buckets {
			if now.Sub(b.used) > limiterLife {
				delete(l.buckets, k)
			}
		}
	}
	if len(l.buckets) >= maxLimiters {
		return l.overflow
	}
	b := &limiter{bucket: rate.NewLimiter(offerRate, offerBurst), used: now}
	if k.net.IsValid() && k.net.Addr().IsLoopback() {
		b.bucket = rate.NewLimiter(localRate, localBurst)
	}
	l.buckets[k] = b
	return b.bucket
}

// openStream takes a place for a stream of events; done gives it back.
func (l *limits) openStream(c caller) (done func(), ok bool) {
	k := keyOf(c)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= maxStreams && !c.access.Admin || l.streams[k] >= callerStream && !c.local {
		return nil, false
	}
	l.open++
	l.streams[k]++
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.open--
		if l.streams[k]--; l.streams[k] == 0 {
			delete(l.streams, k)
		}
	}), true
}
