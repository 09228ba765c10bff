package hop

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/pion/ice/v4"
	"github.com/pion/transport/v5"
	"github.com/pion/transport/v5/stdnet"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/secure"
)

// Errors that HopDown and Dial give, wrapped; hops that this side closed end with engine.ErrClosed.
var (
	ErrPeerClosed = errors.New("the peer closed the hop")
	ErrReplaced   = errors.New("the peer opened a new hop")
	ErrLost       = errors.New("the peer is silent")
	ErrRefused    = errors.New("the peer refused the hop")
)

// Config says how a Transport reaches the network.
type Config struct {
	Self peer.ID
	// Mux carries all hops over one UDP port; it stays open when the Transport closes, since guests use it too. Without one
	// every hop has a port of its own, on Net.
	Mux ice.UDPMux
	// Net is the network; nil is the machine's. Tests give a virtual one.
	Net transport.Net
	// Loopback lets hops run over loopback addresses, for peers on one machine that has no other.
	Loopback bool
	Log      *slog.Logger // nil discards
}

// Transport makes hops. It implements engine.Transport; all methods are safe for concurrent use.
type Transport struct {
	self     peer.ID
	mux      ice.UDPMux
	net      transport.Net
	loopback bool
	log      *slog.Logger
	cert     secure.Certificate
	timings  timings

	batches sync.Pool // of *udp.Batch, for sends outside an Outbox

	// sent, where a test sets it before the first hop, sees each SRTP packet's rollover counter and sequence number.
	sent func(h *Hop, ssrc, roc uint32, sequence uint16)

	mu        sync.Mutex
	handler   engine.HopHandler
	signaller engine.Signaller
	hops      map[peer.ID]*Hop // at most one per peer, from the beginning of its set-up until it is down
	nonces    uint64
	closed    bool
	running   sync.WaitGroup // one for each hop
}

var _ engine.Transport = (*Transport)(nil)

// New returns a Transport with a fresh certificate.
func New(c Config) (*Transport, error) {
	t := &Transport{
		self: c.Self, mux: c.Mux, net: c.Net, loopback: c.Loopback, log: c.Log,
		timings: defaultTimings(), hops: make(map[peer.ID]*Hop),
	}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	if t.net == nil {
		n, err := stdnet.NewNet()
		if err != nil {
			return nil, fmt.Errorf("list network interfaces: %w", err)
		}
		t.net = n
	}
	var err error
	if t.cert, err = secure.NewCertificate(time.Now()); err != nil {
		return nil, err
	}
	var epoch [4]byte
	if _, err := rand.Read(epoch[:]); err != nil {
		return nil, fmt.Errorf("read randomness: %w", err)
	}
	t.nonces = uint64(binary.BigEndian.Uint32(epoch[:])|1) << 32
	return t, nil
}

// Start begins to deliver to h; s carries offers. It is called once, before anything else.
func (t *Transport) Start(h engine.HopHandler, s engine.Signaller) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.handler, t.signaller = h, s
}

// Port returns the UDP port of the mux, 0 without one.
func (t *Transport) Port() int {
	if t.mux == nil {
		return 0
	}
	for _, a := range t.mux.GetListenAddresses() {
		if u, ok := a.(*net.UDPAddr); ok {
			return u.Port
		}
	}
	return 0
}

// Close closes all hops and waits until the last HopDown has returned; it must not be called from a handler.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.closed = true
	hops := make([]*Hop, 0, len(t.hops))
	for _, h := range t.hops {
		hops = append(hops, h)
	}
	t.mu.Unlock()
	for _, h := range hops {
		h.end(engine.ErrClosed)
	}
	t.running.Wait()
	return nil
}

// nextNonce numbers offers and answers: 32 random bits of this Transport, then a counter. See stale.
func (t *Transport) nextNonce() uint64 {
	t.nonces++
	return t.nonces
}

// stale reports whether nonce is of the same Transport as mark, and not newer.
func stale(nonce, mark uint64) bool {
	return nonce>>32 == mark>>32 && nonce <= mark
}

// register makes h the peer's hop in place of old, whatever that one is doing. It fails if another has taken the place.
func (t *Transport) register(h, old *Hop) error {
	if t.closed {
		return engine.ErrClosed
	}
	if t.handler == nil || t.signaller == nil {
		return errors.New("transport is not started")
	}
	t.hops[h.peer] = h
	h.previous = old
	t.running.Add(1)
	return nil
}

// forget takes h, which is down, out of the table.
func (t *Transport) forget(h *Hop) {
	t.mu.Lock()
	if t.hops[h.peer] == h {
		delete(t.hops, h.peer)
	}
	t.mu.Unlock()
}

// connectContext bounds a set-up.
func (t *Transport) connectContext(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(t.timings.connect, func() { cancel(context.DeadlineExceeded) })
	return ctx, func(cause error) {
		timer.Stop()
		cancel(cause)
	}
}
