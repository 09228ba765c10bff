package checks

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v4"

	"github.com/castd/castd/engine/udp"
)

// Timing.
const (
	// firstRetry is the time from the first check of a pair to the second; it doubles with each.
	firstRetry = 50 * time.Millisecond
	// maxTries bounds the checks of one pair: they are spread over 12 s, in which a guest may still open his firewall.
	maxTries = 9
	// consentEvery is how often consent is asked for, but for up to a fifth.
	consentEvery = 5 * time.Second
	// quietAfter is how long nothing need come before it is asked for every second.
	quietAfter = 2500 * time.Millisecond
	quietEvery = time.Second
	// LostAfter is how long nothing need come, answers to this side's requests included, before the guest counts as lost.
	LostAfter = 8 * time.Second
	// consentFor is how long consent holds (RFC 7675 section 5.1).
	consentFor = 30 * time.Second
	// staleAfter is how long the selected pair must have been silent for a nominated one of lower priority to replace it.
	staleAfter = 3 * time.Second
	// maxPairs bounds the pairs of one generation.
	maxPairs = 128
)

// Path is where media goes: a socket and the guest's address.
type Path struct {
	Socket *udp.Socket
	Remote netip.AddrPort
}

// Events are what an Agent tells. Calls come on goroutines of sockets and from Tick, one at a time but for Datagram, and must not
// block or call the Agent, but for Path and Heard.
type Events interface {
	// Selected tells that there is a Path, or another one.
	Selected()
	// Datagram gets what came from a checked address and is not STUN. b is valid only during the call.
	Datagram(b []byte)
}

// Config is what an Agent needs.
type Config struct {
	Port   *udp.Port
	Events Events
	// Controlling makes this side nominate; it is for guests that are lite agents (RFC 8445 section 6.1.1).
	Controlling bool
	// Loopback offers the loopback addresses of the port as well.
	Loopback bool
}

// Credentials are an ICE user name fragment and its password.
type Credentials struct{ Ufrag, Password string }

// Agent is the checks of one session.
type Agent struct {
	config   Config
	tie      uint64
	path     atomic.Pointer[Path]
	heard    atomic.Int64 // Unix nanoseconds of the last authenticated datagram
	consumed sync.Mutex   // orders Selected

	mu          sync.Mutex // guards all following fields
	controlling bool
	local       Credentials
	remote      Credentials
	localKey    stun.MessageIntegrity
	remoteKey   stun.MessageIntegrity
	pairs       []*pair
	current     *pair // selected in this generation
	nominated   bool
	claimed     map[Path]bool // true: the guest has proved that he is there
	consent     consent
	closed      bool
}

// pair is a socket of this side and an address of the guest.
type pair struct {
	Path
	priority uint32 // of the guest's candidate
	id       [stun.TransactionIDSize]byte
	tries    int
	next     time.Time // when it is checked again
	valid    bool      // a check was answered
	heard    time.Time // the guest last checked it
}

// consent is the state of RFC 7675 on the selected pair.
type consent struct {
	ids   [8][stun.TransactionIDSize]byte // of the last requests, a ring: an answer may come after the next request
	next  int
	asked time.Time
	due   time.Time
	given time.Time
}

// ask returns the number of the next request.
func (c *consent) ask(now time.Time) [stun.TransactionIDSize]byte {
	id := stun.NewTransactionID()
	c.ids[c.next] = id
	c.next = (c.next + 1) % len(c.ids)
	c.asked, c.due = now, nextConsent(now)
	return id
}

// answers reports whether id is that of a recent request.
func (c *consent) answers(id [stun.TransactionIDSize]byte) bool {
	return id != [stun.TransactionIDSize]byte{} && slices.Contains(c.ids[:], id)
}

// New returns an Agent that answers nothing yet.
func New(c Config) (*Agent, error) {
	a := &Agent{config: c, controlling: c.Controlling, claimed: make(map[Path]bool)}
	var tie [8]byte
	if _, err := rand.Read(tie[:]); err != nil {
		return nil, fmt.Errorf("checks: read randomness: %w", err)
	}
	a.tie = binary.BigEndian.Uint64(tie[:])
	return a, nil
}

// Start begins a generation with the guest's credentials and candidates (values of candidate attributes; what is of no use is
// skipped) and returns this side's credentials. Called again it restarts ICE; media goes on over the old path until there is
// a new one.
func (a *Agent) Start(remote Credentials, candidates []string, now time.Time) (Credentials, error) {
	local := Credentials{Ufrag: rand.Text()[:8], Password: rand.Text()}
	if err := a.config.Port.Register(local.Ufrag, a); err != nil {
		return Credentials{}, fmt.Errorf("checks: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		a.config.Port.Unregister(local.Ufrag)
		return Credentials{}, errClosed
	}
	if a.local.Ufrag != "" {
		a.config.Port.Unregister(a.local.Ufrag)
	}
	a.local, a.remote = local, remote
	a.localKey, a.remoteKey = stun.NewShortTermIntegrity(local.Password), stun.NewShortTermIntegrity(remote.Password)
	a.pairs, a.current, a.nominated = nil, nil, false
	for _, c := range candidates {
		a.addLocked(c, now)
	}
	return local, nil
}

// Add adds a candidate of the guest. It reports whether it is of use.
func (a *Agent) Add(candidate string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.closed && a.addLocked(candidate, now)
}

func (a *Agent) addLocked(candidate string, now time.Time) bool {
	remote, priority, ok := parseCandidate(candidate)
	if !ok {
		return false
	}
	used := false
	for _, s := range a.config.Port.Sockets() {
		local := s.LocalAddr().Addr()
		if local.Is4() != remote.Addr().Is4() || local.IsLoopback() != remote.Addr().IsLoopback() || local.IsLoopback() && !a.config.Loopback {
			continue
		}
		used = a.pairLocked(Path{s, remote}, priority, now) != nil || used
	}
	return used
}

// pairLocked returns the pair, which is made if it is new; nil where there are too many.
func (a *Agent) pairLocked(path Path, priority uint32, now time.Time) *pair {
	for _, p := range a.pairs {
		if p.Path == path {
			p.priority = max(p.priority, priority)
			return p
		}
	}
	if len(a.pairs) >= maxPairs {
		return nil
	}
	p := &pair{Path: path, priority: priority, id: stun.NewTransactionID(), next: now}
	a.pairs = append(a.pairs, p)
	return p
}

// Path returns where media goes; nil while there is no path.
func (a *Agent) Path() *Path { return a.path.Load() }

// Heard tells that something authentic came from the guest.
func (a *Agent) Heard(now time.Time) { a.heard.Store(now.UnixNano()) }

// Tick does what is due at now. It returns when it must be called again at the latest, and whether the guest is still there.
func (a *Agent) Tick(now time.Time) (next time.Time, alive bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	next = now.Add(quietEvery)
	if a.closed {
		return next, true
	}
	if a.current == nil {
		for _, p := range a.pairs {
			if p.valid || p.tries >= maxTries {
				continue
			}
			if !p.next.After(now) {
				a.checkLocked(p, now)
			}
			if p.next.Before(next) {
				next = p.next
			}
		}
		if a.path.Load() == nil {
			return next, true // how long a guest may take to come is not for this package to say
		}
	}
	silent := now.Sub(time.Unix(0, a.heard.Load()))
	if a.current == nil {
		return next, silent < 2*LostAfter // restarting
	}
	if a.consent.due.IsZero() {
		a.consent.given = now
		a.consent.due = nextConsent(now)
	}
	if !now.Before(a.consent.due) || silent >= quietAfter && now.Sub(a.consent.asked) >= quietEvery {
		a.requestLocked(a.current, a.consent.ask(now), false)
	}
	if a.consent.due.Before(next) {
		next = a.consent.due
	}
	return next, silent < LostAfter && now.Sub(a.consent.given) < consentFor
}

// nextConsent returns when consent is to be asked for again. Times are rounded, so that the agents of a Service wake it together.
func nextConsent(now time.Time) time.Time {
	return now.Add(consentEvery - jitter(consentEvery/5)).Truncate(quietEvery / 2)
}

func jitter(upTo time.Duration) time.Duration {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return time.Duration(uint64(binary.BigEndian.Uint32(b[:])) * uint64(upTo) >> 32)
}

// checkLocked sends a check and sets when the next is due.
func (a *Agent) checkLocked(p *pair, now time.Time) {
	p.next = now.Add(firstRetry << p.tries)
	p.tries++
	a.requestLocked(p, p.id, a.controlling && a.nominating(p))
}

// nominating reports whether this side, controlling, wants the pair: the first that has been checked, or any while none has.
func (a *Agent) nominating(p *pair) bool { return a.current == nil || a.current == p }

// Close ends the agent and gives its addresses back.
func (a *Agent) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return
	}
	a.closed = true
	if a.local.Ufrag != "" {
		a.config.Port.Unregister(a.local.Ufrag)
	}
	for path := range a.claimed {
		path.Socket.Release(path.Remote, a)
	}
	a.path.Store(nil)
}
