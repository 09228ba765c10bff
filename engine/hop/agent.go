package hop

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
)

// timings are those of ICE and DTLS. Tests change them; everything else uses defaultTimings.
type timings struct {
	check        time.Duration // between ICE checks until a pair is selected
	keepalive    time.Duration
	disconnected time.Duration // together with failed: silence after which a hop is given up
	failed       time.Duration
	retransmit   time.Duration // first retransmission of a DTLS flight
	connect      time.Duration // bound on the whole set-up, offer included
	glare        time.Duration // how long a Dial that lost waits for the winner's hop
	retire       time.Duration // how long after a hop is up its agent is closed: what it has read must have been taken by then
}

// defaultTimings: the timeouts only clean up, since the tree hears of a silent parent far sooner by its pulses.
func defaultTimings() timings {
	return timings{
		check: 20 * time.Millisecond, keepalive: 2 * time.Second, disconnected: 4 * time.Second, failed: 8 * time.Second,
		retransmit: 100 * time.Millisecond, connect: 10 * time.Second, glare: 5 * time.Second,
		retire: time.Second,
	}
}

// maxChecks bounds the checks to one candidate pair: half a second of them. Later requests of the peer still trigger checks.
const maxChecks = 25

// newAgent makes an ICE agent and the credentials that go with it.
func (t *Transport) newAgent() (*ice.Agent, error) {
	zero := time.Duration(0)
	checks := uint16(maxChecks)
	c := &ice.AgentConfig{
		NetworkTypes:           []ice.NetworkType{ice.NetworkTypeUDP4, ice.NetworkTypeUDP6},
		CandidateTypes:         []ice.CandidateType{ice.CandidateTypeHost},
		MulticastDNSMode:       ice.MulticastDNSModeDisabled,
		LoggerFactory:          pionLog{t.log},
		CheckInterval:          &t.timings.check,
		KeepaliveInterval:      &t.timings.keepalive,
		DisconnectedTimeout:    &t.timings.disconnected,
		FailedTimeout:          &t.timings.failed,
		MaxBindingRequests:     &checks,
		SrflxAcceptanceMinWait: &zero,
		PrflxAcceptanceMinWait: &zero,
		RelayAcceptanceMinWait: &zero,
		IncludeLoopback:        t.loopback,
		IPFilter:               func(ip net.IP) bool { return usableIP(ip, t.loopback) },
		RemoteIPFilter:         func(ip net.IP) bool { return usableIP(ip, t.loopback) },
		Net:                    t.net,
		BindingRequestHandler:  selectFirst(),
	}
	if t.mux != nil {
		c.UDPMux = filteredMux{UDPMux: t.mux, loopback: t.loopback}
	}
	a, err := ice.NewAgent(c)
	if err != nil {
		return nil, fmt.Errorf("make ICE agent: %w", err)
	}
	return a, nil
}

// selectFirst returns a handler that selects the pair of the first authenticated binding request. Requests go on as
// keepalives, so it must say so only once, or the hop would jump between pairs.
func selectFirst() func(*stun.Message, ice.Candidate, ice.Candidate, *ice.CandidatePair) bool {
	var selected atomic.Bool
	return func(*stun.Message, ice.Candidate, ice.Candidate, *ice.CandidatePair) bool {
		return selected.CompareAndSwap(false, true)
	}
}

// gather returns this side's credentials and all its host candidates.
func gather(ctx context.Context, a *ice.Agent) (ufrag, pwd string, candidates []string, err error) {
	done := make(chan struct{})
	var once sync.Once
	if err := a.OnCandidate(func(c ice.Candidate) {
		if c == nil {
			once.Do(func() { close(done) })
		}
	}); err != nil {
		return "", "", nil, fmt.Errorf("gather candidates: %w", err)
	}
	if err := a.GatherCandidates(); err != nil {
		return "", "", nil, fmt.Errorf("gather candidates: %w", err)
	}
	select {
	case <-done:
	case <-ctx.Done():
		return "", "", nil, fmt.Errorf("gather candidates: %w", context.Cause(ctx))
	}
	local, err := a.GetLocalCandidates()
	if err != nil {
		return "", "", nil, fmt.Errorf("gather candidates: %w", err)
	}
	slices.SortStableFunc(local, func(x, y ice.Candidate) int { return int(int64(y.Priority()) - int64(x.Priority())) })
	for _, c := range local[:min(len(local), maxCandidates)] {
		candidates = append(candidates, c.Marshal())
	}
	if ufrag, pwd, err = a.GetLocalUserCredentials(); err != nil {
		return "", "", nil, fmt.Errorf("gather candidates: %w", err)
	}
	return ufrag, pwd, candidates, nil
}

// filteredMux hides the addresses of a mux that a hop must not offer.
type filteredMux struct {
	ice.UDPMux
	loopback bool
}

func (m filteredMux) GetListenAddresses() []net.Addr {
	var keep []net.Addr
	for _, a := range m.UDPMux.GetListenAddresses() {
		if u, ok := a.(*net.UDPAddr); ok && usableIP(u.IP, m.loopback) {
			keep = append(keep, a)
		}
	}
	return keep
}
