package enginetest

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// Network connects peers in memory. Its methods are safe for concurrent use.
type Network struct {
	adding sync.Mutex

	// Delay is the one-way delay of everything; set it before the first peer.
	Delay time.Duration
	// Farther, where set, is how much longer packets and messages take from one peer to another. Any goroutine may call it.
	Farther func(from, to peer.ID) time.Duration
	// LateUp is how much later than the dialer the other side hears that a hop is up; set it before the first peer.
	LateUp time.Duration
	// Tamper, where set, may change or drop (nil) each origin packet on a hop. Calls come one at a time.
	Tamper func(from, to peer.ID, pkt []byte) []byte
	// Control, where set, may change each control message on a hop; set it before the first peer. Calls come one at a time.
	Control   func(from, to peer.ID, c *wire.HopControl)
	tampering sync.Mutex
	pairing   sync.Mutex // one pair of hop ends at a time
	// Swallow, where set, says which direct messages do not come; set it before the first peer. Any goroutine may call it.
	Swallow func(from, to peer.ID, msg []byte) bool
	// Unheard, where set, says which gossip does not come to a peer; set it before the first peer. Any goroutine may call it.
	Unheard func(to peer.ID, msg []byte) bool
	// Fail, where set, says which requests fail at once, as on a connection that the other side closes; set it before the first peer.
	// Any goroutine may call it.
	Fail func(from, to peer.ID, msg []byte) bool
	// Machine, where set, is the computer of the peer of that name; set it before the first peer.
	Machine func(name string) engine.Machine
	// Gossip, where set, sees all that is published; set it before the first peer. It must not keep msg.
	Gossip func(topic string, msg []byte)
	// Mixing, where set, mixes the conferences of all peers; set it before the first peer.
	Mixing engine.Mixing
	// Policy, where set, says what each peer asks before somebody takes part or sends, by the peer's name.
	Policy func(name string) engine.Policy
	// MixSeats is engine.Config's, of all peers; set it before the first.
	MixSeats int

	mu     sync.Mutex
	rng    *rand.Rand
	loss   float64
	peers  map[peer.ID]*Peer
	cut    map[peer.ID]bool
	parted map[[2]peer.ID]bool
	// severed pairs have no connection until one of them opens one; see Split.
	severed map[[2]peer.ID]bool
}

// NewNetwork returns a network whose losses follow from the seed.
func NewNetwork(seed uint64) *Network {
	return &Network{rng: rand.New(rand.NewPCG(seed, 1)), peers: make(map[peer.ID]*Peer), cut: make(map[peer.ID]bool), parted: make(map[[2]peer.ID]bool), severed: make(map[[2]peer.ID]bool)}
}

// way is the one-way delay between two peers.
func (n *Network) way(from, to peer.ID) time.Duration {
	if n.Farther == nil {
		return n.Delay
	}
	return n.Delay + n.Farther(from, to)
}

// Peer is an engine with its surroundings.
type Peer struct {
	*engine.Engine
	User   ed25519.PrivateKey
	Signer *wire.Signer
	Keeper *Keeper

	net     *Network
	name    string
	id      peer.ID
	control engine.ControlHandler
	media   engine.HopHandler
	signal  engine.Signaller

	coming  sync.Mutex // one HopUp at a time
	mu      sync.Mutex
	topics  map[string]bool
	hops    map[peer.ID]*hop
	pending map[peer.ID]chan *hop
	closed  bool
	work    sync.WaitGroup
}

// Keys returns the key pair that follows from the name; for tests that need to sign in somebody's name.
func Keys(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// Add starts a peer whose keys follow from the name. Peers of one user have names of the form USER/DEVICE. Everybody is
// connected to everybody.
func (n *Network) Add(name string, slots int) (*Peer, error) { return n.add(name, slots, NewKeeper()) }

// Restart starts a peer that was killed again, with the same keys and the same Keeper.
func (n *Network) Restart(p *Peer, slots int) (*Peer, error) {
	n.Cut(p, false)
	return n.add(p.name, slots, p.Keeper)
}

func (n *Network) add(name string, slots int, keeper *Keeper) (*Peer, error) {
	n.adding.Lock() // those that are there hear of a newcomer when they have started themselves
	defer n.adding.Unlock()
	user, _, _ := cutName(name)
	p := &Peer{
		User: Keys("user " + user), Keeper: keeper, net: n, name: name,
		topics: make(map[string]bool), hops: make(map[peer.ID]*hop), pending: make(map[peer.ID]chan *hop),
	}
	device := Keys("device " + name)
	id, err := wire.PeerID(device.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, err
	}
	p.id = id
	p.Signer = newSigner(p.User, device)
	n.mu.Lock()
	others := slices.Collect(maps.Values(n.peers))
	n.peers[id] = p
	n.mu.Unlock()
	c := engine.Config{Control: (*control)(p), Transport: (*transport)(p), Keeper: p.Keeper, Signer: p.Signer, User: p.User, Slots: slots, Mixing: n.Mixing, MixSeats: n.MixSeats}
	if n.Machine != nil {
		c.Machine = n.Machine(name)
	}
	if n.Policy != nil {
		c.Policy = n.Policy(name)
	}
	p.Engine, err = engine.New(c)
	if err != nil {
		return nil, fmt.Errorf("add peer: %w", err)
	}
	for _, o := range others {
		o.control.PeerUp(id)
	}
	return p, nil
}

// newSigner returns what a device signs control messages with. Numbers follow from the time, so that they grow across restarts.
func newSigner(user, device ed25519.PrivateKey) *wire.Signer {
	var mu sync.Mutex
	sequence := uint64(time.Now().UnixMicro())
	return &wire.Signer{
		Device: device, Certificate: wire.NewCertificate(user, device.Public().(ed25519.PublicKey), time.Now()),
		Sequence: func() uint64 {
			mu.Lock()
			defer mu.Unlock()
			sequence++
			return sequence
		},
	}
}

func cutName(name string) (user, device string, ok bool) {
	for i := range name {
		if name[i] == '/' {
			return name[:i], name[i+1:], true
		}
	}
	return name, "", false
}

// Kill takes a peer off the network without a word, as kill -9 would, and then ends it.
func (n *Network) Kill(p *Peer) {
	n.Cut(p, true)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = p.Engine.Close(ctx)
	p.Close()
}

// Cut makes a peer unreachable, or reachable again; nobody is told.
func (n *Network) Cut(p *Peer, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[p.id] = cut
}

// Part makes two peers unreachable for each other, or reachable again; others reach both.
func (n *Network) Part(a, b *Peer, parted bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.parted[[2]peer.ID{a.id, b.id}], n.parted[[2]peer.ID{b.id, a.id}] = parted, parted
}

// Close ends what belongs to the peer but the engine, and waits.
func (p *Peer) Close() {
	p.mu.Lock()
	p.closed = true
	hops := slices.Collect(maps.Values(p.hops))
	p.mu.Unlock()
	for _, h := range hops {
		_ = h.Close()
	}
	p.net.mu.Lock()
	delete(p.net.peers, p.id)
	p.net.mu.Unlock()
	p.work.Wait()
}

// reach returns the peer if a message from this one can get there.
func (p *Peer) reach(to peer.ID) *Peer {
	n := p.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut[p.id] || n.cut[to] || n.parted[[2]peer.ID{p.id, to}] {
		return nil
	}
	return n.peers[to]
}

func (n *Network) lose() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.loss > 0 && n.rng.Float64() < n.loss
}

var errUnreachable = errors.New("enginetest: peer is unreachable")

// control is a Peer as engine.ControlPlane.
type control Peer

func (c *control) peer() *Peer { return (*Peer)(c) }

func (c *control) Self() peer.AddrInfo { return peer.AddrInfo{ID: c.id} }
func (c *control) Learn(peer.AddrInfo) {}

func (c *control) Start(h engine.ControlHandler) error {
	c.control = h
	return nil
}

func (c *control) Connected() []peer.ID {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	return c.net.connectedLocked(c.id)
}

func (c *control) Send(ctx context.Context, to peer.ID, msg []byte) error {
	if err := wait(ctx, c.net.way(c.id, to)); err != nil {
		return err
	}
	o := c.peer().reach(to)
	if o == nil {
		return errUnreachable
	}
	if f := c.net.Swallow; f != nil && f(c.id, to, msg) {
		return nil
	}
	o.control.HandleMessage(c.id, slices.Clone(msg))
	return nil
}

func (c *control) Request(ctx context.Context, to peer.ID, msg []byte) ([]byte, error) {
	if err := wait(ctx, c.net.way(c.id, to)); err != nil {
		return nil, err
	}
	o := c.peer().reach(to)
	if o == nil {
		<-ctx.Done()
		return nil, errUnreachable
	}
	if f := c.net.Fail; f != nil && f(c.id, to, msg) {
		return nil, errUnreachable
	}
	answer, err := o.control.HandleRequest(ctx, c.id, slices.Clone(msg))
	if err != nil {
		return nil, err
	}
	return answer, wait(ctx, c.net.way(c.id, to))
}

func (c *control) Join(topic string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.topics[topic] = true
	return nil
}

func (c *control) Leave(topic string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.topics, topic)
	return nil
}

func (c *control) Publish(ctx context.Context, topic string, msg []byte) error {
	if err := wait(ctx, c.net.Delay); err != nil {
		return err
	}
	if f := c.net.Gossip; f != nil {
		f(topic, msg)
	}
	for _, o := range c.net.overlay(c.id) {
		o.mu.Lock()
		member := o.topics[topic]
		o.mu.Unlock()
		if f := c.net.Unheard; f != nil && f(o.id, msg) {
			continue
		}
		if member && o.control.Validate(topic, c.id, slices.Clone(msg)) == engine.Accept {
			o.control.HandleGossip(topic, c.id, slices.Clone(msg))
		}
	}
	return nil
}

func (c *control) Close() error { return nil }

func wait(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// SetLoss changes the share of packets that hops lose.
func (n *Network) SetLoss(share float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loss = share
}

// NewHop replaces the hop between this peer and the other by a new one, as when the other lost his.
func (p *Peer) NewHop(ctx context.Context, to *Peer) error {
	_, err := (*transport)(p).signal.Offer(ctx, to.id, &wire.HopOffer{})
	return err
}

// Message delivers a message to the other peer as this one's, for tests that say what an engine would not.
func (p *Peer) Message(ctx context.Context, to *Peer, msg []byte) error {
	return (*control)(p).Send(ctx, to.id, msg)
}

// Gossip publishes a message as this peer's in a topic that it need not be in, for tests that say what an engine would not.
func (p *Peer) Gossip(ctx context.Context, topic string, msg []byte) error {
	return (*control)(p).Publish(ctx, topic, msg)
}

// Hop returns the hop from this peer to the other, for tests that send what an engine would not.
func (p *Peer) Hop(ctx context.Context, to *Peer) (engine.Hop, error) {
	return (*transport)(p).Dial(ctx, to.id)
}
