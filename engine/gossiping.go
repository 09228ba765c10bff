package engine

import (
	"errors"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
)

// Validate implements ControlHandler: nothing unsigned is passed on, nor what its sender may not say.
func (e *Engine) Validate(topic string, from peer.ID, env []byte) Verdict {
	var r *Room
	if topic != directoryTopic {
		if r = e.roomByTopic(topic); r == nil {
			return Ignore
		}
		var ok bool
		if env, ok = r.openGossip(env); !ok {
			return Ignore // whoever has the key passes it on
		}
	}
	m, err := wire.OpenEnvelope(env, time.Now())
	if errors.Is(err, wire.ErrExpired) {
		return Ignore
	}
	if err != nil {
		e.metrics.controlBad.Add(1)
		return Reject
	}
	if topic == directoryTopic {
		if m.Type != wire.Type_ROOM_RECORD {
			return Ignore
		}
		if _, err := room.VerifyRecord(env, time.Now()); err != nil {
			return Reject
		}
		return Accept
	}
	if topic != r.topic {
		return Reject
	}
	return r.judge(m, env)
}

// judge says what becomes of an envelope about the room whose signature holds, by gossip or passed on by a parent.
func (r *Room) judge(m *wire.Message, env []byte) Verdict {
	if m.Room != r.id {
		return Reject
	}
	switch m.Type {
	case wire.Type_ACCESS:
		if _, err := room.VerifyAccess(env, r.record.Load(), time.Now()); err != nil {
			return Reject
		}
	case wire.Type_BEACON:
		if !mayHost(r.record.Load(), m.User) {
			return Reject
		}
	case wire.Type_ROOM_RECORD:
		if _, err := room.VerifyRecord(env, time.Now()); err != nil {
			return Reject
		}
	}
	return Accept
}

// HandleGossip implements ControlHandler.
func (e *Engine) HandleGossip(topic string, from peer.ID, env []byte) {
	if topic == directoryTopic {
		e.directory.add(env, time.Now())
		return
	}
	r := e.roomByTopic(topic)
	if r == nil {
		return
	}
	env, ok := r.openGossip(env)
	if !ok {
		return
	}
	m, err := wire.ReadEnvelope(env) // Validate has checked it
	if err != nil {
		return
	}
	r.heard(m, env)
}

// heard takes an envelope about the room that judge accepts.
func (r *Room) heard(m *wire.Message, env []byte) {
	switch m.Type {
	case wire.Type_ACCESS:
		r.post(func() {
			r.heardAccessLoop(env)
			r.passLoop(m.Type, env) // to those who are still children
		})
	case wire.Type_ADVERT:
		var a wire.Advert
		if proto.Unmarshal(m.Body, &a) != nil || a.Self == nil {
			return
		}
		// A peer advertises itself only.
		if id, err := wire.PeerID(m.Device); err == nil && string(a.Self.Peer) == string(id) && id != r.e.self {
			r.post(func() {
				r.acquaintLoop(id, a.Offer, a.Self.Addrs, time.Now())
				if a.Self.Free > 0 {
					r.advertLoop(candidatesFromWire([]*wire.Candidate{a.Self}))
				}
			})
		}
	case wire.Type_BEACON:
		now := time.Now()
		r.post(func() {
			r.beaconLoop(m, env, now)
			r.passLoop(m.Type, env)
		})
	case wire.Type_RECORDING:
		now := time.Now()
		r.post(func() {
			r.heardRecordingLoop(m, now)
			r.passLoop(m.Type, env)
		})
	case wire.Type_ROOM_RECORD:
		if rec, err := room.VerifyRecord(env, time.Now()); err == nil && rec.ID == r.id {
			r.post(func() {
				r.recordLoop(rec)
				r.passLoop(m.Type, env)
			})
		}
	}
}

func (r *Room) publish(typ wire.Type, body proto.Message) {
	env, err := r.e.seal(r.id, typ, body)
	if err != nil {
		r.e.log.Error("cannot encode gossip", "err", err)
		return
	}
	r.broadcastLoop(env, false)
}

// heardAccessLoop takes an access list that was gossiped.
func (r *Room) heardAccessLoop(env []byte) {
	if r.accessLoop(env, time.Now()) && !r.private {
		r.pushLoop()
	}
}
