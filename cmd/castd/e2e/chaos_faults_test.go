//go:build linux

package e2e_test

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// fault is something that happens to an inner peer.
type fault struct {
	name string
	// hit does it and returns when it began.
	hit func(*testing.T, *faultRoom, *faultPeer, *rand.Rand) time.Duration
	// watch is how long the leaves are looked at from then on.
	watch time.Duration
	// over ends it: the peer comes back or is replaced.
	over func(*testing.T, *faultRoom, *faultPeer, *rand.Rand)
	// netns says that the peer needs a network of its own.
	netns bool
}

// watched is shorter in the short form.
func (f fault) watched() time.Duration {
	if long() {
		return f.watch
	}
	return f.watch / 2
}

// faults are those of the chaos tests: a crash, a process that hangs, a network that is gone, a network that comes and goes, and a
// goodbye.
var faults = []fault{
	{name: "kill", watch: 2500 * time.Millisecond, hit: signal(syscall.SIGKILL), over: replaceIt},
	{name: "stop", watch: 3 * time.Second, hit: signal(syscall.SIGSTOP), over: resumeOrReplace(func(_ *faultRoom, p *faultPeer) {
		_ = p.cmd.Process.Signal(syscall.SIGCONT)
	})},
	{name: "blackhole", watch: 3 * time.Second, netns: true, hit: func(t *testing.T, r *faultRoom, p *faultPeer, _ *rand.Rand) time.Duration {
		at := clock()
		r.net.cut(p.site)
		return at
	}, over: resumeOrReplace(func(r *faultRoom, p *faultPeer) { r.net.mend(p.site) })},
	{name: "stall", watch: 2 * time.Second, hit: stall, over: func(t *testing.T, r *faultRoom, p *faultPeer, _ *rand.Rand) {
		if p.site != nil {
			r.net.mend(p.site)
		}
	}},
	{name: "goodbye", watch: 2500 * time.Millisecond, hit: signal(syscall.SIGTERM), over: replaceIt},
}

func signal(s syscall.Signal) func(*testing.T, *faultRoom, *faultPeer, *rand.Rand) time.Duration {
	return func(t *testing.T, _ *faultRoom, p *faultPeer, _ *rand.Rand) time.Duration {
		at := clock()
		if err := p.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		return at
	}
}

// stall holds up what a peer sends five times, for 100 to 300 ms each; where its network is not its own, it stops the peer for 50 to
// 200 ms instead.
func stall(t *testing.T, r *faultRoom, p *faultPeer, rng *rand.Rand) time.Duration {
	at := clock()
	for range 5 {
		if p.site != nil {
			r.net.squeeze(p.site, 100*time.Millisecond+time.Duration(rng.Int64N(int64(200*time.Millisecond))))
		} else {
			_ = p.cmd.Process.Signal(syscall.SIGSTOP)
			time.Sleep(50*time.Millisecond + time.Duration(rng.Int64N(int64(150*time.Millisecond))))
			_ = p.cmd.Process.Signal(syscall.SIGCONT)
		}
		time.Sleep(100*time.Millisecond + time.Duration(rng.Int64N(int64(400*time.Millisecond))))
	}
	return at
}

// replaceIt makes sure that a peer is dead and puts another in its place.
func replaceIt(_ *testing.T, r *faultRoom, p *faultPeer, _ *rand.Rand) {
	_ = p.cmd.Process.Kill()
	<-p.done
	r.replace(p)
}

// resumeOrReplace lets the peer go on every other time.
func resumeOrReplace(resume func(*faultRoom, *faultPeer)) func(*testing.T, *faultRoom, *faultPeer, *rand.Rand) {
	return func(t *testing.T, r *faultRoom, p *faultPeer, rng *rand.Rand) {
		if rng.IntN(2) == 0 {
			replaceIt(t, r, p, rng)
			return
		}
		resume(r, p)
	}
}
