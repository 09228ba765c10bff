package guest

import (
	"context"
	"fmt"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
)

// carrier is the connection that a session's media goes over. Calls come one at a time.
type carrier interface {
	// start applies the session's offer and returns the complete answer.
	start(ctx context.Context) (answer string, err error)
	// candidate adds a candidate (the value of its attribute) of the guest and reports whether it is of use.
	candidate(c string) bool
	// restart begins the ICE generation of this version and returns the fragment that answers it.
	restart(ctx context.Context, ufrag, pwd string, candidates []string, version uint64) (fragment string, err error)
	close() error
}

// pionCarrier carries the media of a guest who sends over a PeerConnection.
type pionCarrier struct {
	session *session
	pc      *webrtc.PeerConnection
}

// newPionCarrier makes a connection that tells of the streams that come.
func (s *Service) newPionCarrier(sess *session, track func(*webrtc.TrackRemote, *webrtc.RTPReceiver)) (*pionCarrier, error) {
	pc, err := s.newPeerConnection(sess.offer, sess.selectPair)
	if err != nil {
		return nil, err
	}
	pc.OnConnectionStateChange(sess.stateChanged)
	pc.OnTrack(track)
	return &pionCarrier{session: sess, pc: pc}, nil
}

func (c *pionCarrier) start(ctx context.Context) (string, error) {
	o := c.session.offer
	fromPion, err := c.exchange(ctx, o.ufrag, o.pwd, o.candidates, 1)
	if err != nil {
		return "", err
	}
	return o.answerText(fromPion)
}

func (c *pionCarrier) candidate(candidate string) bool {
	if _, err := ice.UnmarshalCandidate(candidate); err != nil {
		return false
	}
	return c.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: candidate}) == nil
}

func (c *pionCarrier) restart(ctx context.Context, ufrag, pwd string, candidates []string, version uint64) (string, error) {
	var usable []string
	for _, candidate := range candidates {
		if _, err := ice.UnmarshalCandidate(candidate); err == nil {
			usable = append(usable, candidate)
		}
	}
	fromPion, err := c.exchange(ctx, ufrag, pwd, usable, version)
	if err != nil {
		return "", err
	}
	return c.session.offer.restartFragment(fromPion)
}

// exchange applies the offer with these ICE parameters and returns pion's complete answer.
func (c *pionCarrier) exchange(ctx context.Context, ufrag, pwd string, candidates []string, version uint64) (string, error) {
	tame, err := c.session.offer.tame(ufrag, pwd, candidates, version, c.session.part.sources())
	if err != nil {
		return "", fmt.Errorf("write offer: %w", err)
	}
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: tame}); err != nil {
		return "", fmt.Errorf("apply offer: %w", err)
	}
	gathered := webrtc.GatheringCompletePromise(c.pc)
	options := &webrtc.AnswerOptions{OfferAnswerOptions: webrtc.OfferAnswerOptions{ICETricklingSupported: true}}
	answer, err := c.pc.CreateAnswer(options)
	if err != nil {
		return "", fmt.Errorf("make answer: %w", err)
	}
	if err := c.pc.SetLocalDescription(answer); err != nil {
		return "", fmt.Errorf("apply answer: %w", err)
	}
	select {
	case <-gathered:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	return c.pc.LocalDescription().SDP, nil
}

func (c *pionCarrier) close() error { return c.pc.GracefulClose() }
