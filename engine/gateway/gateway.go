package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/castd/castd/engine"
)

// Config says what a Gateway serves and to whom.
type Config struct {
	Service engine.Service
	Guests  engine.GuestService

	// Hosts are names by which requests may address the gateway, besides localhost, all literal IP addresses and PublicURL's.
	Hosts []string
	// PublicURL is how guests reach the gateway where that is not its address; "" if it is.
	PublicURL string
	// TrustedOrigins are origins, like https://radio.example, whose pages may send requests that change something. Such pages
	// still need a token, and answers to them carry no CORS headers.
	TrustedOrigins []string

	// MediaUpload and MediaDownload serve a room's media to and from the administrator; nil leaves them out (404).
	MediaUpload, MediaDownload http.Handler
	// Announce takes the administrator's announcements in a conference; nil leaves them out (404).
	Announce http.Handler

	// Plugins serves /api/v1/plugins to the administrator; nil leaves it out (404).
	Plugins http.Handler

	// Archive records rooms for the administrator; nil leaves that out (404).
	Archive engine.Archive

	// MetricsGatherer has the engine's metrics; nil shows the gateway's own only.
	MetricsGatherer prometheus.Gatherer
	// Emit tells the room of a session that ended by an error, as an `error` event; nil tells nobody.
	Emit func(engine.Event)
	// Log may be nil.
	Log *slog.Logger
}

// Limits of time, by phase of a request.
const (
	headerTime = 5 * time.Second
	bodyTime   = 10 * time.Second
	readTime   = 20 * time.Second
	writeTime  = 30 * time.Second
	idleTime   = 75 * time.Second
	// offerTime is how long an answer to an offer may take.
	offerTime = 15 * time.Second
	// graceTime is how long Serve waits for requests that are under way when its context ends.
	graceTime = time.Second
)

const maxHeader = 16 << 10 // octets

// Gateway serves HTTP.
type Gateway struct {
	config  Config
	log     *slog.Logger
	hosts   map[string]bool
	origin  *http.CrossOriginProtection
	limits  *limits
	metrics *metrics
	files   map[string]webFile
	remote  http.Handler
	local   http.Handler
	// closing ends what lasts: streams of events.
	closing context.Context
	close   context.CancelFunc
	work    sync.WaitGroup // goroutines of sessions

	mu       sync.Mutex // guards all following fields
	closed   bool
	sessions map[string]*session
	senders  map[tokenKey]int // publishing sessions by token
	outs     map[outKey]out   // who was put out
	servers  map[*http.Server]struct{}
}

// New returns a Gateway. It has no goroutines until it serves.
func New(c Config) (*Gateway, error) {
	if c.Service == nil || c.Guests == nil {
		return nil, errors.New("gateway: Service and Guests are needed")
	}
	g := &Gateway{
		config: c, log: c.Log, hosts: map[string]bool{"localhost": true}, origin: http.NewCrossOriginProtection(),
		limits: newLimits(), sessions: map[string]*session{}, senders: map[tokenKey]int{}, outs: map[outKey]out{}, servers: map[*http.Server]struct{}{},
	}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	for _, h := range c.Hosts {
		g.hosts[hostName(h)] = true
	}
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("%q is not a public URL: write it like https://radio.example", c.PublicURL)
		}
		g.hosts[hostName(u.Host)] = true
		// A proxy may pass requests on under another Host than the one that the browser sees.
		c.TrustedOrigins = append(slices.Clip(c.TrustedOrigins), u.Scheme+"://"+u.Host)
	}
	for _, o := range c.TrustedOrigins {
		if err := g.origin.AddTrustedOrigin(o); err != nil {
			return nil, fmt.Errorf("%q is not an origin: write it like https://radio.example", o)
		}
	}
	g.closing, g.close = context.WithCancel(context.Background())
	g.metrics = newMetrics(c.MetricsGatherer)
	var err error
	if g.files, err = loadWeb(); err != nil {
		return nil, fmt.Errorf("gateway: read page: %w", err)
	}
	g.remote, g.local = g.handler(false), g.handler(true)
	return g, nil
}

// Handler returns the handler for TCP: requests need tokens.
func (g *Gateway) Handler() http.Handler { return g.remote }

// Local returns the handler for the peer's own socket: every request is the administrator's.
func (g *Gateway) Local() http.Handler { return g.local }

// Serve serves Handler on l until ctx ends or the Gateway is closed, and closes l. The listener may be one of crypto/tls.
func (g *Gateway) Serve(ctx context.Context, l net.Listener) error {
	return g.serve(ctx, l, g.remote)
}

// ServeLocal serves Local on l, which must be a Unix socket, as Serve does.
func (g *Gateway) ServeLocal(ctx context.Context, l net.Listener) error {
	if network := l.Addr().Network(); network != "unix" {
		l.Close()
		return fmt.Errorf("gateway: serve without tokens on %s: only a Unix socket keeps others out", network)
	}
	return g.serve(ctx, l, g.local)
}

func (g *Gateway) serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime,
		MaxHeaderBytes: maxHeader,
		// What net/http says of single connections names addresses.
		ErrorLog: slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
	}
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		l.Close()
		return engine.ErrClosed
	}
	g.servers[server] = struct{}{}
	g.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.Background(), graceTime)
		defer cancel()
		shutdown(grace, server)
	})
	err := server.Serve(l)
	stop()
	g.mu.Lock()
	delete(g.servers, server)
	g.mu.Unlock()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve http: %w", err)
}

// shutdown lets requests finish for as long as ctx allows, and then cuts them off.
func shutdown(ctx context.Context, s *http.Server) {
	if s.Shutdown(ctx) != nil {
		_ = s.Close() // what it could tell is that a listener was closed before
	}
}

// Close ends sessions and streams of events, lets other requests finish for as long as ctx allows, and waits for all of it.
func (g *Gateway) Close(ctx context.Context) error {
	g.mu.Lock()
	g.closed = true
	var sessions []*session
	for _, s := range g.sessions {
		sessions = append(sessions, s)
	}
	var servers []*http.Server
	for s := range g.servers {
		servers = append(servers, s)
	}
	g.mu.Unlock()
	g.close()
	var all sync.WaitGroup
	for _, s := range sessions {
		all.Go(func() { _ = s.guest.Close() })
	}
	for _, s := range servers {
		all.Go(func() { shutdown(ctx, s) })
	}
	done := make(chan struct{})
	go func() {
		all.Wait()
		g.work.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close gateway: %w", ctx.Err())
	}
}
