package engine

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree/detect"
)

// hopState is what the engine knows of an open hop.
type hopState struct {
	Hop
	stampIn   atomic.Uint32 // last stamp heard of the peer, and when
	stampInAt atomic.Int64  // Unix nanoseconds
	rtt       atomic.Int64  // nanoseconds, smoothed; 0 unknown
	peerLoss  atomic.Uint32 // thousandths of what is sent to the peer, as he reports

	silent  bool              // at the last look; pulseRun's
	sent    uint64            // packets, at the last tick; pulseRun's
	pace    int               // of pulses to the peer, in ticks; pulseRun's
	quiet   bool              // the last pulse told of no loss; pulseRun's
	said    map[uint64]report // by room tag: what pulses have told the peer as a parent; pulseRun's
	repairs budget            // of what the peer asks for again; its reader's
	idle    int               // ticks without a packet; pulseRun's

	arrivals detect.Arrivals      // its reader's
	limit    atomic.Int64         // nanoseconds: how long it may be silent while something is live; 0: not known yet
	told     map[uint64]childNews // by room tag: what the peer's pulses have told as a child; its reader's

	mu     sync.Mutex
	before HopStats // at the last rate computation
	at     time.Time
	up     uint64
	down   uint64
}

// rates returns the bits per second sent and received since the last call that was at least half a second ago.
func (h *hopState) rates(now time.Time) (up, down uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.Stats()
	if d := now.Sub(h.at); d >= 500*time.Millisecond {
		if !h.at.IsZero() {
			h.up = uint64(float64(s.BytesSent-h.before.BytesSent) * 8 / d.Seconds())
			h.down = uint64(float64(s.BytesReceived-h.before.BytesReceived) * 8 / d.Seconds())
		}
		h.before, h.at = s, now
	}
	return h.up, h.down
}

// silentFor returns for how long nothing has come over the hop; 0 if nothing has come yet.
func silentFor(h Hop, now time.Time) time.Duration {
	last := h.LastReceived()
	if last.IsZero() {
		return 0
	}
	return now.Sub(last)
}

func (e *Engine) hop(to peer.ID) *hopState { return (*e.hops.Load())[to] }

// arrived notes that something came over the hop, for the limit of its silence.
func (e *Engine) arrived(h Hop, media bool, now time.Time) {
	if hs := e.hop(h.Peer()); hs != nil && hs.Hop == h && hs.arrivals.Note(now, media) {
		hs.limit.Store(int64(hs.arrivals.Limit()))
	}
}

// silenceLimit is how long the hop may be silent while something is live.
func (h *hopState) silenceLimit() time.Duration {
	if d := h.limit.Load(); d != 0 {
		return time.Duration(d)
	}
	return detect.Start
}

// HopUp implements HopHandler.
func (e *Engine) HopUp(h Hop) {
	e.mu.Lock()
	next := maps.Clone(*e.hops.Load())
	next[h.Peer()] = &hopState{Hop: h}
	e.hops.Store(&next)
	e.mu.Unlock()
	for _, r := range e.Rooms() {
		r.tell(func() { r.hopUpLoop(h) })
	}
}

// HopDown implements HopHandler.
func (e *Engine) HopDown(h Hop, err error) {
	e.mu.Lock()
	if old := (*e.hops.Load())[h.Peer()]; old != nil && old.Hop == h {
		next := maps.Clone(*e.hops.Load())
		delete(next, h.Peer())
		e.hops.Store(&next)
		e.closedHops.add(h.Stats())
	}
	e.mu.Unlock()
	e.log.Debug("hop is down", "peer", h.Peer(), "err", err)
	for _, r := range e.Rooms() {
		r.tell(func() { r.hopDownLoop(h) })
	}
}

// Offer implements Signaller: it carries a hop's offer over the control plane, which authenticates both ends.
func (e *Engine) Offer(ctx context.Context, to peer.ID, offer *wire.HopOffer) (*wire.HopAnswer, error) {
	var answer wire.HopAnswer
	if err := e.request(ctx, to, "", wire.Type_HOP_OFFER, offer, wire.Type_HOP_ANSWER, &answer); err != nil {
		return nil, fmt.Errorf("offer hop: %w", err)
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("offer hop: peer refuses: %.200s", answer.Error)
	}
	return &answer, nil
}

// answerHop answers an offer from a peer that one of this peer's rooms expects; nobody else gets a hop.
func (e *Engine) answerHop(ctx context.Context, from peer.ID, offer *wire.HopOffer) *wire.HopAnswer {
	expected := e.hop(from) != nil
	for _, r := range e.Rooms() {
		expected = expected || r.expects(from)
	}
	if !expected {
		return &wire.HopAnswer{Error: "no room here expects you: ask to join first", Nonce: offer.Nonce}
	}
	answer, err := e.transport.Answer(ctx, from, offer)
	if err != nil {
		e.log.Debug("cannot answer hop", "peer", from, "err", err)
		return &wire.HopAnswer{Error: "hop failed", Nonce: offer.Nonce}
	}
	return answer
}

// HopControl implements HopHandler.
func (e *Engine) HopControl(h Hop, c *wire.HopControl) {
	e.metrics.controlIn.Add(1)
	e.arrived(h, false, time.Now())
	if c.Pulse != nil {
		e.pulse(h, c.Pulse, time.Now())
	}
	for _, n := range c.Nacks {
		e.nacked(h, n)
	}
	for _, d := range c.Doubts {
		if s := (*e.streams.Load())[wire.StreamID(d.Stream)]; s != nil && s.room.serves(h.Peer()) {
			s.doubt(time.Now())
		}
	}
	for _, w := range c.Wishes {
		if s := (*e.streams.Load())[wire.StreamID(w.Stream)]; s != nil && s.room.serves(h.Peer()) {
			s.wish(time.Now())
		}
	}
}

// Times of pulses. Whoever feeds a peer something live is never silent for longer than detect.FillIn, because the other waits not
// much longer: what he feeds shows that he lives, and where nothing goes out for two ticks a pulse does. Every other one of these
// is short and tells of no room. While nothing is live, and at the least, he sends one twice a second, as often as a child tells
// its parent what it loses; an idle hop has a pulse a second.
const (
	pulseEvery     = 20 * time.Millisecond
	livePulseEvery = 1  // pulseEvery's
	fillAfter      = 2  // pulseEvery's without a packet
	childEvery     = 25 // pulseEvery's
	idlePulseEvery = 50 // pulseEvery's

	quietSilence = 3 * childEvery * pulseEvery
	// liveTail is how long after the end of the last stream a parent goes on as before: its children may hear of it later.
	liveTail = 3 * time.Second
)

// pulseRun sends pulses on all hops. Where none needs one soon, it sleeps longer.
func (e *Engine) pulseRun(ctx context.Context) {
	out := e.transport.NewOutbox()
	timer := time.NewTimer(pulseEvery)
	defer timer.Stop()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-e.livened:
		}
		if n%idlePulseEvery == 0 {
			e.dropSilentHops(time.Now())
		}
		step := e.pulses(n, out)
		out.Flush()
		n += step
		timer.Reset(time.Duration(step) * pulseEvery)
	}
}

// pulses writes the pulses that are due at the n-th tick to out and returns how many ticks later the next are.
func (e *Engine) pulses(n int, out Outbox) (step int) {
	hops := *e.hops.Load()
	if e.relinked.Swap(false) || n%childEvery == 0 {
		e.pace(hops)
	}
	step = childEvery
	for to, h := range hops {
		if h.pace == 0 {
			e.pace(hops) // it has just come up
		}
		step = min(step, h.pace)
		h.idle++
		if sent := h.Sent(); sent != h.sent {
			h.sent, h.idle = sent, 0
		}
		full := n%h.pace == 0
		switch {
		case h.pace == livePulseEvery:
			if full = n%childEvery == 0 || h.idle > 0 && h.idle%(2*fillAfter) == 0; !full && (h.idle == 0 || h.idle%fillAfter != 0) {
				continue
			}
		case !full:
			continue
		}
		e.writePulse(to, h, full, n%idlePulseEvery == 0, out)
	}
	// Ticks that are left out must not be those at which the slower hops are served.
	if step > 1 {
		step -= n % step
	}
	return step
}

// pace finds out how often each peer is to get a pulse.
func (e *Engine) pace(hops map[peer.ID]*hopState) {
	rooms := e.Rooms()
	for to, h := range hops {
		h.pace = idlePulseEvery
		for _, r := range rooms {
			if pace := r.pulsePace(to); pace != 0 {
				h.pace = min(h.pace, pace)
			}
		}
	}
}

// report is what a pulse tells a parent, who remembers it: a pulse that would only repeat it, and has no loss to tell of, can wait.
type report struct {
	depth, audience, below, freeBelow, free uint32
	repairing                               bool
}

// writePulse writes a pulse: a full one tells of the rooms, and is left out where it need not be now and tells nothing new.
func (e *Engine) writePulse(to peer.ID, h *hopState, full, must bool, out Outbox) {
	p := &wire.Pulse{LossPermille: h.Stats().LossPermille}
	news := !full || must || h.pace != childEvery || p.LossPermille != 0 || !h.quiet
	for _, r := range e.Rooms() {
		if !full {
			break
		}
		rp := r.pulseFor(to)
		if rp == nil {
			continue
		}
		p.Rooms = append(p.Rooms, rp)
		said := report{rp.Depth, rp.Audience, rp.Below, rp.FreeBelow, rp.Free, rp.Repairing}
		if news = news || len(rp.Marks) > 0 || rp.OriginClock != 0; h.said[rp.Room] != said {
			if news = true; h.said == nil || len(h.said) >= maxTold {
				h.said = make(map[uint64]report)
			}
			h.said[rp.Room] = said
		}
	}
	if !news {
		return
	}
	h.quiet = p.LossPermille == 0
	now := time.Now()
	p.Stamp = uint32(now.Sub(e.started).Milliseconds())
	if at := h.stampInAt.Load(); at != 0 {
		p.Echo = h.stampIn.Load()
		p.EchoDelay = uint32(now.Sub(time.Unix(0, at)).Milliseconds())
	}
	_ = out.WriteControl(h.Hop, &wire.HopControl{Pulse: p}) // counted by the hop
}

// hopSilence is how long a hop may be silent, seen twice a second apart, before it is closed: every hop has a pulse a second. The
// transport gives up far later, and until then the peer, who may have been started again, could not be met on a new one.
const hopSilence = 2500 * time.Millisecond

// dropSilentHops closes the hops that have been silent for too long. A hop is looked at twice, because after this process has been
// stopped for a while what came meanwhile has yet to be read.
func (e *Engine) dropSilentHops(now time.Time) {
	for _, h := range *e.hops.Load() {
		switch silent := silentFor(h, now) >= hopSilence; {
		case silent && h.silent:
			_ = h.Close()
		default:
			h.silent = silent
		}
	}
}

// pulse takes a pulse heard on a hop.
func (e *Engine) pulse(h Hop, p *wire.Pulse, now time.Time) {
	hs := e.hop(h.Peer())
	if hs == nil {
		return
	}
	hs.stampIn.Store(p.Stamp)
	hs.stampInAt.Store(now.UnixNano())
	if p.Echo != 0 {
		ms := int64(uint32(now.Sub(e.started).Milliseconds()) - p.Echo - p.EchoDelay)
		if ms >= 0 && ms < 10_000 {
			rtt, old := ms*int64(time.Millisecond), hs.rtt.Load()
			if old != 0 {
				rtt = old + (rtt-old)/8
			}
			hs.rtt.Store(max(rtt, int64(100*time.Microsecond)))
		}
	}
	hs.peerLoss.Store(min(p.LossPermille, 1000))
	h.PeerLoss(p.LossPermille)
	for _, rp := range p.Rooms {
		for _, r := range e.Rooms() {
			if r.tag == rp.Room {
				r.pulse(h.Peer(), rp, now)
			}
		}
	}
}
