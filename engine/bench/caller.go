package bench

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtcp"

	"github.com/castd/castd/mixer/tonetest"
)

// Who takes part in a conference sends a tone of his own, so that it can be told whom he hears, and whether he hears himself.
const (
	toneLoudness = 0.1 // amplitude: -23 dB of power, as loud as talk
	toneLowest   = 300 // Hz
	toneWidest   = 100 // Hz between two tones at most
	toneBand     = 3000
	// toneLoop is how many packets of a tone are sent again and again: a second, in which all of the tones have whole periods.
	toneLoop = 50
	// toneWarmup packets come before them, until the encoder has found its way.
	toneWarmup = 10

	// silentLevel is the audio level of who is silent (RFC 6464), and silentEvery how many packets of his are left out between two.
	silentLevel = 127
	silentEvery = 20
	// maxEars is how many of the participants listen to what they get; the others only count it.
	maxEars = 16
	// heardFrom is how loud somebody must be to be heard, in dB of full scale.
	heardFrom = -40.0
)

// silentPayload is a packet of Opus without sound: SILK, wide band, 20 ms (RFC 6716 section 3.1), which a receiver fills with noise.
var silentPayload = []byte{9 << 3}

// caller takes part in a conference.
type caller struct {
	*endpoint
	run       *run
	frequency float64
	voice     *voice // nil: he is silent
	ssrc      uint32
	pt        uint8
	levels    bool
	first     time.Duration // since POST, until the first packet; 0: none
	nextRR    time.Time

	// Owned by the choir.
	sequence  uint16
	timestamp uint32
	count     uint32
	octets    uint32
	ticks     int
	inWindow  uint64
	packet    []byte
	nextSR    time.Time

	// Owned by the reading goroutine, and readable by all once that has ended.
	track  track // of extended numbers
	high   uint64
	jitter float64 // RFC 3550 section 6.4.1, in timestamp units
	way    int64   // of the last packet
	ear    *tonetest.Ear

	stream streamState // read by the run's clerk for reports
}

// voice is what a talking caller sends.
type voice struct {
	payloads [][]byte
	level    uint8
}

// toneOf returns the tone of the caller i of n. The distances between tones differ, as codecs distort: what they make of two tones lies as
// far above and below these as they are apart, and is not to be taken for a third.
func toneOf(i, n int) float64 {
	apart := min(toneWidest, max(1, toneBand/n))
	return float64(toneLowest + i*apart + i*i*13%apart)
}

func newVoice(frequency float64) (*voice, error) {
	source, err := tonetest.NewVoice(frequency, toneLoudness)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	v := &voice{}
	for i := range toneWarmup + toneLoop {
		payload, level, err := source.Packet()
		if err != nil {
			return nil, err
		}
		if v.level = level; i >= toneWarmup {
			v.payloads = append(v.payloads, payload)
		}
	}
	return v, nil
}

// call opens the callers, of which single ones may fail.
func (r *run) call(ctx context.Context, result *Result) error {
	if r.Callers == 0 {
		return nil
	}
	talking := min(r.Talking, r.Callers)
	result.Call = &CallResult{Callers: r.Callers, Talking: talking}
	r.say("encoding %d voices", talking)
	voices := make([]*voice, r.Callers)
	for i := range talking {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var err error
		if voices[i], err = newVoice(toneOf(i, r.Callers)); err != nil {
			return err
		}
	}
	r.choir.begin(&r.sending)
	var mu sync.Mutex
	var err error
	ears := (r.Callers + maxEars - 1) / maxEars // one ear in so many
	result.Call.Failed, result.Call.FirstFailure, err = r.crowd(ctx, r.Callers, "callers", func(i int) (func() error, error) {
		e, err := newEndpoint(r.http, r.dtls)
		if err != nil {
			return nil, err
		}
		c := &caller{
			endpoint: e, run: r, frequency: toneOf(i, r.Callers), voice: voices[i], ssrc: rand.Uint32(), sequence: uint16(rand.Uint32() & 0x7fff),
			timestamp: rand.Uint32(),
		}
		if i%ears == 0 {
			if c.ear, err = tonetest.NewEar(); err != nil {
				return nil, err
			}
		}
		e.receive, e.feedback = c.receive, c.readReports
		r.callers = append(r.callers, c)
		r.every(func(now time.Time) { e.tick(now); c.report(now) })
		return func() error {
			o := &offer{send: true, call: true, media: [kinds]bool{audio: true}, ssrc: [kinds]uint32{audio: c.ssrc}}
			if err := e.open(ctx, r.Call, o); err != nil {
				return err
			}
			if err := e.await(ctx); err != nil {
				return err
			}
			c.pt, c.levels = e.session.answer.pt[audio], e.session.answer.levels
			mu.Lock()
			result.Call.connect.add(time.Since(c.posted))
			mu.Unlock()
			r.choir.join(c)
			return nil
		}, nil
	})
	return err
}

// choir sends for all callers.
type choir struct {
	stop chan struct{} // nil: there are none

	mu     sync.Mutex // guards all following fields
	places [choirSteps][]*caller
	next   int
}

// choirSteps is into how many parts 20 ms are divided, in each of which some of the callers send, as people do who know nothing of each other.
const choirSteps = 20

func (c *choir) join(who *caller) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.places[c.next] = append(c.places[c.next], who)
	c.next = (c.next + 7) % choirSteps // prime to it: neighbours are apart
}

// begin has the choir send, on a goroutine of the group, until end.
func (c *choir) begin(group *sync.WaitGroup) {
	stop := make(chan struct{})
	c.stop = stop
	group.Go(func() { c.run(stop) })
}

func (c *choir) end() {
	if c.stop != nil {
		close(c.stop)
		c.stop = nil
	}
}

// run sends until stop. What a late timer has missed is sent at once.
func (c *choir) run(stop <-chan struct{}) {
	const step = audioEvery / choirSteps
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	start := time.Now()
	for done := 0; ; {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		now := time.Now()
		for ; done < int(now.Sub(start)/step); done++ {
			c.mu.Lock()
			turn := c.places[done%choirSteps]
			c.mu.Unlock()
			for _, who := range turn {
				who.send(now)
			}
		}
	}
}

// send sends 20 ms, or leaves them out where the caller is silent.
func (c *caller) send(now time.Time) {
	payload, level := silentPayload, uint8(silentLevel)
	if c.voice != nil {
		payload, level = c.voice.payloads[c.ticks%toneLoop], c.voice.level
	}
	if c.voice != nil || c.ticks%silentEvery == 0 {
		c.write(payload, level, now)
	}
	c.ticks++
	c.timestamp += audioTicks
	if now.After(c.nextSR) {
		c.nextSR = now.Add(time.Second/2 + rand.N(time.Second))
		if b, err := rtcp.Marshal([]rtcp.Packet{senderReport(c.ssrc, now, c.timestamp, c.count, c.octets), named(c.ssrc, "caller")}); err == nil {
			c.sendRTCP(b)
		}
	}
}

func (c *caller) write(payload []byte, level uint8, now time.Time) {
	b := append(c.packet[:0], 2<<6, c.pt)
	b = binary.BigEndian.AppendUint16(b, c.sequence)
	b = binary.BigEndian.AppendUint32(b, c.timestamp)
	b = binary.BigEndian.AppendUint32(b, c.ssrc)
	if c.levels { // RFC 8285 section 4.2
		voiced := uint8(0)
		if c.voice != nil {
			voiced = 0x80
		}
		b[0] |= 1 << 4
		b = append(b, 0xBE, 0xDE, 0, 1, levelExtension<<4, voiced|level, 0, 0)
	}
	b = append(b, payload...)
	c.packet = b
	c.sequence++
	c.count++
	c.octets += uint32(len(payload))
	if c.run.window.holds(now.UnixNano()) {
		c.inWindow++
	}
	_ = c.sendRTP(b) // what cannot be sent is missed at the other end
}

// receive takes a packet of what he hears.
func (c *caller) receive(b []byte, at time.Time) {
	c.run.received.Add(1)
	c.run.octets.Add(uint64(len(b)))
	if c.first == 0 {
		c.first = at.Sub(c.posted)
	}
	payload, ok := payloadOf(b)
	if !ok {
		return
	}
	c.stream.follow(b)
	number := c.extend(binary.BigEndian.Uint16(b[2:]))
	way := at.UnixMicro()*48/1000 - int64(binary.BigEndian.Uint32(b[4:]))
	if d := way - c.way; c.track.packets > 0 && max(d, -d) < 48000 { // else the clock has jumped, or gone round
		c.jitter += (float64(max(d, -d)) - c.jitter) / 16
	}
	c.way = way
	if !c.track.note(number) {
		return
	}
	if c.run.window.holds(at.UnixNano()) {
		if c.track.inWindow == 0 {
			c.track.first = number
		}
		c.track.inWindow++
		c.track.last = max(c.track.last, number)
		if c.ear != nil {
			c.ear.Hear(payload)
		}
	}
}

// extend counts on where the number of 16 bits goes round. It begins one round up, so that what comes out of order does not go below 0.
func (c *caller) extend(sequence uint16) uint64 {
	if c.track.packets == 0 {
		c.high = 1<<16 + uint64(sequence)
		return c.high
	}
	n := uint64(int64(c.high) + int64(int16(sequence-uint16(c.high))))
	c.high = max(c.high, n)
	return n
}

// readReports remembers sender reports, which receiver reports refer to.
func (c *caller) readReports(b []byte) {
	packets, err := rtcp.Unmarshal(b)
	if err != nil {
		return
	}
	for _, p := range packets {
		if r, ok := p.(*rtcp.SenderReport); ok {
			c.stream.note(r, time.Now())
		}
	}
}

// report sends a receiver report each second, as browsers do.
func (c *caller) report(now time.Time) {
	if now.Before(c.nextRR) || c.stream.ssrc.Load() == 0 {
		return
	}
	c.nextRR = now.Add(time.Second/2 + rand.N(time.Second))
	r := &rtcp.ReceiverReport{SSRC: c.ssrc, Reports: c.stream.report(nil, now)}
	if b, err := rtcp.Marshal([]rtcp.Packet{r, named(c.ssrc, "caller")}); err == nil {
		c.sendRTCP(b)
	}
}

// CallResult is what the callers of a run have sent and heard.
type CallResult struct {
	Callers      int    `json:"callers"`
	Talking      int    `json:"talking"`
	Failed       int    `json:"failed"` // who did not connect
	FirstFailure string `json:"first_failure,omitempty"`
	Ended        int    `json:"ended,omitempty"` // sessions that the server ended before the time

	ConnectP50  float64 `json:"connect_ms_p50"`
	FirstPacket float64 `json:"first_packet_ms_p50,omitempty"`

	Sent       uint64 `json:"sent"`     // by all callers in the window
	Expected   uint64 `json:"expected"` // by the numbers of what came
	Received   uint64 `json:"received"`
	Lost       uint64 `json:"lost"`
	Duplicates uint64 `json:"duplicates"`
	Reordered  uint64 `json:"reordered"`
	// Jitter of what came (RFC 3550 section 6.4.1), over the callers.
	JitterP50 float64 `json:"jitter_ms_p50"`
	JitterMax float64 `json:"jitter_ms_max"`

	// What those heard who listened.
	Ears   int     `json:"ears"`
	Others int     `json:"others_p50"`               // how many others an ear hears
	Level  float64 `json:"others_db_p50,omitempty"`  // how loud, in dB of a sine of full scale
	Own    float64 `json:"own_voice_db,omitempty"`   // the loudest of what talkers hear of themselves, beside the others
	Faulty int     `json:"faulty_packets,omitempty"` // that were no Opus

	connect histogram
}

// sumCall adds up what the callers have seen. All of them have ended.
func (r *run) sumCall(c *CallResult) {
	var first, jitter histogram
	var counts []int
	var levels, own []float64
	for _, who := range r.callers {
		if who.ended {
			c.Ended++
		}
		c.Sent += who.inWindow
		t := &who.track
		if t.packets == 0 {
			continue
		}
		first.add(who.first)
		jitter.add(time.Duration(who.jitter / 48 * float64(time.Millisecond)))
		if t.inWindow > 0 {
			expected := t.last - t.first + 1
			c.Expected += expected
			c.Received += t.inWindow
			c.Lost += expected - min(expected, t.inWindow)
		}
		c.Duplicates += t.duplicates
		c.Reordered += t.reordered
		if who.ear == nil {
			continue
		}
		c.Ears++
		_, bad := who.ear.Packets()
		c.Faulty += bad
		n := 0
		for _, other := range r.callers {
			if other == who || other.voice == nil {
				continue
			}
			if level := who.ear.Level(other.frequency); level > heardFrom {
				n++
				levels = append(levels, level)
			}
		}
		counts = append(counts, n)
		if who.voice != nil && n > 0 {
			own = append(own, who.ear.Residue(who.frequency))
		}
	}
	c.ConnectP50, c.FirstPacket = ms(c.connect.quantile(0.5)), ms(first.quantile(0.5))
	c.JitterP50, c.JitterMax = ms(jitter.quantile(0.5)), ms(jitter.most)
	if slices.Sort(counts); len(counts) > 0 {
		c.Others = counts[len(counts)/2]
	}
	if slices.Sort(levels); len(levels) > 0 {
		c.Level = levels[len(levels)/2]
	}
	if len(own) > 0 { // relative to how loud the others are
		c.Own = slices.Max(own) - c.Level
	}
	for _, who := range r.callers {
		if who.ear != nil {
			who.ear.Close()
		}
	}
}
