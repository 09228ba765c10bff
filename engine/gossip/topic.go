package gossip

import (
	"maps"
	"slices"
	"strings"
	"sync"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/wire"
)

// DirectoryTopic is the topic of room records.
const DirectoryTopic = "castd/1/directory"

const roomTopicPrefix = "castd/1/room/"

// RoomTopic returns the topic of a room's adverts and beacons.
func RoomTopic(id wire.RoomID) string { return roomTopicPrefix + string(id) }

// ValidTopic reports whether topic is one of castd's: the directory or a room's.
func ValidTopic(topic string) bool {
	if topic == DirectoryTopic {
		return true
	}
	id, ok := strings.CutPrefix(topic, roomTopicPrefix)
	return ok && wire.ValidRoomID(id)
}

// maxTopicsPerPeer bounds the subscriptions that are kept of one peer. Without it a peer could make every other one
// keep any number of topics, each with its own state.
const maxTopicsPerPeer = 32

// topicFilter keeps foreign topics, and too many of them, out of gossipsub. gossipsub calls it from one goroutine,
// forget comes from there too; the lock is for tests and for what gossipsub may do one day.
type topicFilter struct {
	stats *counters

	mu    sync.Mutex
	peers map[peer.ID]map[string]struct{}
}

var _ pubsub.SubscriptionFilter = (*topicFilter)(nil)

func newTopicFilter(stats *counters) *topicFilter {
	return &topicFilter{stats: stats, peers: make(map[peer.ID]map[string]struct{})}
}

// CanSubscribe implements pubsub.SubscriptionFilter.
func (f *topicFilter) CanSubscribe(topic string) bool { return ValidTopic(topic) }

// FilterIncomingSubscriptions implements pubsub.SubscriptionFilter. It keeps the order and never fails: an error would drop
// the messages that came in the same RPC.
func (f *topicFilter) FilterIncomingSubscriptions(from peer.ID, subs []*pb.RPC_SubOpts) ([]*pb.RPC_SubOpts, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	have := f.peers[from]
	kept := make([]*pb.RPC_SubOpts, 0, min(len(subs), maxTopicsPerPeer))
	for _, sub := range subs {
		topic := sub.GetTopicid()
		_, known := have[topic]
		switch {
		case !sub.GetSubscribe():
			if !known {
				continue
			}
			delete(have, topic)
		case known: // told again on a new stream
		case len(have) >= maxTopicsPerPeer || !ValidTopic(topic):
			f.stats.topicsRefused.Add(1)
			continue
		default:
			if have == nil {
				have = make(map[string]struct{})
				f.peers[from] = have
			}
			have[topic] = struct{}{}
		}
		kept = append(kept, sub)
	}
	if len(have) == 0 {
		delete(f.peers, from)
	}
	return kept, nil
}

// forget drops what is known of a peer that gossipsub has dropped. It reports whether that was anything.
func (f *topicFilter) forget(id peer.ID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.peers[id])
	delete(f.peers, id)
	return n > 0
}

// of returns the topics that the peer has subscribed to.
func (f *topicFilter) of(id peer.ID) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.peers[id]))
}

// knows reports whether the peer has subscribed to anything.
func (f *topicFilter) knows(id peer.ID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.peers[id]) > 0
}
