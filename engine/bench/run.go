package bench

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of a load.
const (
	MaxPublishers  = 100
	MaxSubscribers = 10_000
	MaxCallers     = 1000
)

// Config says what to load a server with.
type Config struct {
	// WHIP, WHEP and Call are the addresses; an empty one is not used.
	WHIP, WHEP, Call string

	Token    string // bearer token; "" for none
	Insecure bool   // any certificate of the server will do
	// Fingerprint is the SHA-256 of the only certificate that will do, "AB:CD:..."; "" for those that the system trusts.
	Fingerprint string

	VideoPublishers int
	AudioPublishers int
	Subscribers     int
	Callers         int           // who take part in a conference
	Talking         int           // of them; the others are silent, and send what browsers do then
	JoinRate        float64       // joins a second
	Settle          time.Duration // between the last join and the measurement
	Duration        time.Duration // of the measurement
	VideoBitrate    uint64        // bits a second of each video publisher
	PID             int           // process to look at; 0 for none

	// Forwarded tells how many packets the server has sent to others than the viewers of this run; nil: to none.
	Forwarded func() uint64

	// Progress is called with what is going on, in few words; nil does nothing.
	Progress func(string)
}

// window is the time in which what is sent counts. It is safe for concurrent use.
type window struct{ from, to atomic.Int64 }

func (w *window) open()                 { w.to.Store(math.MaxInt64); w.from.Store(time.Now().UnixNano()) }
func (w *window) close()                { w.to.Store(time.Now().UnixNano()) }
func (w *window) holds(sent int64) bool { return sent >= w.from.Load() && sent < w.to.Load() }

// run is one measurement.
type run struct {
	Config
	http     *signaller
	dtls     *credentials
	window   window
	received atomic.Uint64 // packets of all viewers
	octets   atomic.Uint64

	publishers []*publisher
	viewers    []*viewer
	callers    []*caller
	choir      choir
	sending    sync.WaitGroup

	mu    sync.Mutex // guards what follows
	ticks []func(time.Time)
	late  histogram // of the clerk's own timer
}

const (
	clerkEvery = 10 * time.Millisecond
	// drain is how long what is on its way when the window closes may take.
	drain = 500 * time.Millisecond
)

// Run loads the server and measures. It returns early, with an error, when a publisher cannot connect, and with
// what there is when ctx ends during the measurement. Errors are sentences for people.
func Run(ctx context.Context, c Config) (*Result, error) {
	dtls, err := newCredentials(time.Now())
	if err != nil {
		return nil, err
	}
	r := &run{Config: c, http: newSignaller(c.Token, tlsConfig(c.Insecure, c.Fingerprint)), dtls: dtls}
	r.window.from.Store(math.MaxInt64)
	defer r.http.http.CloseIdleConnections()
	stop := make(chan struct{})
	var clerk sync.WaitGroup
	clerk.Go(func() { r.clerk(stop) })
	defer func() { close(stop); clerk.Wait() }()
	defer r.closeAll()
	if err := r.publish(ctx); err != nil {
		return nil, err
	}
	result := &Result{}
	if err := r.call(ctx, result); err != nil {
		return nil, err
	}
	if err := r.watch(ctx, result); err != nil {
		return nil, err
	}
	if err := r.measure(ctx, result); err != nil {
		return nil, err
	}
	r.closeAll()
	r.sum(result)
	return result, nil
}

func (r *run) say(format string, args ...any) {
	if r.Progress != nil {
		r.Progress(fmt.Sprintf(format, args...))
	}
}

// clerk does what is periodic for all endpoints.
func (r *run) clerk(stop chan struct{}) {
	ticker := time.NewTicker(clerkEvery)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		now := time.Now()
		r.mu.Lock()
		if r.window.holds(now.UnixNano()) {
			r.late.add(now.Sub(last) - clerkEvery)
		}
		ticks := r.ticks
		r.mu.Unlock()
		last = now
		for _, tick := range ticks {
			tick(now)
		}
	}
}

func (r *run) every(tick func(time.Time)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ticks = append(r.ticks[:len(r.ticks):len(r.ticks)], tick)
}

// publish opens the publishers, of which those with a common number share a session.
func (r *run) publish(ctx context.Context) error {
	for i := range max(r.VideoPublishers, r.AudioPublishers) {
		e, err := newEndpoint(r.http, r.dtls)
		if err != nil {
			return err
		}
		p := &publisher{
			endpoint: e, index: uint8(i), run: r, stop: make(chan struct{}), pictureSize: int(r.VideoBitrate / 8 / pictureRate),
			media: [kinds]bool{audio: i < r.AudioPublishers, video: i < r.VideoPublishers},
		}
		for k := range kinds {
			p.ssrc[k], p.sequence[k], p.timestamp[k] = rand.Uint32(), uint16(rand.Uint32()&0x7fff), rand.Uint32()
		}
		e.feedback = p.readFeedback
		p.sink = func(b []byte) { _ = e.sendRTP(b) } // what cannot be sent is missed at the other end
		r.publishers = append(r.publishers, p)
		r.every(e.tick)
		r.say("publisher %d joins", i+1)
		address := r.WHIP
		if i > 0 {
			address = withSlot(address, i)
		}
		if err := e.open(ctx, address, &offer{send: true, media: p.media, ssrc: p.ssrc}); err != nil {
			return err
		}
		if err := e.await(ctx); err != nil {
			return err
		}
		for k, pt := range e.session.answer.pt {
			p.pt[k] = pt
			p.media[k] = p.media[k] && pt != 0
		}
		if p.media == [kinds]bool{} {
			return errNoMedia
		}
		r.sending.Go(p.send)
	}
	return nil
}

// crowd connects many at the rate that was asked for. prepare is called for one after the other, and what it returns for several at a time.
// Single ones may fail; the first reason is told, and an error returned where nobody has come.
func (r *run) crowd(ctx context.Context, count int, name string, prepare func(i int) (func() error, error)) (failed int, reason string, err error) {
	var group sync.WaitGroup
	var mu sync.Mutex
	var first error
	pace := time.NewTicker(time.Duration(float64(time.Second) / r.JoinRate))
	defer pace.Stop()
	for i := range count {
		if i > 0 {
			select {
			case <-ctx.Done():
			case <-pace.C:
			}
		}
		if ctx.Err() != nil {
			break
		}
		connect, err := prepare(i)
		if err != nil {
			group.Wait()
			return 0, "", err
		}
		group.Go(func() {
			err := connect()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed++
				if first == nil {
					first = err
				}
			}
		})
		if i%10 == 9 {
			r.say("%d of %d %s join", i+1, count, name)
		}
	}
	group.Wait()
	if err := context.Cause(ctx); err != nil {
		return failed, "", err
	}
	if first == nil {
		return 0, "", nil
	}
	if failed == count {
		return failed, "", first
	}
	return failed, first.Error(), nil
}

// watch opens the viewers.
func (r *run) watch(ctx context.Context, result *Result) error {
	begin := time.Now()
	var mu sync.Mutex
	var err error
	result.Failed, result.FirstFailure, err = r.crowd(ctx, r.Subscribers, "viewers", func(int) (func() error, error) {
		e, err := newEndpoint(r.http, r.dtls)
		if err != nil {
			return nil, err
		}
		v := &viewer{endpoint: e, run: r, ssrc: rand.Uint32(), tracks: map[trackKey]*track{}}
		e.receive, e.feedback = v.packet, v.readReports
		r.every(func(now time.Time) { e.tick(now); v.report(now) })
		r.viewers = append(r.viewers, v)
		return func() error {
			if err := e.open(ctx, r.WHEP, &offer{media: [kinds]bool{true, true}}); err != nil {
				return err
			}
			if err := e.await(ctx); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			v.connectAt = time.Now()
			result.connect.add(v.connectAt.Sub(v.posted))
			return nil
		}, nil
	})
	if took := time.Since(begin); r.Subscribers > 0 {
		result.JoinsPerSecond = float64(r.Subscribers-result.Failed) / took.Seconds()
	}
	return err
}

// await returns when media may flow.
func (e *endpoint) await(ctx context.Context) error {
	select {
	case <-e.connected:
		return nil
	case err := <-e.failed:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// measure waits for the window to pass.
func (r *run) measure(ctx context.Context, result *Result) error {
	r.say("settling")
	if !sleep(ctx, r.Settle) {
		return context.Cause(ctx)
	}
	r.say("measuring for %v", r.Duration)
	var before, after Usage
	var err error
	if r.PID != 0 {
		if before, err = ReadUsage(r.PID); err != nil {
			return err
		}
	}
	own, _ := ReadUsage(os.Getpid())
	packets, octets, begin := r.forwarded(), r.octets.Load(), time.Now()
	r.window.open()
	sleep(ctx, r.Duration)
	r.window.close()
	if r.PID != 0 {
		if after, err = ReadUsage(r.PID); err != nil {
			return fmt.Errorf("the process that was looked at has ended: %w", err)
		}
	}
	took := time.Since(begin)
	ownAfter, _ := ReadUsage(os.Getpid())
	result.Seconds = took.Seconds()
	result.Packets = r.forwarded() - packets
	result.Bitrate = float64(r.octets.Load()-octets) * 8 / took.Seconds()
	result.OwnCPU = float64(ownAfter.CPU-own.CPU) / float64(took)
	if r.PID != 0 {
		result.server(before, after, took)
	}
	if result.Packets > 0 {
		sleep(context.WithoutCancel(ctx), drain)
	}
	return nil
}

// forwarded counts what the server has sent to anybody.
func (r *run) forwarded() uint64 {
	n := r.received.Load()
	if r.Forwarded != nil {
		n += r.Forwarded()
	}
	return n
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// closeAll ends all sessions and waits for their goroutines.
func (r *run) closeAll() {
	ctx := context.Background()
	for _, p := range r.publishers {
		select {
		case <-p.stop:
		default:
			close(p.stop)
		}
	}
	r.choir.end()
	r.sending.Wait()
	var many []*endpoint
	for _, v := range r.viewers {
		many = append(many, v.endpoint)
	}
	for _, c := range r.callers {
		many = append(many, c.endpoint)
	}
	var group sync.WaitGroup
	limit := make(chan struct{}, 16)
	for _, e := range many {
		group.Go(func() {
			limit <- struct{}{}
			e.close(ctx)
			<-limit
		})
	}
	group.Wait()
	for _, p := range r.publishers {
		p.close(ctx)
	}
}
