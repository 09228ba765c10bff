package gossip

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/castd/castd/engine"
)

// maxLearned bounds the addresses that are taken of one peer at once: they come from other peers, who could else make this
// one dial whom they like.
const maxLearned = 16

// Self implements engine.ControlPlane. Addresses that reach furthest come first, loopback last, and QUIC before TCP.
func (p *Plane) Self() peer.AddrInfo {
	addrs := slices.Clone(p.host.Addrs())
	// The host takes a moment to note that it listens; the network below knows at once.
	if local, err := p.host.Network().InterfaceListenAddresses(); err == nil {
		addrs = append(addrs, local...)
	}
	return peer.AddrInfo{ID: p.id, Addrs: sortAddrs(addrs)}
}

// sortAddrs returns the addresses without duplicates: public, local network, link-local, loopback; QUIC before TCP in each.
func sortAddrs(addrs []ma.Multiaddr) []ma.Multiaddr {
	rank := func(a ma.Multiaddr) int {
		r := 0
		switch {
		case manet.IsIPLoopback(a):
			r = 6
		case manet.IsIP6LinkLocal(a):
			r = 4
		case !manet.IsPublicAddr(a):
			r = 2
		}
		if _, err := a.ValueForProtocol(ma.P_TCP); err == nil {
			r++
		}
		return r
	}
	slices.SortFunc(addrs, func(a, b ma.Multiaddr) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a.String(), b.String())
	})
	return slices.CompactFunc(addrs, func(a, b ma.Multiaddr) bool { return a.Equal(b) })
}

// Learn implements engine.ControlPlane. Addresses are kept for an hour, at most 16 at once.
func (p *Plane) Learn(info peer.AddrInfo) {
	if info.ID == p.id || p.ctx.Err() != nil {
		return
	}
	p.host.Peerstore().AddAddrs(info.ID, info.Addrs[:min(len(info.Addrs), maxLearned)], peerstore.AddressTTL)
}

// Connect implements engine.ControlPlane. Unlike Send it dials even where it just failed to. The error is a *ReachError.
func (p *Plane) Connect(ctx context.Context, info peer.AddrInfo) error {
	if p.ctx.Err() != nil {
		return engine.ErrClosed
	}
	p.Learn(info)
	if p.host.Network().Connectedness(info.ID) == network.Connected {
		return nil
	}
	if s, ok := p.host.Network().(*swarm.Swarm); ok {
		s.Backoff().Clear(info.ID)
	}
	if err := p.host.Connect(ctx, peer.AddrInfo{ID: info.ID}); err != nil {
		return &ReachError{Peer: info.ID, Addrs: p.host.Peerstore().Addrs(info.ID), Err: err}
	}
	return nil
}

// Connected implements engine.ControlPlane.
func (p *Plane) Connected() []peer.ID { return p.host.Network().Peers() }

// ReachError says that there is no way to a peer. It is a *engine.UserError to errors.As.
type ReachError struct {
	Peer  peer.ID
	Addrs []ma.Multiaddr
	Err   error
}

// Error returns a sentence for people.
func (e *ReachError) Error() string {
	if len(e.Addrs) == 0 {
		return fmt.Sprintf("cannot reach %s: no address is known; give one that ends in /p2p/%s", e.Peer, e.Peer)
	}
	addrs := sortAddrs(slices.Clone(e.Addrs))
	text := make([]string, 0, 4)
	for _, a := range addrs[:min(len(addrs), cap(text))] {
		text = append(text, a.String())
	}
	if more := len(addrs) - len(text); more > 0 {
		text = append(text, fmt.Sprintf("%d more", more))
	}
	return fmt.Sprintf("cannot reach %s at %s: %s", e.Peer, strings.Join(text, ", "), reason(e.Err))
}

// Unwrap returns the cause.
func (e *ReachError) Unwrap() error { return e.Err }

// As makes the error one for people.
func (e *ReachError) As(target any) bool {
	u, ok := target.(**engine.UserError)
	if ok {
		*u = engine.NewUserError(engine.CodeTimeout, e.Error())
	}
	return ok
}

// reason says in a few words why dialling failed. Of several addresses the one that got furthest tells most.
func reason(err error) string {
	all := err.Error()
	switch {
	case errors.As(err, new(sec.ErrPeerIDMismatch)), strings.Contains(all, "peer id mismatch"):
		return "another peer answers there; the address is old"
	case errors.Is(err, context.Canceled):
		return "given up"
	case strings.Contains(all, "resource limit exceeded"), strings.Contains(all, "CONNECTION_REFUSED"):
		return "it takes no more connections"
	case strings.Contains(all, "connection refused"):
		return "nobody listens there"
	case strings.Contains(all, "network is unreachable"), strings.Contains(all, "no route to host"):
		return "this machine has no route to it"
	case isTimeout(err), strings.Contains(all, "timeout"), strings.Contains(all, "deadline exceeded"):
		return "no answer"
	default:
		return "the connection failed"
	}
}

// dialReason is the reason of an error of Connect, without addresses, for the log.
func dialReason(err error) string {
	var reach *ReachError
	if errors.As(err, &reach) {
		return reason(reach.Err)
	}
	return reason(err)
}
