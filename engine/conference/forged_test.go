package conference_test

import (
	"testing"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/enginetest"
	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/mixer/tonetest"
)

// forge sends a tone for some seconds as packets of a line, over the hop from one peer to another.
func forge(t *testing.T, from, to *enginetest.Peer, line wire.StreamID, frequency float64, first uint64) {
	t.Helper()
	hop, err := from.Hop(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	voice, err := tonetest.NewVoice(frequency, 0.1)
	if err != nil {
		t.Fatal(err)
	}
	defer voice.Close()
	for n := range uint64(150) {
		payload, level, err := voice.Packet()
		if err != nil {
			t.Fatal(err)
		}
		h := wire.Header{
			Kind: wire.KindAudio, FrameStart: true, FrameEnd: true, Level: level, Stream: line, Number: first + n, Timestamp: uint32(first+n) * 960,
		}
		_, _ = hop.WritePackets([][]byte{append(h.Append(nil), payload...)}) // what does not arrive is not heard either
		time.Sleep(20 * time.Millisecond)
	}
}

// TestForgedLines: what a third peer sends in the name of a participant, what comes under an id of nobody's, and what was sent before is
// dropped and counted by who mixes, and heard by nobody. So is what comes to a participant's peer from another one than who mixes.
func TestForgedLines(t *testing.T) {
	onTalk(t, 51, func(t *testing.T, k *gathering) {
		say := func(who *enginetest.Peer, participant string) wire.StreamID {
			return wire.NewStreamID(k.room.ID(), who.Signer.Public(), participant, "call", "say "+string(k.hub.Self()))
		}
		hear := wire.NewStreamID(k.room.ID(), k.near.Signer.Public(), bobID, "call", "hear "+string(k.hub.Self()))
		number := uint64(1<<16) + 100000 // far above what Bob has sent
		for _, c := range []struct {
			name     string
			from, to *enginetest.Peer
			line     wire.StreamID
			first    uint64
			counter  string
		}{
			{"a third peer in Bob's name", k.far, k.hub, say(k.near, bobID), number, "packets_not_from_parent_total"},
			{"an id of nobody's", k.far, k.hub, say(k.far, "nobody"), number, "packets_unknown_stream_total"},
			{"Bob's peer again", k.near, k.hub, say(k.near, bobID), 1 << 16, "call_packets_repeated_total"},
			{"a third peer in the mixer's name", k.far, k.near, hear, number, "packets_not_from_parent_total"},
		} {
			for _, who := range []*caller{k.ann, k.bob, k.eve} {
				who.ear.Forget()
			}
			before := c.to.Counters()[c.counter]
			forge(t, c.from, c.to, c.line, 2600, c.first)
			if n := c.to.Counters()[c.counter] - before; n < 100 {
				t.Errorf("%s: %d packets were counted as %s", c.name, n, c.counter)
			}
			for _, who := range []*caller{k.ann, k.bob, k.eve} {
				if level := who.ear.Loudest(2600); level > -55 {
					t.Errorf("%s: %s hears it at %.1f dB", c.name, who.name, level)
				}
			}
			check(t, k.ann, k.bob, k.eve)
		}
	})
}

// TestRightLost: who loses the right to speak while he takes part is out at once. What his peer, which has been kept from hearing of it,
// sends all the same is dropped by who mixes.
func TestRightLost(t *testing.T) {
	onTalk(t, 52, func(t *testing.T, k *gathering) {
		k.deaf.Store(k.near)
		before := k.hub.Counters()["packets_unknown_stream_total"]
		if err := k.room.Revoke(t.Context(), wire.ParticipantID(k.near.Signer.User()), room.Speak); err != nil {
			t.Fatal(err)
		}
		if n := len(k.room.Info().Participants); n != 2 {
			t.Errorf("%d take part", n)
		}
		k.heard(k.ann, k.bob, false)
		k.heard(k.eve, k.bob, false)
		forge(t, k.near, k.hub, wire.NewStreamID(k.room.ID(), k.near.Signer.Public(), bobID, "call", "say "+string(k.hub.Self())), 2600, 1<<20)
		if n := k.hub.Counters()["packets_unknown_stream_total"] - before; n < 100 {
			t.Errorf("%d packets of who may not speak were counted", n)
		}
		if level := k.ann.ear.Loudest(2600); level > -55 {
			t.Errorf("Ann hears them at %.1f dB", level)
		}
		select {
		case <-k.bob.call.Done():
		default:
			t.Error("his call goes on")
		}
		if got := code(k.bob.call.Err()); got != engine.CodeNotAllowed {
			t.Errorf("he is told %v", k.bob.call.Err())
		}
		if _, err := k.r1.Call(t.Context(), engine.SeatConfig{Participant: bobID, Hear: func(*engine.MediaPacket) {}}); code(err) != engine.CodeNotAllowed {
			t.Errorf("he comes back: %v", err)
		}
	})
}
