package gossip

import (
	"crypto/ed25519"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	tls "github.com/libp2p/go-libp2p/p2p/security/tls"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
)

const (
	// Between lowWater and highWater connections live in peace; above, the least valued ones that are older than connGrace
	// are closed. Gossip wants 12 neighbours a topic, a tree some tens of candidates.
	lowWater  = 160
	highWater = 256
	connGrace = time.Minute

	// connsPerSubnet is how many connections may come from one IPv4 address or IPv6 /56. libp2p's default of 8 locks out
	// offices, campuses and carrier-grade NATs.
	connsPerSubnet = 64

	dialTimeout = 5 * time.Second
)

// newHost makes a libp2p host that does not listen yet: QUIC, and TCP with TLS or Noise.
func newHost(key ed25519.PrivateKey, extra []libp2p.Option) (host.Host, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("read device key: %d octets instead of %d", len(key), ed25519.PrivateKeySize)
	}
	priv, err := crypto.UnmarshalEd25519PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("read device key: %w", err)
	}
	resources, err := newResources()
	if err != nil {
		return nil, fmt.Errorf("make resource manager: %w", err)
	}
	conns, err := connmgr.NewConnManager(lowWater, highWater, connmgr.WithGracePeriod(connGrace))
	if err != nil {
		resources.Close()
		return nil, fmt.Errorf("make connection manager: %w", err)
	}
	opts := []libp2p.Option{
		libp2p.Identity(priv),
		libp2p.NoListenAddrs,
		libp2p.UserAgent("castd"),
		libp2p.ProtocolVersion("castd/1"),
		libp2p.Transport(quic.NewTransport),
		// With SO_REUSEPORT two peers of one user would share a TCP port, and each would get some of the other's callers.
		libp2p.Transport(tcp.NewTCPTransport, tcp.DisableReuseport()),
		libp2p.Security(tls.ID, tls.New),
		libp2p.Security(noise.ID, noise.New),
		libp2p.DefaultMuxers,
		libp2p.DisableRelay(),
		libp2p.DisableMetrics(),
		libp2p.ResourceManager(resources),
		libp2p.ConnectionManager(conns),
		libp2p.WithDialTimeout(dialTimeout),
	}
	h, err := libp2p.New(append(opts, extra...)...)
	if err != nil {
		conns.Close()
		resources.Close()
		return nil, fmt.Errorf("make libp2p host: %w", err)
	}
	return h, nil
}

// newResources is libp2p's resource manager with limits that peers behind one address can live with.
func newResources() (network.ResourceManager, error) {
	scaling := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&scaling)
	// One message or request is one stream: a burst of joins must not meet the default of about 80 a peer and protocol.
	for _, id := range []protocol.ID{messageProtocol, requestProtocol} {
		scaling.AddProtocolLimit(id,
			rcmgr.BaseLimit{StreamsInbound: 2048, StreamsOutbound: 4096, Streams: 4096, Memory: 64 << 20}, rcmgr.BaseLimitIncrease{})
		scaling.AddProtocolPeerLimit(id,
			rcmgr.BaseLimit{StreamsInbound: 256, StreamsOutbound: 256, Streams: 512, Memory: 16 << 20}, rcmgr.BaseLimitIncrease{})
	}
	scaling.PeerBaseLimit.StreamsInbound, scaling.PeerBaseLimit.StreamsOutbound, scaling.PeerBaseLimit.Streams = 512, 512, 1024
	// A small machine gets the base limits alone, and 64 inbound connections are few for the hub of a room.
	scaling.SystemBaseLimit.ConnsInbound, scaling.SystemBaseLimit.Conns = 2*highWater, 3*highWater
	scaling.SystemBaseLimit.ConnsOutbound = 2 * highWater
	scaling.SystemBaseLimit.StreamsInbound, scaling.SystemBaseLimit.StreamsOutbound = 8192, 8192
	scaling.SystemBaseLimit.Streams = 16384

	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(scaling.AutoScale()),
		rcmgr.WithMetricsDisabled(),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: connsPerSubnet}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: connsPerSubnet}, {PrefixLength: 48, ConnCount: 8 * connsPerSubnet}},
		))
}
