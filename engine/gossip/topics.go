package gossip

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

const (
	// Queues of gossipsub; it drops silently when they are full, and its defaults of 32 are. All drops are counted.
	outboundQueue  = 256 // RPCs to one peer
	validateQueue  = 256 // messages not yet validated
	deliveredQueue = 128 // messages of one topic on their way to HandleGossip

	maxRPC        = 2 * wire.MaxEnvelope // one envelope, or several small ones, and gossipsub's own
	maxControlRPC = wire.MaxEnvelope

	// heartbeat is gossipsub's own; half of it would mend a mesh sooner and make an idle peer wake up as often again.
	heartbeat = time.Second

	// A message comes once from nearly every neighbour in the mesh, and what it weighs is spent by every peer of a room. Four neighbours
	// drawn at random reach everybody while a third of the room is gone; three more are told a message's id at the next heartbeat,
	// and ask for it where it did not come.
	meshDegree = 4
	lazyDegree = 3

	// maxHandles bounds the topics that this peer has joined or published to.
	maxHandles = 256
)

// ErrTopic is returned for a topic outside castd's grammar.
var ErrTopic = errors.New("gossip: not a topic of castd")

// topics owns gossipsub and the topics of this peer. A topic that is published to without being joined has a handle but no
// subscription; idle handles are closed when there are too many.
type topics struct {
	plane  *Plane
	ps     *pubsub.PubSub
	filter *topicFilter

	mu      sync.Mutex
	handles map[string]*topicHandle
}

type topicHandle struct {
	topic *pubsub.Topic
	sub   *pubsub.Subscription // nil when not joined
	used  uint64               // order of use
}

// newTopics starts gossipsub on the host. It ends with ctx.
func newTopics(ctx context.Context, p *Plane, h host.Host) (*topics, error) {
	filter := newTopicFilter(&p.stats)
	t := &topics{plane: p, filter: filter, handles: make(map[string]*topicHandle)}
	params := pubsub.DefaultGossipSubParams()
	params.HeartbeatInterval = heartbeat
	params.D, params.Dlo, params.Dhi, params.Dout, params.Dscore, params.Dlazy = meshDegree, meshDegree-1, meshDegree+2, 1, 3, lazyDegree
	params.HistoryGossip = 1
	ps, err := pubsub.NewGossipSub(ctx, h,
		pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign),
		pubsub.WithNoAuthor(),
		pubsub.WithMessageIdFn(messageID),
		pubsub.WithSubscriptionFilter(filter),
		pubsub.WithDefaultValidator(t.validate, pubsub.WithValidatorInline(true)),
		pubsub.WithGossipSubParams(params),
		pubsub.WithPeerScore(scoreParams(), scoreThresholds()),
		pubsub.WithFloodPublish(true),
		pubsub.WithPeerExchange(false),
		pubsub.WithPeerOutboundQueueSize(outboundQueue),
		pubsub.WithValidateQueueSize(validateQueue),
		pubsub.WithMaxMessageSize(maxRPC),
		pubsub.WithMaxControlMessageSize(maxControlRPC),
		pubsub.WithRawTracer(&tracer{stats: &p.stats, filter: filter, lost: p.resync}),
		pubsub.WithLogger(slog.New(slog.DiscardHandler)), // what it drops is counted
	)
	if err != nil {
		return nil, fmt.Errorf("start gossipsub: %w", err)
	}
	t.ps = ps
	return t, nil
}

// messageID tells messages apart. The topic is part of it: else a copy in the wrong topic, which is marked as seen before
// it is validated, would keep the message out of the right one.
func messageID(m *pb.Message) string {
	h := sha256.New()
	h.Write([]byte(m.GetTopic()))
	h.Write([]byte{0})
	h.Write(m.GetData())
	return string(h.Sum(nil)[:20])
}

// validate is called for every message, by several goroutines, before it is delivered or passed on.
func (t *topics) validate(_ context.Context, from peer.ID, m *pubsub.Message) pubsub.ValidationResult {
	p := t.plane
	if from == p.id {
		return pubsub.ValidationAccept
	}
	select {
	case <-p.started:
	default:
		return pubsub.ValidationIgnore
	}
	if len(m.Data) > wire.MaxEnvelope {
		return pubsub.ValidationReject
	}
	if p.limits.admit(time.Now(), from, classGossip) != admitted {
		p.stats.rateLimited.Add(1)
		return pubsub.ValidationIgnore
	}
	switch p.handler.Validate(m.GetTopic(), from, bytes.Clone(m.Data)) {
	case engine.Accept:
		return pubsub.ValidationAccept
	case engine.Reject:
		return pubsub.ValidationReject
	default:
		return pubsub.ValidationIgnore
	}
}

// Join implements engine.ControlPlane.
func (p *Plane) Join(topic string) error {
	t := p.topics
	t.mu.Lock()
	defer t.mu.Unlock()
	h, err := t.handleLocked(topic)
	if err != nil {
		return fmt.Errorf("join %q: %w", topic, err)
	}
	if h.sub != nil {
		return nil
	}
	notOwn := pubsub.WithMessageFilter(func(m *pubsub.Message) bool { return m.ReceivedFrom != p.id })
	sub, err := h.topic.Subscribe(pubsub.WithBufferSize(deliveredQueue), notOwn)
	if err != nil {
		return fmt.Errorf("join %q: %w", topic, err)
	}
	if !p.spawn(func() { p.deliverLoop(topic, sub) }) {
		sub.Cancel()
		return fmt.Errorf("join %q: %w", topic, engine.ErrClosed)
	}
	h.sub = sub
	return nil
}

// Leave implements engine.ControlPlane.
func (p *Plane) Leave(topic string) error {
	t := p.topics
	t.mu.Lock()
	defer t.mu.Unlock()
	if h := t.handles[topic]; h != nil && h.sub != nil {
		h.sub.Cancel()
		h.sub = nil
	}
	return nil
}

// Publish implements engine.ControlPlane. The topic need not be joined.
func (p *Plane) Publish(ctx context.Context, topic string, msg []byte) error {
	if len(msg) > wire.MaxEnvelope {
		return fmt.Errorf("publish to %q: %w", topic, ErrTooLarge)
	}
	t := p.topics
	t.mu.Lock()
	h, err := t.handleLocked(topic)
	t.mu.Unlock()
	if err == nil {
		err = h.topic.Publish(ctx, bytes.Clone(msg))
	}
	if err != nil {
		return fmt.Errorf("publish to %q: %w", topic, err)
	}
	p.stats.gossipSent.Add(1)
	return nil
}

// deliverLoop hands the messages of a topic to the engine until the subscription ends.
func (p *Plane) deliverLoop(topic string, sub *pubsub.Subscription) {
	for {
		m, err := sub.Next(p.ctx)
		if err != nil {
			return
		}
		p.stats.gossipReceived.Add(1)
		p.handler.HandleGossip(topic, m.ReceivedFrom, bytes.Clone(m.Data))
	}
}

// handleLocked returns the handle of a topic.
func (t *topics) handleLocked(topic string) (*topicHandle, error) {
	if t.plane.ctx.Err() != nil {
		return nil, engine.ErrClosed
	}
	if !ValidTopic(topic) {
		return nil, ErrTopic
	}
	h := t.handles[topic]
	if h == nil {
		t.evictLocked()
		if len(t.handles) >= maxHandles {
			return nil, engine.NewUserError(engine.CodeFull, "this peer is in too many rooms; leave one of them first")
		}
		topicOf, err := t.ps.Join(topic)
		if err != nil {
			return nil, err
		}
		if err := topicOf.SetScoreParams(topicScoreParams()); err != nil {
			return nil, errors.Join(err, topicOf.Close())
		}
		h = &topicHandle{topic: topicOf}
		t.handles[topic] = h
	}
	h.used = t.plane.useCount.Add(1)
	return h, nil
}

// evictLocked closes the idle handle that was used longest ago, if there are too many.
func (t *topics) evictLocked() {
	if len(t.handles) < maxHandles {
		return
	}
	var oldest string
	for name, h := range t.handles {
		if h.sub == nil && (oldest == "" || h.used < t.handles[oldest].used) {
			oldest = name
		}
	}
	if oldest != "" && t.handles[oldest].topic.Close() == nil {
		delete(t.handles, oldest)
	}
}
