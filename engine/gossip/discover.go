package gossip

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
)

// Discovery: saved peers and the local network at once, the bootstrap list a moment later, so that it bears less load when
// the others do. All go on by themselves; what the engine learns elsewhere (invites, answers, adverts) it connects to itself.
const (
	serviceName = "_castd._udp" // mDNS

	bootstrapDelay = 200 * time.Millisecond
	firstRetry     = time.Second
	lastRetry      = time.Minute
	recheck        = 15 * time.Second // of a bootstrap peer that is connected

	maxDials     = 8  // of discovery, at once
	maxFound     = 32 // peers found on the local network that wait to be dialled
	enoughPeers  = 64 // connections beyond which peers of the local network are only noted
	mdnsDialTime = 5 * time.Second
)

// discover starts all of it in the background.
func (p *Plane) discover() {
	dials := make(chan struct{}, maxDials)
	for _, info := range p.cfg.Saved[:min(len(p.cfg.Saved), MaxSaved)] {
		p.spawn(func() { p.keepLoop(info, dials, 0, false) })
	}
	for _, info := range p.cfg.Bootstrap {
		p.spawn(func() { p.keepLoop(info, dials, bootstrapDelay, true) })
	}
	if p.cfg.MDNS {
		p.spawn(func() { p.mdnsLoop() })
	}
}

// keepLoop connects to a peer, trying again with growing pauses; with forever it also sees to it that this stays so.
func (p *Plane) keepLoop(info peer.AddrInfo, dials chan struct{}, wait time.Duration, forever bool) {
	if info.ID == p.id {
		return
	}
	retry := firstRetry
	for p.pause(wait) {
		if p.host.Network().Connectedness(info.ID) != network.Connected {
			select {
			case dials <- struct{}{}:
			case <-p.ctx.Done():
				return
			}
			ctx, cancel := context.WithTimeout(p.ctx, dialTimeout)
			err := p.Connect(ctx, info)
			cancel()
			<-dials
			if err != nil {
				if retry == firstRetry { // once, not at each try
					p.log.Info("peer is not in reach, trying again", "peer", info.ID, "reason", dialReason(err))
				}
				wait, retry = retry, min(2*retry, lastRetry)
				continue
			}
		}
		if !forever {
			return
		}
		wait, retry = recheck, firstRetry
	}
}

// pause waits. It reports false when Close was called.
func (p *Plane) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.ctx.Done():
		return false
	}
}

// mdnsLoop announces this peer on the local network and dials those that it finds there.
func (p *Plane) mdnsLoop() {
	found := &finder{plane: p, waiting: make(chan peer.AddrInfo, maxFound)}
	service := mdns.NewMdnsService(p.host, serviceName, found)
	if err := service.Start(); err != nil {
		p.log.Warn("cannot look for peers on the local network", "err", err)
		service.Close()
		return
	}
	defer service.Close()
	for {
		select {
		case <-p.ctx.Done():
			return
		case info := <-found.waiting:
			ctx, cancel := context.WithTimeout(p.ctx, mdnsDialTime)
			if err := p.Connect(ctx, info); err != nil {
				p.log.Debug("peer of the local network is not in reach", "peer", info.ID, "reason", dialReason(err))
			}
			cancel()
		}
	}
}

// finder takes what mDNS finds. Answers are not authenticated: they are hints, the handshake tells who is there.
type finder struct {
	plane   *Plane
	waiting chan peer.AddrInfo
}

// HandlePeerFound implements mdns.Notifee.
func (f *finder) HandlePeerFound(info peer.AddrInfo) {
	p := f.plane
	p.Learn(info)
	n := p.host.Network()
	if info.ID == p.id || n.Connectedness(info.ID) == network.Connected {
		return
	}
	if len(n.Peers()) < enoughPeers {
		select {
		case f.waiting <- info:
			return
		default:
		}
	}
	p.stats.discoveryDropped.Add(1)
}
