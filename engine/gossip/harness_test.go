package gossip

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"
	"github.com/quic-go/quic-go"
	"go.uber.org/fx"

	"github.com/castd/castd/engine"
)

// testKey returns the n-th device key.
func testKey(n int) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	binary.BigEndian.PutUint64(seed, uint64(n))
	return ed25519.NewKeyFromSeed(seed)
}

// lab is a simulated network; use it inside a bubble.
type lab struct {
	t   *testing.T
	sim *simnet.Simnet
}

func newLab(t *testing.T) *lab {
	n := &lab{t: t, sim: &simnet.Simnet{LatencyFunc: simnet.StaticLatency(5 * time.Millisecond), Logger: slog.New(slog.DiscardHandler)}}
	n.sim.Start()
	return n
}

// node is a Plane on the simulated network with a handler that notes what comes.
type node struct {
	*Plane
	*recorder
	dead atomic.Bool // the network no longer carries anything from or to it: the process was killed
}

// endpoint can be cut off.
type endpoint struct {
	*simnet.SimConn
	dead *atomic.Bool
}

func (e *endpoint) WriteTo(b []byte, to net.Addr) (int, error) {
	if e.dead.Load() {
		return len(b), nil
	}
	return e.SimConn.WriteTo(b, to)
}

func (e *endpoint) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := e.SimConn.ReadFrom(b)
		if err != nil || !e.dead.Load() {
			return n, from, err
		}
	}
}

type sourceIP struct{ ip net.IP }

func (s *sourceIP) PreferredSourceIPForDestination(*net.UDPAddr) (net.IP, error) { return s.ip, nil }

// start starts the peer with the n-th key at the host-th address.
func (n *lab) start(key, host int, change func(*Config)) *node {
	n.t.Helper()
	x := n.prepare(key, host, change)
	if err := x.Start(x.recorder); err != nil {
		n.t.Fatal(err)
	}
	return x
}

// prepare is start without the call of Start.
func (n *lab) prepare(key, host int, change func(*Config)) *node {
	n.t.Helper()
	x := &node{recorder: newRecorder()}
	ip := simnet.IntToPublicIPv4(host)
	link := simnet.NodeBiDiLinkSettings{
		Downlink: simnet.LinkSettings{BitsPerSecond: 100 * simlibp2p.OneMbps},
		Uplink:   simnet.LinkSettings{BitsPerSecond: 100 * simlibp2p.OneMbps},
	}
	reuse := libp2p.QUICReuse(
		func(l fx.Lifecycle, reset quic.StatelessResetKey, token quic.TokenGeneratorKey, opts ...quicreuse.Option) (*quicreuse.ConnManager, error) {
			cm, err := quicreuse.NewConnManager(reset, token, opts...)
			if err == nil {
				l.Append(fx.StopHook(cm.Close))
			}
			return cm, err
		},
		quicreuse.OverrideSourceIPSelector(func() (quicreuse.SourceIPSelector, error) { return &sourceIP{ip}, nil }),
		quicreuse.OverrideListenUDP(func(_ string, a *net.UDPAddr) (net.PacketConn, error) {
			return &endpoint{n.sim.NewEndpoint(a, link), &x.dead}, nil
		}),
	)
	cfg := Config{
		Key: testKey(key), Listen: []string{"/ip4/" + ip.String() + "/udp/8471/quic-v1"},
		// Address discovery keeps the bubble's clock from standing still.
		Options: []libp2p.Option{reuse, libp2p.DisableIdentifyAddressDiscovery()},
	}
	if change != nil {
		change(&cfg)
	}
	p, err := New(n.t.Context(), cfg)
	if err != nil {
		n.t.Fatalf("start peer %d: %v", key, err)
	}
	x.Plane = p
	return x
}

// close closes the planes, then the network.
func (n *lab) close(nodes ...*node) {
	for _, x := range nodes {
		if err := x.Close(); err != nil {
			n.t.Errorf("close: %v", err)
		}
	}
	n.sim.Close()
}

func (x *node) connect(t *testing.T, to *node) {
	t.Helper()
	if err := x.Connect(t.Context(), to.Self()); err != nil {
		t.Fatal(err)
	}
}

// recorder notes what a control plane delivers.
type recorder struct {
	validate func(topic string, from peer.ID, msg []byte) engine.Verdict // nil accepts
	answer   func(ctx context.Context, from peer.ID, msg []byte) ([]byte, error)

	mu        sync.Mutex
	messages  []string
	gossip    []string
	present   []string
	validated int
}

func newRecorder() *recorder { return &recorder{} }

func (r *recorder) HandleMessage(from peer.ID, msg []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, from.String()+" "+string(msg))
}

func (r *recorder) HandleRequest(ctx context.Context, from peer.ID, msg []byte) ([]byte, error) {
	if r.answer != nil {
		return r.answer(ctx, from, msg)
	}
	return append([]byte("re "), msg...), nil
}

func (r *recorder) Validate(topic string, from peer.ID, msg []byte) engine.Verdict {
	r.mu.Lock()
	r.validated++
	r.mu.Unlock()
	if r.validate != nil {
		return r.validate(topic, from, msg)
	}
	return engine.Accept
}

func (r *recorder) HandleGossip(topic string, from peer.ID, msg []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gossip = append(r.gossip, topic+" "+string(msg))
}

func (r *recorder) PeerUp(id peer.ID)   { r.tell("up " + id.String()) }
func (r *recorder) PeerDown(id peer.ID) { r.tell("down " + id.String()) }

func (r *recorder) tell(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.present = append(r.present, s)
}

// got returns copies of messages, gossip and presence.
func (r *recorder) got() (messages, gossip, presence []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.messages), slices.Clone(r.gossip), slices.Clone(r.present)
}

func count(all []string, s string) int {
	n := 0
	for _, x := range all {
		if x == s {
			n++
		}
	}
	return n
}
