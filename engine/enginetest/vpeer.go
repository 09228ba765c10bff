package enginetest

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/marcopolo/simnet"
	"github.com/pion/transport/v5/vnet"
	"github.com/quic-go/quic-go"
	"go.uber.org/fx"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/gossip"
	srtphop "github.com/castd/castd/engine/hop"
	"github.com/castd/castd/engine/udp"
	"github.com/castd/castd/engine/wire"
)

// VPeer is an engine on a VNet, with the control plane and the transport that castd has.
type VPeer struct {
	*engine.Engine
	Plane     *gossip.Plane
	Transport *srtphop.Transport
	User      ed25519.PrivateKey
	Signer    *wire.Signer
	Keeper    *Keeper

	net       *VNet
	id        peer.ID
	number    int
	mux       *udp.Port
	controlIP net.IP
	cut       atomic.Bool
	closing   sync.Once
	closed    error
}

// vport is the port of the control plane and of media, on their networks.
const vport = 8471

// Add starts a peer whose keys follow from the name, as those of Network's peers do. It knows the address of the first peer, and
// finds the others through it. keeper is what an earlier run of the same peer left, or nil.
func (n *VNet) Add(name string, slots int, keeper *Keeper) (*VPeer, error) {
	if keeper == nil {
		keeper = NewKeeper()
	}
	user, _, _ := cutName(name)
	p := &VPeer{User: Keys("user " + user), Keeper: keeper, net: n}
	device := Keys("device " + name)
	var err error
	if p.id, err = wire.PeerID(device.Public().(ed25519.PublicKey)); err != nil {
		return nil, err
	}
	p.Signer = newSigner(p.User, device)
	n.mu.Lock()
	p.number = len(n.peers) + 1
	p.controlIP = simnet.IntToPublicIPv4(p.number)
	var bootstrap []peer.AddrInfo
	for _, o := range n.peers {
		if !o.cut.Load() {
			bootstrap = []peer.AddrInfo{o.Plane.Self()}
			break
		}
	}
	n.peers = append(n.peers, p)
	n.mu.Unlock()
	if err := p.startMedia(); err != nil {
		return nil, fmt.Errorf("add peer: %w", err)
	}
	p.Plane, err = gossip.New(context.Background(), gossip.Config{
		Key: device, Listen: []string{fmt.Sprintf("/ip4/%s/udp/%d/quic-v1", p.controlIP, vport)}, Bootstrap: bootstrap,
		// Address discovery keeps a bubble's clock from standing still.
		Options: []libp2p.Option{p.simulated(), libp2p.DisableIdentifyAddressDiscovery()},
	})
	if err != nil {
		return nil, fmt.Errorf("add peer: %w", err)
	}
	var mixing engine.Mixing
	if n.Mixing != nil {
		mixing = n.Mixing()
	}
	p.Engine, err = engine.New(engine.Config{
		Control: p.Plane, Transport: &tapped{p.Transport, p}, Keeper: p.Keeper, Signer: p.Signer, User: p.User, Slots: slots,
		Reach: 5 * time.Second, Mixing: mixing,
	})
	if err != nil {
		return nil, fmt.Errorf("add peer: %w", err)
	}
	return p, nil
}

// startMedia gives the peer a machine on the media network, with one port for all hops.
func (p *VPeer) startMedia() error {
	ip := fmt.Sprintf("11.0.%d.%d", p.number/200, 10+p.number%200)
	machine, err := vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{ip}})
	if err != nil {
		return err
	}
	if err := p.net.router.AddNet(machine); err != nil {
		return err
	}
	conn, err := machine.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(ip), Port: vport})
	if err != nil {
		return err
	}
	if p.mux, err = udp.On(conn); err != nil {
		return err
	}
	if p.Transport, err = srtphop.New(srtphop.Config{Self: p.id, Mux: p.mux, Net: machine}); err != nil {
		return errors.Join(err, p.mux.Close())
	}
	p.net.mu.Lock()
	p.net.byIP[ip] = p
	p.net.mu.Unlock()
	return nil
}

// simulated puts QUIC on the simulated network.
func (p *VPeer) simulated() libp2p.Option {
	rate := simnet.LinkSettings{BitsPerSecond: 100_000_000}
	return libp2p.QUICReuse(
		func(l fx.Lifecycle, reset quic.StatelessResetKey, token quic.TokenGeneratorKey, opts ...quicreuse.Option) (*quicreuse.ConnManager, error) {
			cm, err := quicreuse.NewConnManager(reset, token, opts...)
			if err == nil {
				l.Append(fx.StopHook(cm.Close))
			}
			return cm, err
		},
		quicreuse.OverrideSourceIPSelector(func() (quicreuse.SourceIPSelector, error) { return sourceIP(p.controlIP), nil }),
		quicreuse.OverrideListenUDP(func(_ string, a *net.UDPAddr) (net.PacketConn, error) {
			p.net.mu.Lock() // simnet adds endpoints without a lock
			defer p.net.mu.Unlock()
			return &endpoint{p.net.sim.NewEndpoint(a, simnet.NodeBiDiLinkSettings{Downlink: rate, Uplink: rate}), p}, nil
		}),
	)
}

// sourceIP is a machine with one address.
type sourceIP net.IP

func (s sourceIP) PreferredSourceIPForDestination(*net.UDPAddr) (net.IP, error) {
	return net.IP(s), nil
}

// endpoint is a socket on the control network.
type endpoint struct {
	*simnet.SimConn
	p *VPeer
}

func (e *endpoint) WriteTo(b []byte, to net.Addr) (int, error) {
	if !e.p.net.carryControl(e.p, to, len(b)) {
		return len(b), nil
	}
	return e.SimConn.WriteTo(b, to)
}

func (e *endpoint) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := e.SimConn.ReadFrom(b)
		if err != nil || !e.p.cut.Load() {
			return n, from, err
		}
	}
}

// tapped is a transport whose packets the network's observer sees first.
type tapped struct {
	*srtphop.Transport
	p *VPeer
}

func (t *tapped) Start(h engine.HopHandler, s engine.Signaller) {
	t.Transport.Start(&tap{HopHandler: h, p: t.p, down: make(map[engine.Hop]bool)}, s)
}

// tap has packets come late, and the observer see them before the engine does.
type tap struct {
	engine.HopHandler
	p *VPeer

	mu   sync.Mutex // held while the engine is called: one call at a time
	down map[engine.Hop]bool
}

func (t *tap) HopUp(h engine.Hop) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.HopHandler.HopUp(h)
}

func (t *tap) HopPacket(h engine.Hop, pkt []byte) {
	if late := t.p.net.late(h.Peer(), t.p); late > 0 {
		pkt = slices.Clone(pkt)
		time.AfterFunc(late, func() { t.arrive(h, pkt) })
		return
	}
	t.arrive(h, pkt)
}

// arrive delivers a packet, unless its hop has ended.
func (t *tap) arrive(h engine.Hop, pkt []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.down[h] {
		return
	}
	t.p.net.mu.Lock()
	f := t.p.net.arrived
	t.p.net.mu.Unlock()
	if f != nil {
		f(t.p.id, h.Peer(), pkt)
	}
	t.HopHandler.HopPacket(h, pkt)
}

func (t *tap) HopControl(h engine.Hop, c *wire.HopControl) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.HopHandler.HopControl(h, c)
}

func (t *tap) HopDown(h engine.Hop, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.down[h] = true
	t.HopHandler.HopDown(h, err)
}

// Close ends the peer, with ctx for its goodbyes, and waits until nothing of it runs. It may be called again.
func (p *VPeer) Close(ctx context.Context) error {
	p.closing.Do(func() {
		p.closed = errors.Join(p.Engine.Close(ctx), p.Transport.Close(), p.mux.Close(), p.Plane.Close())
	})
	return p.closed
}
