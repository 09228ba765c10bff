package gossip

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	msmux "github.com/multiformats/go-multistream"
)

// Whether a connection lives. A peer that is killed says no goodbye, and QUIC notices after 30 s of silence; until then
// messages would go into the void, and if the peer is started again at once, libp2p may prefer the dead connection to the
// new one since it has more streams. So the side that dialled keeps one stream open over which an octet goes and comes
// back every aliveEvery; either side closes the connection when that stops. And whenever a second connection to a peer
// comes up, or something times out, the connection in doubt is probed at once.
//
// The times are guesses: the tree notices a dead parent by its media in 200 ms, this is for what comes after.
const (
	aliveProtocol protocol.ID = "/castd/alive/1"

	aliveEvery   = 5 * time.Second
	aliveTimeout = 5 * time.Second             // for an octet to come back
	aliveSilence = 2*aliveEvery + aliveTimeout // at the side that was dialled
	probeTimeout = 2 * time.Second             // for a connection in doubt
	maxAlive     = 4                           // inbound streams of this protocol on one connection
)

// openAlive opens a stream on this very connection.
func openAlive(ctx context.Context, c network.Conn) (network.Stream, error) {
	s, err := c.NewStream(ctx)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	s.SetDeadline(deadline)
	if err = s.SetProtocol(aliveProtocol); err == nil {
		err = msmux.SelectProtoOrFail(aliveProtocol, s)
	}
	if err != nil {
		s.Reset()
		return nil, err
	}
	return s, nil
}

// echo sends an octet and waits for it to come back.
func echo(s network.Stream, timeout time.Duration) error {
	s.SetDeadline(time.Now().Add(timeout))
	b := []byte{0}
	if _, err := s.Write(b); err != nil {
		return err
	}
	_, err := io.ReadFull(s, b)
	return err
}

// probe reports an error when nothing comes back over the connection in time. A peer that does not know the protocol lives.
func probe(ctx context.Context, c network.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	s, err := openAlive(ctx, c)
	if err == nil {
		err = echo(s, probeTimeout)
		s.Reset()
	}
	if errors.As(err, new(msmux.ErrNotSupported[protocol.ID])) {
		return nil
	}
	return err
}

// closeIfDead probes a connection and closes it if it is dead.
func (p *Plane) closeIfDead(c network.Conn) {
	if c.IsClosed() {
		return
	}
	if err := probe(p.ctx, c); err != nil && p.ctx.Err() == nil && !c.IsClosed() {
		p.closeDead(c)
	}
}

func (p *Plane) closeDead(c network.Conn) {
	p.stats.deadConnections.Add(1)
	p.log.Debug("connection is dead", "peer", c.RemotePeer())
	c.Close()
}

// watchLoop keeps an eye on a connection that this side dialled, until ctx ends, which it does when the connection closes.
func (p *Plane) watchLoop(ctx context.Context, c network.Conn) {
	timer := time.NewTimer(aliveEvery)
	defer timer.Stop()
	var s network.Stream
	defer func() {
		if s != nil {
			s.Reset()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			timer.Reset(aliveEvery)
		}
		if s == nil {
			openCtx, cancel := context.WithTimeout(ctx, aliveTimeout)
			opened, err := openAlive(openCtx, c)
			cancel()
			if errors.As(err, new(msmux.ErrNotSupported[protocol.ID])) {
				return // not a peer of castd
			}
			if err != nil {
				if isTimeout(err) && ctx.Err() == nil {
					p.closeDead(c)
					return
				}
				continue // refused for now
			}
			s = opened
		}
		if err := echo(s, aliveTimeout); err != nil {
			s.Reset()
			s = nil
			if isTimeout(err) && ctx.Err() == nil {
				p.closeDead(c)
				return
			}
		}
	}
}

// handleAlive sends back what comes, and closes the connection when it stops coming.
func (p *Plane) handleAlive(s network.Stream) {
	c := s.Conn()
	n := 0
	for _, o := range c.GetStreams() {
		if o.Protocol() == aliveProtocol && o.Stat().Direction == network.DirInbound {
			n++
		}
	}
	if n > maxAlive {
		p.stats.busy.Add(1)
		s.Reset()
		return
	}
	b := make([]byte, 1)
	for round := 0; ; round++ {
		s.SetDeadline(time.Now().Add(aliveSilence))
		_, err := io.ReadFull(s, b)
		if err == nil {
			_, err = s.Write(b)
		}
		switch {
		case err == nil:
			continue
		case err == io.EOF:
			s.Close()
		case isTimeout(err) && round > 1 && p.ctx.Err() == nil: // a watch, not a probe
			s.Reset()
			p.closeDead(c)
		default:
			s.Reset()
		}
		return
	}
}
