package guest

import (
	"context"

	"github.com/castd/castd/engine"
)

// Patch implements engine.GuestSession: it adds candidates, or restarts ICE where the fragment has new credentials.
func (s *session) Patch(ctx context.Context, text string) (string, error) {
	f, err := parseFragment(text)
	if err != nil {
		return "", err
	}
	s.negotiation.Lock()
	defer s.negotiation.Unlock()
	if s.ended() {
		return "", engine.ErrClosed
	}
	s.mu.Lock()
	same := f.ufrag == "" || f.ufrag == s.ufrag && (f.pwd == "" || f.pwd == s.pwd)
	s.mu.Unlock()
	switch {
	case same:
		s.trickle(f)
		return "", nil
	case f.pwd == "":
		return "", badOffer("The fragment has a new a=ice-ufrag without a=ice-pwd; send both to restart ICE.")
	}
	return s.restart(ctx, f)
}

// trickle adds candidates to this ICE generation.
func (s *session) trickle(f *fragment) {
	s.mu.Lock()
	taken := s.taken.take(f.candidates)
	s.mu.Unlock()
	for _, c := range taken {
		if !s.carrier.candidate(c) {
			s.log.Debug("candidate skipped")
		}
	}
}

// restart begins a new ICE generation (RFC 9725 section 4.3.3). DTLS and media go on.
func (s *session) restart(ctx context.Context, f *fragment) (string, error) {
	s.mu.Lock()
	s.generation++
	s.taken, s.ufrag, s.pwd = budget{}, f.ufrag, f.pwd
	candidates, version := s.taken.take(f.candidates), s.generation
	s.mu.Unlock()
	s.selected.Store(false)
	fragment, err := s.carrier.restart(ctx, f.ufrag, f.pwd, candidates, version)
	if err != nil {
		// The connection is between two generations and of no use any more.
		s.end(engine.NewUserError(engine.CodeBadOffer, "ICE could not be restarted; connect again."))
		return "", userError(err, engine.CodeBadOffer, "ICE could not be restarted; connect again.")
	}
	return fragment, nil
}
