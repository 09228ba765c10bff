package gossip

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// Protocols of direct streams: one message, or one request and its response, a stream.
const (
	messageProtocol protocol.ID = "/castd/msg/1"
	requestProtocol protocol.ID = "/castd/req/1"
)

// Deadlines, each of one phase of a direct stream.
const (
	sendTimeout    = 5 * time.Second  // dial, open and write, where the caller's context gives no less
	readTimeout    = 5 * time.Second  // for a frame to arrive once its stream is open
	handleTimeout  = 10 * time.Second // for HandleRequest
	requestTimeout = 15 * time.Second // from request to response, where the caller's context gives no less
)

// directTag is what the connection manager values a peer at that this one talks to directly.
const directTag, directValue = "castd-direct", 20

// Send implements engine.ControlPlane. It dials the peer if there is no connection.
func (p *Plane) Send(ctx context.Context, to peer.ID, msg []byte) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	s, err := p.open(ctx, to, messageProtocol, msg)
	if err != nil {
		return fmt.Errorf("send to %s: %w", to, err)
	}
	p.stats.messagesSent.Add(1)
	// To close a stream takes a round trip: the other side must be done with choosing the protocol.
	started := p.spawn(func() {
		if err := s.Close(); err != nil {
			p.suspect(s.Conn(), err)
			s.Reset()
		}
	})
	if !started {
		s.Reset()
		return fmt.Errorf("send to %s: %w", to, engine.ErrClosed)
	}
	return nil
}

// Request implements engine.ControlPlane. It dials the peer if there is no connection. The error is a *engine.UserError when
// the peer refused with one.
func (p *Plane) Request(ctx context.Context, to peer.ID, msg []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	openCtx, cancelOpen := context.WithTimeout(ctx, sendTimeout)
	defer cancelOpen()
	s, err := p.open(openCtx, to, requestProtocol, msg)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", to, err)
	}
	p.stats.requestsSent.Add(1)
	stop := context.AfterFunc(ctx, func() { s.Reset() })
	defer stop()
	deadline, _ := ctx.Deadline()
	s.SetReadDeadline(deadline)
	b, err := readFrame(s, maxFrame)
	if err != nil {
		s.Reset()
		if ctx.Err() != nil {
			err = ctx.Err() // rather than that the stream was reset
		} else if isTimeout(err) {
			err = context.DeadlineExceeded // the stream's deadline came a moment before the context's
		}
		p.suspect(s.Conn(), err)
		return nil, fmt.Errorf("ask %s: %w", to, err)
	}
	s.Close()
	answer, err := parseResponse(b)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", to, err)
	}
	return answer, nil
}

// open opens a stream to the peer, writes msg and closes that direction.
func (p *Plane) open(ctx context.Context, to peer.ID, id protocol.ID, msg []byte) (network.Stream, error) {
	if p.ctx.Err() != nil {
		return nil, engine.ErrClosed
	}
	if len(msg) > wire.MaxEnvelope {
		return nil, ErrTooLarge
	}
	s, err := p.host.NewStream(ctx, to, id)
	if err != nil {
		return nil, err
	}
	p.host.ConnManager().TagPeer(to, directTag, directValue)
	deadline, _ := ctx.Deadline()
	s.SetWriteDeadline(deadline)
	if _, err = s.Write(appendFrame(msg)); err == nil {
		err = s.CloseWrite()
	}
	if err != nil {
		s.Reset()
		p.suspect(s.Conn(), err)
		return nil, err
	}
	return s, nil
}

// handleMessage takes an inbound direct message.
func (p *Plane) handleMessage(s network.Stream) {
	from := s.Conn().RemotePeer()
	if !p.admit(s, classMessage) {
		return
	}
	defer p.limits.done(from, classMessage)
	msg, ok := p.receive(s)
	if !ok {
		return
	}
	s.Close()
	p.stats.messagesReceived.Add(1)
	p.handler.HandleMessage(from, msg)
}

// handleRequest takes an inbound request and answers it.
func (p *Plane) handleRequest(s network.Stream) {
	from := s.Conn().RemotePeer()
	if !p.admit(s, classRequest) {
		return
	}
	defer p.limits.done(from, classRequest)
	msg, ok := p.receive(s)
	if !ok {
		return
	}
	p.stats.requestsReceived.Add(1)
	ctx, cancel := context.WithTimeout(p.ctx, handleTimeout)
	defer cancel()
	answer, err := p.handler.HandleRequest(ctx, from, msg)
	if err == nil && len(answer) > wire.MaxEnvelope {
		err = ErrTooLarge
	}
	if err != nil {
		p.log.Debug("request failed", "peer", from, "err", err)
	}
	s.SetWriteDeadline(time.Now().Add(sendTimeout))
	if _, err := s.Write(responseFrame(answer, err)); err != nil {
		s.Reset()
		return
	}
	s.Close()
}

// admit reports whether a new stream may be worked on; if not it is reset and counted.
func (p *Plane) admit(s network.Stream, c class) bool {
	switch p.limits.admit(time.Now(), s.Conn().RemotePeer(), c) {
	case overRate:
		p.stats.rateLimited.Add(1)
		s.ResetWithError(network.StreamRateLimited)
		return false
	case tooBusy:
		p.stats.busy.Add(1)
		s.ResetWithError(network.StreamRateLimited)
		return false
	}
	return true
}

// receive waits for the handler to be there and reads the one frame of a stream; if that fails the stream is reset.
func (p *Plane) receive(s network.Stream) ([]byte, bool) {
	s.SetReadDeadline(time.Now().Add(readTimeout))
	msg, err := readFrame(s, wire.MaxEnvelope)
	if err != nil {
		p.stats.malformed.Add(1)
		s.Reset()
		return nil, false
	}
	if !p.awaitStart(readTimeout) {
		s.Reset()
		return nil, false
	}
	return msg, true
}

// suspect looks whether a connection still lives after something on it took too long.
func (p *Plane) suspect(c network.Conn, err error) {
	if isTimeout(err) {
		p.spawn(func() { p.closeIfDead(c) })
	}
}
