package guest

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/transport/v5"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/secure"
	"github.com/castd/castd/engine/udp"
)

// Config says how guests reach this peer.
type Config struct {
	// Mux is the UDP port that all sessions share, a *udp.Port; the Service does not close it. Without one, each publisher gets a
	// port of his own and viewers share one, as they do where it is something else.
	Mux ice.UDPMux
	// Net replaces the operating system's network in tests.
	Net transport.Net
	// Loopback offers loopback addresses too, so that browsers on this machine need no other network.
	Loopback bool
	// MaxSessions bounds the sessions that exist at once; 0 means 1,000. A publishing one costs about 0.3 MB, a watching one a
	// quarter of that.
	MaxSessions int
	// Log may be nil.
	Log *slog.Logger
}

const defaultMaxSessions = 1000

// Stats are counters since the Service began.
type Stats struct {
	Publishing, Watching, Calling int    // sessions now
	PacketsIn                     uint64 // RTP packets of publishers that reached the room
	PacketsRefused                uint64 // RTP packets of publishers that the room or this package refused
	PacketsOut                    uint64 // RTP packets to viewers, retransmissions included
	SendErrors                    uint64 // RTP packets to viewers that the socket refused
	Retransmitted                 uint64
	AudioDropped                  uint64 // packets that viewers' queues had no room for
	VideoDropped                  uint64
	CallDropped                   uint64 // packets of conferences that participants' queues had no room for
	FeedbackDropped               uint64 // RTCP messages of viewers that came faster than they could be handled
}

// counters are shared by all sessions of a Service.
type counters struct {
	publishing, watching, calling               atomic.Int64
	in, refused, out, failed, retransmitted     atomic.Uint64
	audioDropped, videoDropped, feedbackDropped atomic.Uint64
	callDropped                                 atomic.Uint64
}

// Service serves guests. All methods are safe for concurrent use.
type Service struct {
	config      Config
	log         *slog.Logger
	pionLog     *pionLog
	certificate secure.Certificate
	parsed      *x509.Certificate // of certificate
	count       counters
	keeper      *keeper
	writers     []*writer

	mu       sync.Mutex
	sessions map[*session]struct{}
	halls    map[engine.Media]*hall
	port     *udp.Port // of viewers, where the Config has none
	pending  int       // sessions that are being set up
	closed   bool
}

var _ engine.GuestService = (*Service)(nil)

// New returns a Service. It has no goroutines until there is a session.
func New(c Config) (*Service, error) {
	if c.MaxSessions <= 0 {
		c.MaxSessions = defaultMaxSessions
	}
	log := c.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	certificate, err := secure.NewCertificate(time.Now())
	if err != nil {
		return nil, fmt.Errorf("guest: %w", err)
	}
	parsed, err := x509.ParseCertificate(certificate.TLS.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("guest: make certificate: %w", err)
	}
	s := &Service{
		config: c, log: log, pionLog: &pionLog{log: log}, certificate: certificate, parsed: parsed, keeper: newKeeper(),
		sessions: map[*session]struct{}{}, halls: map[engine.Media]*hall{},
	}
	for range runtime.GOMAXPROCS(0) {
		s.writers = append(s.writers, newWriter(s))
	}
	return s, nil
}

// Publish implements engine.GuestService. The slot is open when Publish returns, so that a guest who may not publish is told
// so in the response.
func (s *Service) Publish(ctx context.Context, m engine.Media, text string, o engine.GuestOptions) (engine.GuestSession, error) {
	return s.open(ctx, m, text, o, publishing)
}

// Watch implements engine.GuestService. It does not wait for a publisher.
func (s *Service) Watch(ctx context.Context, m engine.Media, text string, o engine.GuestOptions) (engine.GuestSession, error) {
	return s.open(ctx, m, text, o, watching)
}

// Call implements engine.GuestService. The guest has his seat when it returns.
func (s *Service) Call(ctx context.Context, m engine.Media, text string, o engine.GuestOptions) (engine.GuestSession, error) {
	return s.open(ctx, m, text, o, calling)
}

// open is what Publish, Watch and Call have in common. Cheap checks come before those that take something.
func (s *Service) open(ctx context.Context, m engine.Media, text string, o engine.GuestOptions, p purpose) (engine.GuestSession, error) {
	offered, err := parseOffer(text, p)
	if err != nil {
		return nil, err
	}
	if err := s.reserve(); err != nil {
		return nil, err
	}
	opened := false
	defer func() {
		if !opened {
			s.unreserve()
		}
	}()
	giveBack := func() {}
	if !local(o.Remote) {
		if giveBack, err = m.GuestSlot(); err != nil {
			return nil, err
		}
	}
	sess, err := s.newSession(ctx, m, offered, o, giveBack)
	if err != nil {
		giveBack()
		return nil, err
	}
	if err := s.add(sess); err != nil {
		sess.end(engine.ErrClosed)
		<-sess.done
		return nil, err
	}
	opened = true
	return sess, nil
}

// reserve takes a place for a session that is being set up.
func (s *Service) reserve() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return engine.ErrClosed
	}
	if len(s.sessions)+s.pending >= s.config.MaxSessions {
		return engine.NewUserError(engine.CodeFull, "This peer serves as many guests as it can; try another peer of the room, or later.")
	}
	s.pending++
	return nil
}

func (s *Service) unreserve() {
	s.mu.Lock()
	s.pending--
	s.mu.Unlock()
}

// add turns a reserved place into a session's.
func (s *Service) add(sess *session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return engine.ErrClosed
	}
	s.pending--
	if !sess.ended() {
		s.sessions[sess] = struct{}{}
	}
	return nil
}

func (s *Service) remove(sess *session) {
	s.mu.Lock()
	delete(s.sessions, sess)
	s.mu.Unlock()
}

// Stats returns the counters.
func (s *Service) Stats() Stats {
	c := &s.count
	return Stats{
		Publishing: int(c.publishing.Load()), Watching: int(c.watching.Load()), Calling: int(c.calling.Load()),
		PacketsIn: c.in.Load(), PacketsRefused: c.refused.Load(), PacketsOut: c.out.Load(), SendErrors: c.failed.Load(), Retransmitted: c.retransmitted.Load(),
		AudioDropped: c.audioDropped.Load(), VideoDropped: c.videoDropped.Load(), CallDropped: c.callDropped.Load(), FeedbackDropped: c.feedbackDropped.Load(),
	}
}

// Close ends all sessions and waits for them.
func (s *Service) Close() error {
	s.mu.Lock()
	s.closed = true
	var all []*session
	for sess := range s.sessions {
		all = append(all, sess)
	}
	s.mu.Unlock()
	for _, sess := range all {
		sess.end(nil)
	}
	for _, sess := range all {
		<-sess.done
	}
	s.keeper.close()
	for _, w := range s.writers {
		w.close()
	}
	s.mu.Lock()
	port := s.port
	s.port = nil
	s.mu.Unlock()
	if port == nil {
		return nil
	}
	return port.Close()
}

// viewerPort returns the port that viewers share.
func (s *Service) viewerPort() (*udp.Port, error) {
	if p, ok := s.config.Mux.(*udp.Port); ok {
		return p, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, engine.ErrClosed
	}
	var err error
	if s.port == nil && s.config.Net != nil {
		s.port, err = udp.ListenNet(s.config.Net)
	} else if s.port == nil {
		s.port, err = udp.Listen(0, false)
	}
	return s.port, err
}

// local reports whether a request came from this machine: over a loopback address or, without any address, a Unix socket.
func local(remote string) bool {
	if remote == "" {
		return true
	}
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// userError returns err if it is one for the guest, and otherwise one with the code and message.
func userError(err error, code, message string) error {
	var u *engine.UserError
	if errors.As(err, &u) {
		return err
	}
	return engine.NewUserError(code, message)
}
