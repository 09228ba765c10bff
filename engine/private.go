package engine

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"
	"time"

	"github.com/castd/castd/engine/seal"
	"github.com/castd/castd/engine/wire"
)

// Gossip passes peers that are in no private room. What a private room says is sealed with a key that follows from the room's,
// and its topic is a hash of its id: who is not in the room learns neither its name nor its id from it, nor who is where in its
// tree. Who knows the id still sees which of his neighbours subscribe to the topic.

// privateTopic is the gossip topic of a private room. It has the form of other rooms' topics.
func privateTopic(id wire.RoomID) string {
	sum := sha256.Sum256([]byte("castd private topic v1\x00" + string(id)))
	return roomTopicPrefix + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:26]
}

// topicOf returns the gossip topic of a room.
func topicOf(id wire.RoomID, private bool) string {
	if private {
		return privateTopic(id)
	}
	return roomTopic(id)
}

// roomByTopic returns the room that a topic belongs to.
func (e *Engine) roomByTopic(topic string) *Room {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.rooms {
		if r.topic == topic {
			return r
		}
	}
	return nil
}

// sealGossip returns what is published for an envelope. old asks for the key before the current one, which everyone has who is
// still to learn of the current one.
func (r *Room) sealGossip(env []byte, old bool) ([]byte, error) {
	if !r.private {
		return env, nil
	}
	ring := r.ring.Load()
	key := ring.newest()
	if b := ring.before(); old && b != nil {
		key = b
	}
	if key == nil {
		return nil, fmt.Errorf("engine: no key for gossip")
	}
	var nonce [seal.NonceSize]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return nil, fmt.Errorf("engine: seal gossip: %w", err)
	}
	return key.gossip.Seal(nonce, env), nil
}

// openGossip returns the envelope in what was published, false where this peer cannot read it.
func (r *Room) openGossip(b []byte) ([]byte, bool) {
	if !r.private {
		return b, true
	}
	g, ok := seal.GossipGeneration(b)
	if !ok {
		return nil, false
	}
	ring := r.ring.Load()
	key := ring.get(g)
	if key == nil {
		r.unread.Store(true)
		r.e.metrics.gossipUnread.Add(1)
		return nil, false
	}
	env, err := key.gossip.Open(b)
	if err != nil { // of two keys that were made at the same time, perhaps
		r.unread.Store(true)
		r.e.metrics.gossipUnread.Add(1)
	}
	return env, err == nil
}

// broadcastLoop publishes an envelope on the room's topic, and passes it on to children that are not there.
func (r *Room) broadcastLoop(env []byte, old bool) {
	b, err := r.sealGossip(env, old)
	if err != nil {
		r.e.log.Debug("cannot publish", "err", err)
		return
	}
	if m, err := wire.ReadEnvelope(env); err == nil {
		r.passLoop(m.Type, env)
	}
	r.done.Go(func() {
		ctx, cancel := context.WithTimeout(r.ctx, time.Second)
		defer cancel()
		if err := r.e.control.Publish(ctx, r.topic, b); err != nil && r.ctx.Err() == nil {
			r.e.log.Debug("cannot publish", "err", err)
		}
	})
}
