package engine

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/wire"
)

// ControlPlane carries small signed messages between peers. engine/gossip implements it over libp2p; enginetest in memory.
// All methods are safe for concurrent use.
type ControlPlane interface {
	// Self returns this peer's id and the addresses at which others may reach it.
	Self() peer.AddrInfo
	// Start begins to deliver to h. It is called once, before anything else but Self.
	Start(h ControlHandler) error
	// Learn notes addresses of a peer, for Send, Request and Connect to use.
	Learn(info peer.AddrInfo)
	// Connect makes sure that there is a connection.
	Connect(ctx context.Context, info peer.AddrInfo) error
	// Connected lists the peers that there are connections to.
	Connected() []peer.ID
	// Send delivers msg to the peer's HandleMessage, at most once, in any order. It returns when the message is on its way.
	Send(ctx context.Context, to peer.ID, msg []byte) error
	// Request delivers msg to the peer's HandleRequest and returns its response.
	Request(ctx context.Context, to peer.ID, msg []byte) ([]byte, error)
	// Join subscribes to a gossip topic, Leave ends that. Both may be called again.
	Join(topic string) error
	Leave(topic string) error
	// Publish sends msg to everyone who joined the topic, best effort, at most once each.
	Publish(ctx context.Context, topic string, msg []byte) error
	// Close ends all of it and waits.
	Close() error
}

// Verdict is what a validator says of a gossip message before it is passed on.
type Verdict int

// Verdicts. Ignored messages are dropped silently, rejected ones count against the peer that sent them.
const (
	Accept Verdict = iota
	Ignore
	Reject
)

// ControlHandler receives what a ControlPlane delivers. Calls are concurrent. HandleMessage, Validate and HandleGossip must
// not block; HandleRequest may, for as long as its context lives. Byte slices belong to the callee.
type ControlHandler interface {
	HandleMessage(from peer.ID, msg []byte)
	HandleRequest(ctx context.Context, from peer.ID, msg []byte) ([]byte, error)
	Validate(topic string, from peer.ID, msg []byte) Verdict
	HandleGossip(topic string, from peer.ID, msg []byte)
	PeerUp(id peer.ID)
	PeerDown(id peer.ID)
}

// Transport makes hops: authenticated media connections, at most one to each peer, for all rooms and both directions.
// engine/hop implements it. All methods are safe for concurrent use.
type Transport interface {
	// Start begins to deliver to h; s carries offers to other peers. It is called once, before anything else.
	Start(h HopHandler, s Signaller)
	// Dial returns the open hop to the peer, or opens one. HopUp is called before Dial returns a new one.
	Dial(ctx context.Context, to peer.ID) (Hop, error)
	// Answer answers an offer that came from the peer over an authenticated way. A hop that there was to him is closed first;
	// while both dial, the lower peer id's offer wins.
	Answer(ctx context.Context, from peer.ID, offer *wire.HopOffer) (*wire.HopAnswer, error)
	// NewOutbox returns an empty Outbox.
	NewOutbox() Outbox
	// Port returns the UDP port of all media.
	Port() int
	Close() error
}

// Outbox collects what goes to many hops of one Transport and hands it to the network together: a system call costs as much as
// encrypting several packets. It belongs to one goroutine, while its hops may be used by all.
type Outbox interface {
	// WritePackets is that of Hop, but that packets may wait for Flush. What the network refuses is the hop's to count.
	WritePackets(h Hop, pkts [][]byte) error
	// WriteControl is that of Hop, with the same difference.
	WriteControl(h Hop, c *wire.HopControl) error
	// Flush sends what waits. Who has written calls it before it waits for anything.
	Flush()
}

// Canary tells of peers whose processes end; engine/canary implements it.
type Canary interface {
	// Watch calls broken, at most once and from any goroutine, when the operating system of the peer, whose media comes from the UDP
	// address at, ends a connection to it. The returned function ends the watch.
	Watch(id peer.ID, at string, broken func()) (stop func())
	// Show lets a child, whose media goes to the UDP address at, watch this peer although it cannot connect to it, until the returned
	// function is called, and calls broken as Watch does.
	Show(id peer.ID, at string, broken func()) (stop func())
}

// Machine tells what the computer can spare for others; engine/machine implements it. It is asked by one goroutine.
type Machine interface {
	// Spare returns how many thousandths of the processors were idle since the last call, and whether the computer runs on battery.
	Spare() (idle int, battery bool)
}

// Signaller carries a hop's offer to a peer and brings back the answer, over a way that authenticates both.
type Signaller interface {
	Offer(ctx context.Context, to peer.ID, offer *wire.HopOffer) (*wire.HopAnswer, error)
}

// HopHandler receives what comes over hops. For one hop, calls come one at a time, HopUp first, HopDown last and once.
type HopHandler interface {
	HopUp(h Hop)
	// HopPacket gets an origin packet as it was sent. pkt is valid only during the call, which must not block.
	HopPacket(h Hop, pkt []byte)
	HopControl(h Hop, c *wire.HopControl)
	HopDown(h Hop, err error)
}

// Hop is one authenticated media connection to a peer. All methods are safe for concurrent use.
type Hop interface {
	Peer() peer.ID
	// WritePackets sends origin packets in order, without keeping them; it never waits for the peer. It returns how many were
	// handed to the network.
	WritePackets(pkts [][]byte) (int, error)
	// WriteControl sends a control message.
	WriteControl(c *wire.HopControl) error
	// PeerLoss tells the loss, in thousandths, that the peer reports of packets sent to him. A lossy hop adds redundancy.
	PeerLoss(permille uint32)
	Stats() HopStats
	// Sent returns Stats().PacketsSent, for those who look often.
	Sent() uint64
	// LastReceived returns when something that authenticated came last, the zero time if nothing has yet.
	LastReceived() time.Time
	// Close ends the hop. HopDown follows.
	Close() error
}

// HopStats are a hop's counters since it was opened, and its state.
type HopStats struct {
	PacketsSent, PacketsReceived uint64 // of media, repairs included
	BytesSent, BytesReceived     uint64 // on the wire, without IP and UDP headers
	Recovered                    uint64 // packets restored from redundancy
	Invalid                      uint64 // packets that did not authenticate or parse
	LossPermille                 uint32 // of the packets sent to this side, over the last seconds
	Local, Remote                string // UDP addresses
}
