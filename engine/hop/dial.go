package hop

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/secure"
	"github.com/castd/castd/engine/wire"
)

// What HopAnswer.Error says.
const (
	refusedGlare  = "glare"     // the answerer dials too and his peer id is lower: his offer is the one
	refusedStale  = "stale"     // a newer offer of the same peer has been answered already
	refusedOffer  = "bad_offer" // malformed
	refusedClosed = "closed"
)

// Dial returns the open hop to the peer, or opens one. It ends with ctx, at the latest ten seconds after the offer was made.
func (t *Transport) Dial(ctx context.Context, to peer.ID) (engine.Hop, error) {
	if to == t.self {
		return nil, errors.New("dial hop: that is this peer")
	}
	for {
		h, mine, err := t.dialing(ctx, to)
		if err != nil {
			return nil, fmt.Errorf("dial hop: %w", err)
		}
		select {
		case <-h.up:
			if !h.ending() {
				return h, nil
			}
			select {
			case <-h.down:
			case <-ctx.Done():
				return nil, fmt.Errorf("dial hop: %w", context.Cause(ctx))
			}
			if mine && !errors.Is(h.err(), ErrReplaced) {
				return nil, fmt.Errorf("dial hop: %w", h.err())
			}
		case <-h.down:
			// Whoever waits for a hop that another goroutine or the peer began tries for himself; a hop that was replaced has a
			// successor in the table.
			if mine && !errors.Is(h.err(), ErrReplaced) {
				return nil, fmt.Errorf("dial hop: %w", h.err())
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("dial hop: %w", context.Cause(ctx))
		}
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("dial hop: %w", context.Cause(ctx))
		}
	}
}

// dialing returns the peer's hop in whatever state, or begins one; mine says that.
func (t *Transport) dialing(ctx context.Context, to peer.ID) (h *Hop, mine bool, err error) {
	t.mu.Lock()
	h, closed := t.hops[to], t.closed
	t.mu.Unlock()
	if closed {
		return nil, false, engine.ErrClosed
	}
	if h != nil {
		return h, false, nil
	}
	fresh, err := t.newHop(ctx, to, true)
	if err != nil {
		return nil, false, err
	}
	t.mu.Lock()
	if h = t.hops[to]; h == nil {
		err = t.register(fresh, nil)
	}
	t.mu.Unlock()
	if err != nil || h != nil {
		fresh.discard()
		return h, false, err
	}
	go fresh.run()
	return fresh, true, nil
}

// offer gathers, has the offer carried to the peer and returns his terms. It runs on the hop's goroutine.
func (h *Hop) offer() (terms, error) {
	ufrag, pwd, candidates, err := gather(h.connecting, h.agent)
	if err != nil {
		return terms{}, err
	}
	h.t.mu.Lock()
	nonce, signaller := h.t.nextNonce(), h.t.signaller
	h.t.mu.Unlock()
	a, err := signaller.Offer(h.connecting, h.peer, &wire.HopOffer{
		Ufrag: ufrag, Password: pwd, Fingerprint: secure.FormatFingerprint(h.t.cert.Fingerprint), Candidates: candidates, Nonce: nonce,
	})
	if err != nil {
		return terms{}, fmt.Errorf("send offer: %w", err)
	}
	switch a.GetError() {
	case "":
	case refusedGlare, refusedStale:
		return terms{}, h.waitForReplacement()
	default:
		return terms{}, ErrRefused // what the peer says of it is not for logs of this one
	}
	theirs, err := parseTerms(a.GetUfrag(), a.GetPassword(), a.GetFingerprint(), a.GetCandidates(), h.t.loopback)
	if err != nil {
		return terms{}, fmt.Errorf("read answer: %w", err)
	}
	h.t.mu.Lock()
	h.answered, h.mark = true, a.GetNonce()
	h.t.mu.Unlock()
	return theirs, nil
}

// waitForReplacement holds the place of a hop whose offer lost, until the peer's own offer takes it.
func (h *Hop) waitForReplacement() error {
	timer := time.NewTimer(h.t.timings.glare)
	defer timer.Stop()
	select {
	case <-h.connecting.Done():
		return context.Cause(h.connecting)
	case <-timer.C:
		return fmt.Errorf("%w: no offer came in place of the one that gave way", ErrRefused)
	}
}

// Answer answers an offer that came from the peer over an authenticated way. What is wrong with an offer is said in the
// answer; the error is for what is wrong with this side.
func (t *Transport) Answer(ctx context.Context, from peer.ID, offer *wire.HopOffer) (*wire.HopAnswer, error) {
	theirs, err := parseTerms(offer.GetUfrag(), offer.GetPassword(), offer.GetFingerprint(), offer.GetCandidates(), t.loopback)
	if err != nil || from == t.self {
		t.log.Debug("hop offer refused", "peer", from, "error", err)
		return &wire.HopAnswer{Error: refusedOffer}, nil
	}
	h, err := t.newHop(context.WithoutCancel(ctx), from, false)
	if err != nil {
		return nil, fmt.Errorf("answer hop: %w", err)
	}
	ufrag, pwd, candidates, err := gather(ctx, h.agent)
	if err != nil {
		h.discard()
		return nil, fmt.Errorf("answer hop: %w", err)
	}
	t.mu.Lock()
	old := t.hops[from]
	if why := t.refuse(old, from, offer.GetNonce()); why != "" {
		t.mu.Unlock()
		h.discard()
		return &wire.HopAnswer{Error: why}, nil
	}
	h.mark = offer.GetNonce()
	err = t.register(h, old)
	nonce := t.nextNonce()
	t.mu.Unlock()
	if err != nil {
		h.discard()
		if errors.Is(err, engine.ErrClosed) {
			return &wire.HopAnswer{Error: refusedClosed}, nil
		}
		return nil, fmt.Errorf("answer hop: %w", err)
	}
	if old != nil {
		// No notice to the peer: it would reach his new hop. The agent's addresses must be out of the mux before the new one
		// hears of them.
		old.end(ErrReplaced)
		_ = old.agent.Close()
	}
	h.theirs = theirs
	go h.run()
	return &wire.HopAnswer{
		Ufrag: ufrag, Password: pwd, Fingerprint: secure.FormatFingerprint(t.cert.Fingerprint), Candidates: candidates, Nonce: nonce,
	}, nil
}

// refuse says why an offer cannot be answered, given the hop there is. The caller holds mu.
func (t *Transport) refuse(old *Hop, from peer.ID, nonce uint64) string {
	switch {
	case old == nil || old.ending():
		return ""
	case old.dialer && !old.answered:
		if t.self < from {
			return refusedGlare
		}
		return ""
	case stale(nonce, old.mark):
		// He made this offer before he took part in the hop there is: it was held up on its way.
		return refusedStale
	}
	return ""
}
