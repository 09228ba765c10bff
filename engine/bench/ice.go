package bench

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"github.com/pion/stun/v4"
)

// Timing of checks.
const (
	checkEvery   = 20 * time.Millisecond // until a pair works
	recheckAfter = 100 * time.Millisecond
	consentEvery = 2500 * time.Millisecond // as browsers do
)

// checker is a controlling ICE agent (RFC 8445) with one component: the first candidate that answers is nominated. It is used
// under its endpoint's lock.
type checker struct {
	localUfrag, localPwd   string
	remoteUfrag, remotePwd string
	tie                    uint64
	remotes                []remote
	selected               netip.AddrPort // invalid: none yet
	lastCheck              time.Time
	next                   int
}

type remote struct {
	addr  netip.AddrPort
	id    [stun.TransactionIDSize]byte // of the last check
	sent  time.Time
	count int
}

// secret returns n random characters of ICE's alphabet.
func secret(n int) string {
	const chars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	b := make([]byte, n)
	rand.Read(b)
	for i := range b {
		b[i] = chars[b[i]&63]
	}
	return string(b)
}

func newChecker() checker {
	var b [8]byte
	rand.Read(b[:])
	return checker{localUfrag: secret(8), localPwd: secret(24), tie: binary.BigEndian.Uint64(b[:])}
}

// begin takes the answer's parameters. Candidates on the address that HTTP came from are tried first.
func (c *checker) begin(a *answer, near netip.Addr) {
	c.remoteUfrag, c.remotePwd = a.ufrag, a.pwd
	for _, addr := range a.candidates {
		c.learn(addr)
	}
	rank := func(r remote) int {
		switch {
		case r.addr.Addr() == near:
			return 0
		case r.addr.Addr().Is4():
			return 1
		}
		return 2
	}
	slices.SortStableFunc(c.remotes, func(a, b remote) int { return rank(a) - rank(b) })
}

func (c *checker) learn(addr netip.AddrPort) {
	if len(c.remotes) < maxCandidates && !slices.ContainsFunc(c.remotes, func(r remote) bool { return r.addr == addr }) {
		c.remotes = append(c.remotes, remote{addr: addr})
	}
}

// tick returns a check to send, if one is due.
func (c *checker) tick(now time.Time) (to netip.AddrPort, msg []byte) {
	if c.remotePwd == "" || len(c.remotes) == 0 {
		return netip.AddrPort{}, nil
	}
	if c.selected.IsValid() {
		if now.Sub(c.lastCheck) < consentEvery {
			return netip.AddrPort{}, nil
		}
		return c.check(slices.IndexFunc(c.remotes, func(r remote) bool { return r.addr == c.selected }), now)
	}
	for range c.remotes {
		i := c.next % len(c.remotes)
		c.next = i + 1
		if now.Sub(c.remotes[i].sent) >= recheckAfter {
			return c.check(i, now)
		}
	}
	return netip.AddrPort{}, nil
}

func (c *checker) check(i int, now time.Time) (netip.AddrPort, []byte) {
	if i < 0 {
		return netip.AddrPort{}, nil
	}
	r := &c.remotes[i]
	r.sent, c.lastCheck = now, now
	r.count++
	m := &stun.Message{Type: stun.BindingRequest}
	rand.Read(m.TransactionID[:])
	r.id = m.TransactionID
	m.WriteHeader()
	_ = stun.NewUsername(c.remoteUfrag + ":" + c.localUfrag).AddTo(m) // too long ones do not get an answer
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], c.tie)
	m.Add(stun.AttrICEControlling, b[:])
	m.Add(stun.AttrUseCandidate, nil)
	binary.BigEndian.PutUint32(b[:], 110<<24|65535<<8|255)
	m.Add(stun.AttrPriority, b[:4])
	_ = stun.NewShortTermIntegrity(c.remotePwd).AddTo(m)
	_ = stun.Fingerprint.AddTo(m)
	return r.addr, m.Raw
}

// receive handles a STUN message and returns what to answer. chosen says that it has selected the pair.
func (c *checker) receive(b []byte, from netip.AddrPort, now time.Time) (reply []byte, chosen bool) {
	m := &stun.Message{Raw: append([]byte(nil), b...)}
	if m.Decode() != nil {
		return nil, false
	}
	switch m.Type {
	case stun.BindingRequest:
		if stun.NewShortTermIntegrity(c.localPwd).Check(m) != nil {
			return nil, false
		}
		c.learn(from)
		r := &stun.Message{Type: stun.BindingSuccess, TransactionID: m.TransactionID}
		r.WriteHeader()
		_ = (&stun.XORMappedAddress{IP: from.Addr().AsSlice(), Port: int(from.Port())}).AddTo(r)
		_ = stun.NewShortTermIntegrity(c.localPwd).AddTo(r)
		_ = stun.Fingerprint.AddTo(r)
		return r.Raw, false
	case stun.BindingSuccess:
		i := slices.IndexFunc(c.remotes, func(r remote) bool { return r.addr == from && r.id == m.TransactionID })
		if i < 0 || stun.NewShortTermIntegrity(c.remotePwd).Check(m) != nil || c.selected.IsValid() {
			return nil, false
		}
		c.selected = from
		return nil, true
	}
	return nil, false
}
