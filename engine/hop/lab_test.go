package hop

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/transport/v5/vnet"
)

// lab is a virtual network of nodes, inside a synctest bubble.
type lab struct {
	t       *testing.T
	router  *vnet.Router
	signals *signals
	nodes   []*node

	mu   sync.Mutex
	rng  *rand.Rand
	loss float64 // of the packets of each direction
	cut  bool
	size int // datagrams up to this length are not lost: STUN and DTLS alone, say
}

// inLab runs f in a bubble, with n nodes whose packets take delay to arrive, and closes everything: synctest fails the test if a
// goroutine is left.
func inLab(t *testing.T, n int, delay time.Duration, f func(t *testing.T, l *lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, n, delay)
		f(t, l)
		for _, v := range l.nodes {
			if err := v.tr.Close(); err != nil {
				t.Error(err)
			}
			v.check()
			v.mu.Lock()
			for _, h := range v.ups {
				if _, ok := v.downs[h]; !ok {
					t.Error("a hop that was up has had no HopDown")
				}
			}
			v.mu.Unlock()
		}
		if err := l.router.Stop(); err != nil {
			t.Error(err)
		}
	})
}

func newLab(t *testing.T, n int, delay time.Duration) *lab {
	t.Helper()
	r, err := vnet.NewRouter(&vnet.RouterConfig{
		CIDR: "11.0.0.0/24", MinDelay: delay, LoggerFactory: pionLog{slog.New(slog.DiscardHandler)},
	})
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, router: r, signals: newSignals(delay), rng: rand.New(rand.NewPCG(1, 2))}
	r.AddChunkFilter(func(c vnet.Chunk) bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(c.UserData()) <= l.size {
			return !l.cut
		}
		return !l.cut && l.rng.Float64() >= l.loss
	})
	for i := range n {
		l.nodes = append(l.nodes, l.signals.add(t, i, Config{Net: l.host(fmt.Sprintf("11.0.0.%d", 10+i))}))
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	return l
}

// host adds a machine to the network.
func (l *lab) host(ip string) *vnet.Net {
	l.t.Helper()
	n, err := vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{ip}})
	if err != nil {
		l.t.Fatal(err)
	}
	if err := l.router.AddNet(n); err != nil {
		l.t.Fatal(err)
	}
	return n
}

func (l *lab) set(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// settle lets everything that is on its way arrive.
func settle() {
	time.Sleep(200 * time.Millisecond)
	synctest.Wait()
}
