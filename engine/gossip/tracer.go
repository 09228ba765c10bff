package gossip

import (
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// tracer counts what gossipsub drops, and keeps the topic filter from remembering peers that are gone.
type tracer struct {
	stats  *counters
	filter *topicFilter
	lost   func(id peer.ID, forgotten bool) // called when gossipsub's stream to a peer has ended; must not block
}

var _ pubsub.RawTracer = (*tracer)(nil)

// OnClosedOutboundStream is called when gossipsub's stream to a peer has ended, and with it what gossipsub knows of the peer.
func (t *tracer) OnClosedOutboundStream(p peer.ID) {
	t.lost(p, t.filter.forget(p))
}

func (t *tracer) DropRPC(*pubsub.RPC, peer.ID)         { t.stats.gossipUnsent.Add(1) }
func (t *tracer) UndeliverableMessage(*pubsub.Message) { t.stats.gossipOverflow.Add(1) }
func (t *tracer) RejectMessage(_ *pubsub.Message, why string) {
	switch why {
	case pubsub.RejectValidationQueueFull, pubsub.RejectValidationThrottled:
		t.stats.gossipOverflow.Add(1)
	case pubsub.RejectValidationIgnored:
		t.stats.gossipIgnored.Add(1)
	default:
		t.stats.gossipRejected.Add(1)
	}
}

func (*tracer) OnNewOutboundStream(peer.ID, protocol.ID)             {}
func (*tracer) Join(string)                                          {}
func (*tracer) Leave(string)                                         {}
func (*tracer) Graft(peer.ID, string)                                {}
func (*tracer) Prune(peer.ID, string)                                {}
func (*tracer) ValidateMessage(*pubsub.Message)                      {}
func (*tracer) DeliverMessage(*pubsub.Message)                       {}
func (*tracer) DuplicateMessage(*pubsub.Message)                     {}
func (*tracer) ThrottlePeer(peer.ID)                                 {}
func (*tracer) RecvRPC(*pubsub.RPC)                                  {}
func (*tracer) SendRPC(*pubsub.RPC, peer.ID)                         {}
func (*tracer) SendRPCCompleted(*pubsub.RPC, peer.ID, time.Duration) {}
