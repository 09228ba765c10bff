package tonetest

import (
	"fmt"
	"time"

	"github.com/castd/castd/mixer/jitter"
	"github.com/castd/castd/mixer/opus"
)

// Player plays what is sent to somebody as a browser does: by an adaptive jitter buffer. Time is that of the packets. It belongs to one
// goroutine.
type Player struct {
	// Heard, where set, gets each frame of 10 ms that is played. It must not keep it.
	Heard func(pcm []float32)

	decoder   *opus.Decoder
	buffer    *jitter.Buffer
	pcm       []float32
	next      time.Time // when the next frame plays
	heard     []float32 // at most maxHeard
	all, made time.Duration
}

// playerTick is the length of a frame.
const playerTick = 10 * time.Millisecond

// NewPlayer returns a Player.
func NewPlayer() (*Player, error) {
	d, err := opus.NewDecoder(1)
	if err != nil {
		return nil, fmt.Errorf("make player: %w", err)
	}
	return &Player{decoder: d, buffer: jitter.New(jitter.DefaultConfig(), d), pcm: make([]float32, rate/100)}, nil
}

// Hear plays what was due until a packet came, and takes the packet.
func (p *Player) Hear(at time.Time, sequence uint16, timestamp uint32, payload []byte) {
	if p.next.IsZero() {
		p.next = at
	}
	for ; p.next.Before(at); p.next = p.next.Add(playerTick) {
		p.all += playerTick
		if f := p.buffer.Pull(p.next, p.pcm); f.Kind == jitter.Concealed {
			p.made += playerTick
		}
		if p.Heard != nil {
			p.Heard(p.pcm)
		}
		p.heard = append(p.heard, p.pcm...)
		if over := len(p.heard) - maxHeard; over > 0 {
			p.heard = append(p.heard[:0], p.heard[over:]...)
		}
	}
	p.buffer.Push(jitter.Packet{Arrival: at, SSRC: 1, Sequence: sequence, Timestamp: timestamp, Payload: payload})
}

// Played returns how much was played so far, and how much of it was made up for what was lost or late.
func (p *Player) Played() (all, made time.Duration) { return p.all, p.made }

// Target returns the delay at which the jitter buffer plays.
func (p *Player) Target() time.Duration { return p.buffer.Target() }

// Level is Ear.Level of what was played.
func (p *Player) Level(frequency float64) float64 {
	if len(p.heard) < rate {
		return -200
	}
	return Level(p.heard[len(p.heard)-rate:], frequency)
}

// Close frees the decoder.
func (p *Player) Close() { p.decoder.Close() }
