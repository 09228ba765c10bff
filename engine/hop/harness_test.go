package hop

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// node is a transport with its handler, on a signalling network of the test.
type node struct {
	t   *testing.T
	id  peer.ID
	tr  *Transport
	net *signals

	mu       sync.Mutex
	ups      []engine.Hop
	downs    map[engine.Hop]error
	packets  [][]byte
	numbers  map[uint64]int // origin number -> times
	keep     bool
	controls []*wire.HopControl
	broken   []string // breaches of the order of calls
	overlaps int      // hops that came up while another to the same peer was
	onPacket func(h engine.Hop, pkt []byte)
	upped    chan struct{}
	got      chan struct{}
}

// signals carries offers between nodes, with a delay each way.
type signals struct {
	delay  time.Duration
	mu     sync.Mutex
	nodes  map[peer.ID]*node
	change func(from, to peerID, o *wire.HopOffer) // before it is carried
	answer func(a *wire.HopAnswer)
}

func newSignals(delay time.Duration) *signals {
	return &signals{delay: delay, nodes: make(map[peer.ID]*node)}
}

// testID returns the n-th peer id in their order.
func testID(n int) peer.ID {
	ids := make([]peer.ID, 8)
	for i := range ids {
		seed := make([]byte, ed25519.SeedSize)
		seed[0] = byte(i)
		id, err := wire.PeerID(ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey))
		if err != nil {
			panic(err)
		}
		ids[i] = id
	}
	slices.Sort(ids)
	return ids[n]
}

func (s *signals) add(t *testing.T, n int, c Config) *node {
	t.Helper()
	c.Self = testID(n)
	tr, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	v := &node{
		t: t, id: c.Self, tr: tr, net: s, downs: make(map[engine.Hop]error), numbers: make(map[uint64]int), keep: true,
		upped: make(chan struct{}, 64), got: make(chan struct{}, 1),
	}
	s.mu.Lock()
	s.nodes[c.Self] = v
	s.mu.Unlock()
	tr.Start(v, v)
	return v
}

func (v *node) Offer(ctx context.Context, to peer.ID, o *wire.HopOffer) (*wire.HopAnswer, error) {
	s := v.net
	s.mu.Lock()
	other, change, answer := s.nodes[to], s.change, s.answer
	s.mu.Unlock()
	o = proto.CloneOf(o)
	if change != nil {
		change(v.id, to, o)
	}
	if err := sleep(ctx, s.delay); err != nil {
		return nil, err
	}
	if other == nil {
		return nil, errors.New("no such peer")
	}
	a, err := other.tr.Answer(ctx, v.id, o)
	if err != nil {
		return nil, err
	}
	if answer != nil {
		answer(a)
	}
	return a, sleep(ctx, s.delay)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (v *node) HopUp(h engine.Hop) {
	v.mu.Lock()
	for _, other := range v.ups {
		if _, down := v.downs[other]; !down && other.Peer() == h.Peer() {
			v.overlaps++
		}
	}
	v.ups = append(v.ups, h)
	v.mu.Unlock()
	select {
	case v.upped <- struct{}{}:
	default: // nobody counts
	}
}

// order notes a call on a hop that is not up.
func (v *node) order(call string, h engine.Hop) {
	if _, down := v.downs[h]; down || !slices.Contains(v.ups, h) {
		v.broken = append(v.broken, call)
	}
}

func (v *node) HopPacket(h engine.Hop, pkt []byte) {
	v.mu.Lock()
	v.order("packet", h)
	if v.keep {
		v.packets = append(v.packets, slices.Clone(pkt))
	}
	if hd, _, err := wire.ParseHeader(pkt); err == nil {
		v.numbers[hd.Number]++
	}
	f := v.onPacket
	v.mu.Unlock()
	if f != nil {
		f(h, pkt)
	}
	select {
	case v.got <- struct{}{}:
	default:
	}
}

func (v *node) HopControl(h engine.Hop, c *wire.HopControl) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.order("control", h)
	v.controls = append(v.controls, c)
}

func (v *node) HopDown(h engine.Hop, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.order("down", h)
	v.downs[h] = err
}

// dial opens a hop and returns both ends.
func (v *node) dial(to *node) (mine, theirs engine.Hop) {
	v.t.Helper()
	for len(to.upped) > 0 {
		<-to.upped
	}
	h, err := v.tr.Dial(v.t.Context(), to.id)
	if err != nil {
		v.t.Fatal(err)
	}
	<-to.upped
	to.mu.Lock()
	defer to.mu.Unlock()
	return h, to.ups[len(to.ups)-1]
}

// check fails the test if calls came in a wrong order.
func (v *node) check() {
	v.t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.broken) > 0 {
		v.t.Errorf("calls on a hop that is not up: %v", v.broken)
	}
}

func (v *node) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.numbers)
}

// originPacket makes a packet of a stream.
func originPacket(kind wire.Kind, number uint64, size int) []byte {
	h := wire.Header{Kind: kind, Stream: 7, Number: number, Timestamp: uint32(960 * number), Marker: number%5 == 0}
	b := h.Append(nil)
	for len(b) < size {
		b = binary.BigEndian.AppendUint64(b, number*0x9E3779B97F4A7C15+uint64(len(b)))
	}
	return b[:max(size, wire.HeaderSize)]
}

func originPackets(kind wire.Kind, first uint64, n, size int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = originPacket(kind, first+uint64(i), size)
	}
	return all
}

func describe(b []byte) string {
	h, _, err := wire.ParseHeader(b)
	return fmt.Sprintf("%v %d (%d octets, %v)", h.Kind, h.Number, len(b), err)
}

type peerID = peer.ID
