package checks

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"github.com/pion/stun/v4"

	"github.com/castd/castd/engine/udp"
)

var errClosed = errors.New("checks: the agent is closed")

// roleConflict is the error code of RFC 8445 section 7.3.1.1.
const roleConflict = 487

// Datagram implements udp.Handler.
func (a *Agent) Datagram(s *udp.Socket, from netip.AddrPort, b []byte) {
	if !udp.IsSTUN(b) {
		a.config.Events.Datagram(b)
		return
	}
	m := &stun.Message{Raw: b}
	if m.Decode() != nil {
		return
	}
	selected := false
	a.mu.Lock()
	if !a.closed {
		switch m.Type {
		case stun.BindingRequest:
			selected = a.requestedLocked(Path{s, from}, m, time.Now())
		case stun.BindingSuccess:
			selected = a.answeredLocked(Path{s, from}, m, time.Now())
		case stun.BindingError:
			a.conflictLocked(m)
		}
	}
	a.mu.Unlock()
	if selected {
		a.consumed.Lock()
		a.config.Events.Selected()
		a.consumed.Unlock()
	}
}

// requestedLocked answers a check of the guest and reports whether it changed the path.
func (a *Agent) requestedLocked(path Path, m *stun.Message, now time.Time) bool {
	var name stun.Username
	if name.GetFrom(m) != nil || string(name) != a.local.Ufrag+":"+a.remote.Ufrag || a.localKey.Check(m) != nil {
		return false
	}
	if a.refuseRoleLocked(path, m) {
		return false
	}
	a.Heard(now)
	a.claimLocked(path, true)
	a.send(path, m.TransactionID, stun.BindingSuccess, mapped(path.Remote), a.localKey, stun.Fingerprint)
	priority := uint32(0)
	if v, err := m.Get(stun.AttrPriority); err == nil && len(v) == 4 {
		priority = binary.BigEndian.Uint32(v)
	}
	p := a.pairLocked(path, priority, now)
	if p == nil {
		return false
	}
	p.heard = now
	if !p.valid && p.tries < maxTries {
		a.checkLocked(p, now) // a triggered check (RFC 8445 section 7.3.1.4)
	}
	if a.current == nil {
		return a.selectLocked(p, m.Contains(stun.AttrUseCandidate), now)
	}
	if a.controlling || !m.Contains(stun.AttrUseCandidate) {
		return false
	}
	if p == a.current || !a.nominated || p.priority >= a.current.priority || now.Sub(a.current.heard) > staleAfter {
		return a.selectLocked(p, true, now)
	}
	return false
}

// answeredLocked takes an answer to a check of this side.
func (a *Agent) answeredLocked(path Path, m *stun.Message, now time.Time) bool {
	if a.current != nil && a.current.Path == path && a.consent.answers(m.TransactionID) {
		if a.remoteKey.Check(m) == nil {
			a.consent.given = now
			a.Heard(now)
		}
		return false
	}
	for _, p := range a.pairs {
		if p.Path != path || p.id != m.TransactionID || p.tries == 0 {
			continue
		}
		if a.remoteKey.Check(m) != nil {
			return false
		}
		p.valid = true
		a.Heard(now)
		a.claimLocked(path, true)
		if a.controlling && a.current == nil {
			return a.selectLocked(p, true, now)
		}
		return false
	}
	return false
}

// selectLocked makes the pair the path and reports whether it was not.
func (a *Agent) selectLocked(p *pair, nominated bool, now time.Time) bool {
	a.nominated = nominated
	if a.current == p {
		return false
	}
	a.current = p
	a.consent = consent{given: now, due: nextConsent(now)}
	path := p.Path
	a.path.Store(&path)
	return true
}

// refuseRoleLocked settles who is controlling where both sides claim the same role (RFC 8445 section 7.3.1.1). It reports
// whether the request was answered by an error.
func (a *Agent) refuseRoleLocked(path Path, m *stun.Message) bool {
	same := stun.AttrICEControlled
	if a.controlling {
		same = stun.AttrICEControlling
	}
	v, err := m.Get(same)
	if err != nil || len(v) != 8 {
		return false
	}
	// The side with the larger number becomes controlling.
	if larger := a.tie >= binary.BigEndian.Uint64(v); larger != a.controlling {
		a.controlling = larger
		return false
	}
	a.send(path, m.TransactionID, stun.BindingError, stun.ErrorCodeAttribute{Code: roleConflict, Reason: []byte("Role Conflict")},
		a.localKey, stun.Fingerprint)
	return true
}

// conflictLocked takes the guest's word on who is controlling.
func (a *Agent) conflictLocked(m *stun.Message) {
	var code stun.ErrorCodeAttribute
	if code.GetFrom(m) != nil || code.Code != roleConflict || a.remoteKey.Check(m) != nil {
		return
	}
	for _, p := range a.pairs {
		if p.id == m.TransactionID {
			a.controlling = !a.controlling
			p.id, p.tries = stun.NewTransactionID(), 0
			return
		}
	}
}

// claimLocked has what comes from the path's address delivered to this agent. Before the guest has proved that the address is his,
// that is so only where nobody else claims it: he may have named anybody's.
func (a *Agent) claimLocked(path Path, proved bool) {
	was, known := a.claimed[path]
	if was || known && !proved || !known && len(a.claimed) >= maxPairs {
		return
	}
	a.claimed[path] = proved
	if proved {
		path.Socket.Claim(path.Remote, a)
	} else {
		path.Socket.ClaimFree(path.Remote, a)
	}
}

// requestLocked sends a binding request on the pair.
func (a *Agent) requestLocked(p *pair, id [stun.TransactionIDSize]byte, nominate bool) {
	role := stun.RawAttribute{Type: stun.AttrICEControlled, Value: binary.BigEndian.AppendUint64(nil, a.tie)}
	setters := make([]stun.Setter, 0, 6)
	if a.controlling {
		role.Type = stun.AttrICEControlling
	}
	setters = append(setters, stun.NewUsername(a.remote.Ufrag+":"+a.local.Ufrag), role,
		stun.RawAttribute{Type: stun.AttrPriority, Value: binary.BigEndian.AppendUint32(nil, peerReflexive)})
	if nominate {
		setters = append(setters, stun.RawAttribute{Type: stun.AttrUseCandidate})
	}
	a.claimLocked(p.Path, false) // the answer has no user name to be known by
	a.send(p.Path, id, stun.BindingRequest, append(setters, a.remoteKey, stun.Fingerprint)...)
}

// send writes a message. What cannot be sent is lost as on the way.
func (a *Agent) send(path Path, id [stun.TransactionIDSize]byte, typ stun.MessageType, setters ...stun.Setter) {
	m := stun.New()
	m.TransactionID = id
	m.Type = typ
	m.WriteHeader()
	for _, s := range setters {
		if s.AddTo(m) != nil {
			return
		}
	}
	_, _ = path.Socket.WriteTo(m.Raw, path.Remote)
}

// mapped is the address that a request came from.
func mapped(from netip.AddrPort) stun.Setter {
	return &stun.XORMappedAddress{IP: from.Addr().AsSlice(), Port: int(from.Port())}
}
