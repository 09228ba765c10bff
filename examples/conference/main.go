// Conference is the host of a call-in show: it opens a room in which whoever raises a hand gets the microphone, one after the other and for
// a while each. It greets who comes by a chime and in the chat, and tells who is next.
package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/node"
	"github.com/castd/castd/mixer/opus"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	o := node.DefaultOptions()
	name := flag.String("room", "show", "name of the room")
	turn := flag.Duration("turn", 2*time.Minute, "how long one who has raised a hand has the microphone")
	flag.StringVar(&o.DataDir, "data-dir", o.DataDir, "folder with the host's keys")
	flag.StringVar(&o.HTTP, "http", o.HTTP, "address of the page for browsers")
	flag.BoolVar(&o.NoMDNS, "no-mdns", false, "do not look for peers on the local network")
	flag.Parse()
	if err := show(ctx, o, *name, *turn); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "conference:", err)
		os.Exit(1)
	}
}

// show runs the room until ctx ends.
func show(ctx context.Context, o node.Options, name string, turn time.Duration) error {
	n, err := node.Start(ctx, o)
	if err != nil {
		return err
	}
	defer n.Close(context.Background())
	room, err := n.Open(ctx, name, node.RoomOptions{Create: true, Mode: "conference"})
	if err != nil {
		return err
	}
	for _, browser := range []bool{false, true} {
		link, err := room.Invite(engine.InviteSpec{Guest: browser, Speak: true})
		if err != nil {
			return err
		}
		fmt.Println("call:", link)
	}
	h := &host{turn: turn, begin: time.Now(), states: make(chan *engine.CallState, 1), known: make(map[string]string)}
	if h.chime, err = chime(660, 880); err != nil {
		return err
	}
	h.call, err = room.Call(ctx, engine.SeatConfig{Name: "Host", Hear: func(*engine.MediaPacket) {}, Tell: h.tell})
	if err != nil {
		return err
	}
	defer h.call.Close()
	if err := h.call.Moderate(ctx, engine.Moderation{Verb: "mute-all"}); err != nil {
		return err
	}
	return h.run(ctx)
}

// host is one who takes part. What it knows belongs to the goroutine of run.
type host struct {
	call   engine.Call
	turn   time.Duration
	begin  time.Time
	states chan *engine.CallState // the newest
	chime  [][]byte               // packets of 20 ms

	known   map[string]string // names of those who are there, by participant
	queue   []string          // participants, as last told
	speaks  string            // who has the microphone
	until   time.Time
	playing [][]byte // of the chime
	number  int64    // and timestamp of the packet sent last
	at      uint32
}

// tell is called when something in the conference has changed. It must not block: only the newest state counts.
func (h *host) tell(s *engine.CallState) {
	select {
	case <-h.states:
	default:
	}
	h.states <- s
}

func (h *host) run(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.call.Done():
			return h.call.Err()
		case s := <-h.states:
			h.greet(s)
			h.line(s)
		case now := <-tick.C:
			h.play()
			if h.speaks != "" && now.After(h.until) {
				h.say("%s, thank you.", h.known[h.speaks])
				h.speaks = ""
			}
		}
		if h.speaks == "" && len(h.queue) > 0 {
			h.pass(ctx, h.queue[0])
		}
	}
}

// greet welcomes who is new, and forgets who has left.
func (h *host) greet(s *engine.CallState) {
	here := make(map[string]string)
	var names []string
	for _, p := range s.Participants {
		here[p.Participant] = p.Name
		if p.Name == "" {
			here[p.Participant] = "somebody"
		}
		if _, before := h.known[p.Participant]; !before && !slices.Contains(p.Roles, "owner") {
			names = append(names, here[p.Participant])
		}
	}
	if _, still := here[h.speaks]; !still {
		h.speaks = ""
	}
	h.known = here
	if len(names) > 0 {
		fmt.Println("came:", strings.Join(names, ", "))
		if len(h.playing) == 0 { // timestamps go on in pauses, numbers do not
			h.at = uint32(time.Since(h.begin)/time.Millisecond) * (opus.SampleRate / 1000)
		}
		h.playing = h.chime
		h.say("Welcome, %s! Raise your hand to get the microphone.", strings.Join(names, ", "))
	}
}

// line takes the hands that are up, the first one first, and tells who waits.
func (h *host) line(s *engine.CallState) {
	queue := slices.DeleteFunc(slices.Clone(s.Hands), func(id string) bool { return id == h.speaks })
	if slices.Equal(queue, h.queue) {
		return
	}
	h.queue = queue
	if len(queue) > 1 {
		h.say("Waiting: %s.", strings.Join(h.names(queue), ", "))
	}
}

func (h *host) names(ids []string) []string {
	var names []string
	for _, id := range ids {
		names = append(names, h.known[id])
	}
	return names
}

// pass gives the microphone to the first in the queue.
func (h *host) pass(ctx context.Context, id string) {
	h.queue = h.queue[1:]
	if err := h.call.Moderate(ctx, engine.Moderation{Verb: "mic", Who: id, For: h.turn}); err != nil {
		fmt.Fprintln(os.Stderr, "not passed on:", err) // he has left meanwhile, say
		return
	}
	h.speaks, h.until = id, time.Now().Add(h.turn)
	fmt.Println("speaks:", h.known[id])
	h.say("%s has the microphone for %v.", h.known[id], h.turn)
}

func (h *host) say(format string, args ...any) { h.call.Say(fmt.Sprintf(format, args...)) }

// play sends the next packet of what is being played.
func (h *host) play() {
	if len(h.playing) == 0 {
		return
	}
	h.number++
	h.at += opus.FrameSamples
	h.call.Write(&engine.MediaPacket{Sequence: h.number, Timestamp: h.at, Payload: h.playing[0], Level: 20, Voice: true})
	h.playing = h.playing[1:]
}

// chime makes Opus packets of some tones of a fifth of a second each.
func chime(tones ...float64) (packets [][]byte, err error) {
	e, err := opus.NewEncoder(opus.EncoderConfig{Channels: 1, Bitrate: 48000, Complexity: 5})
	if err != nil {
		return nil, err
	}
	defer e.Close()
	pcm, out := make([]float32, opus.FrameSamples), make([]byte, opus.MaxPacketBytes)
	const frames = 10
	for _, tone := range tones {
		for frame := range frames {
			for i := range pcm {
				at := float64(frame*opus.FrameSamples+i) / opus.SampleRate
				pcm[i] = float32(0.2 * math.Exp(-8*at) * math.Sin(2*math.Pi*tone*at))
			}
			n, err := e.Encode(pcm, out)
			if err != nil {
				return nil, err
			}
			packets = append(packets, slices.Clone(out[:n]))
		}
	}
	return packets, nil
}
