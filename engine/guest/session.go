package guest

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/castd/castd/engine"
)

// part is what a session does besides negotiating: publish, watch or take part in a conference.
type part interface {
	// carrier makes the connection, which has not begun.
	carrier() (carrier, error)
	// open reserves what it needs of the room, once the answer is there.
	open(ctx context.Context) error
	// sources returns SSRCs: of a publisher's streams that have come, by kind, and of what others are sent, by the section's a=mid.
	sources() map[string]uint32
	// run works from the moment that the connection is ready until ctx ends.
	run(ctx context.Context)
	// close gives everything back. It is called once, after run has returned or without it, before the carrier is closed.
	close()
}

// session is one guest's connection. It ends by end, whoever calls it; then finish, on the session's own goroutine, closes
// everything and waits.
type session struct {
	// Constant.
	service *Service
	id      string
	log     *slog.Logger
	offer   *offer
	part    part
	carrier carrier
	release func() // gives the guest's slot of this peer back
	ctx     context.Context
	cancel  context.CancelFunc
	done    chan struct{}
	ready   chan struct{} // closed when media may flow

	// Atomic.
	selected atomic.Bool // a candidate pair of this ICE generation was selected

	readyOnce sync.Once
	wg        sync.WaitGroup // goroutines of the part

	negotiation sync.Mutex // one exchange at a time; held across calls of pion

	mu         sync.Mutex // guards all following fields
	answer     string
	generation uint64
	taken      budget // of this generation
	ufrag, pwd string
	over       bool
	left       bool // the guest said goodbye
	err        error
}

var _ engine.GuestSession = (*session)(nil)

// newSession negotiates, opens the part and starts the session. ctx bounds the set-up only.
func (s *Service) newSession(ctx context.Context, m engine.Media, o *offer, opts engine.GuestOptions, release func()) (*session, error) {
	id := rand.Text()
	sess := &session{
		service: s, id: id, log: s.log.With("session", id[:8]), offer: o, release: release,
		done: make(chan struct{}), ready: make(chan struct{}), generation: 1, ufrag: o.ufrag, pwd: o.pwd,
	}
	o.candidates = sess.taken.take(o.candidates)
	sess.ctx, sess.cancel = context.WithCancel(context.Background())
	switch o.purpose {
	case publishing:
		sess.part = newPublisher(sess, m, opts)
	case calling:
		sess.part = newCaller(sess, m, opts)
	default:
		sess.part = newWatcher(sess, m, opts)
	}
	var err error
	if sess.carrier, err = sess.part.carrier(); err != nil {
		sess.cancel()
		sess.part.close()
		return nil, fmt.Errorf("guest: make connection: %w", err)
	}
	if err := sess.start(ctx); err != nil {
		sess.end(err)
		sess.part.close()
		_ = sess.carrier.close()
		sess.wg.Wait()
		return nil, err
	}
	sess.counter().Add(1)
	go sess.run()
	return sess, nil
}

func (s *session) start(ctx context.Context) error {
	answer, err := s.carrier.start(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.log.Debug("offer refused", "error", err)
		return userError(err, engine.CodeBadOffer, "The offer could not be answered; send an offer as a browser or encoder makes it.")
	}
	s.answer = answer
	stop := context.AfterFunc(ctx, s.cancel)
	err = s.part.open(s.ctx)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	return err
}

// selectPair reports whether the pair of a binding request is the first of this generation. Later requests, keepalives for
// instance, change nothing; the guest's own nomination still does.
func (s *session) selectPair() bool { return s.selected.CompareAndSwap(false, true) }

// stateChanged is called by pion and must not block.
func (s *session) stateChanged(state webrtc.PeerConnectionState) {
	s.log.Debug("guest connection", "state", state.String())
	switch state {
	case webrtc.PeerConnectionStateConnected:
		s.connected()
	case webrtc.PeerConnectionStateFailed:
		s.end(errLost())
	case webrtc.PeerConnectionStateClosed: // the guest ended DTLS
		s.end(nil)
	}
}

// connected tells that media may flow.
func (s *session) connected() { s.readyOnce.Do(func() { close(s.ready) }) }

func errLost() error {
	return engine.NewUserError(engine.CodeTimeout,
		"The connection was lost or could not be made; check the network between you and this peer, and connect again.")
}

// run is the session's goroutine.
func (s *session) run() {
	defer s.finish()
	timeout := time.NewTimer(connectWithin)
	defer timeout.Stop()
	select {
	case <-s.ready:
		s.part.run(s.ctx)
	case <-timeout.C:
		s.end(engine.NewUserError(engine.CodeTimeout, "The connection could not be made in time; check that UDP reaches this peer, and connect again."))
	case <-s.ctx.Done():
	}
	<-s.ctx.Done()
}

// end makes the session end, with the first error that is given. It does not wait.
func (s *session) end(err error) {
	s.mu.Lock()
	if !s.over {
		s.over, s.err = true, err
	}
	s.mu.Unlock()
	s.cancel()
}

func (s *session) finish() {
	s.part.close()
	if err := s.carrier.close(); err != nil {
		s.log.Debug("close guest connection", "error", err)
	}
	s.wg.Wait()
	s.release()
	s.counter().Add(-1)
	s.service.remove(s)
	s.log.Info("guest left", "error", s.Err())
	close(s.done)
}

func (s *session) counter() *atomic.Int64 {
	switch s.offer.purpose {
	case publishing:
		return &s.service.count.publishing
	case calling:
		return &s.service.count.calling
	}
	return &s.service.count.watching
}

// spawn runs f on a goroutine that the session waits for.
func (s *session) spawn(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.wg.Go(f)
	}
}

func (s *session) saidGoodbye() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left
}

func (s *session) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}

// ID implements engine.GuestSession.
func (s *session) ID() string { return s.id }

// Answer implements engine.GuestSession.
func (s *session) Answer() string { return s.answer }

// ETag implements engine.GuestSession.
func (s *session) ETag() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("\"%s-%d\"", s.id[:8], s.generation)
}

// Done implements engine.GuestSession.
func (s *session) Done() <-chan struct{} { return s.done }

// Err implements engine.GuestSession. It is nil after an end that was wanted.
func (s *session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close implements engine.GuestSession. It is a guest's goodbye: unlike one whose connection was lost, a publisher who says
// it is not waited for.
func (s *session) Close() error {
	s.mu.Lock()
	s.left = s.left || !s.over
	s.mu.Unlock()
	s.end(nil)
	<-s.done
	return nil
}
