package hop

import (
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"github.com/castd/castd/engine/secure"
	"github.com/castd/castd/engine/wire"
)

const (
	receiveSize = 2048 // octets; longer datagrams are cut and do not authenticate
	// maxEarly bounds the packets that are kept while the last flight of the handshake is under way; more are dropped.
	maxEarly = 256
	// parityLease is how long after a parity packet video packets are kept for the next one.
	parityLease = 5 * time.Second
)

// receiver takes what comes in. Before the hop is up it belongs to the hop's goroutine.
type receiver struct {
	mu           sync.Mutex // held while a datagram is taken
	over         bool       // nothing is taken any more
	feed         *secure.Feed
	srtp         *srtp.Context // nil before the keys are there
	early        [][]byte
	audio, video uint32 // SSRCs of the peer
	header       rtp.Header
	buf          []byte
	meter        lossMeter
	recent       *recent // video packets, while parity comes
	lease        time.Time
}

func (r *receiver) init(c *srtp.Context, peerIsClient bool) {
	r.srtp = c
	r.audio, r.video = ssrcs(peerIsClient)
	r.buf = make([]byte, receiveSize)
}

// demux takes one datagram. A packet that makes something panic costs only itself.
func (h *Hop) demux(b []byte) {
	defer func() {
		if r := recover(); r != nil {
			h.counters.invalid.Add(1)
			h.t.log.Error("panic on a hop packet", "peer", h.peer, "panic", r)
		}
	}()
	h.receive.mu.Lock()
	defer h.receive.mu.Unlock()
	switch {
	case h.receive.over:
	case len(b) < 2:
		h.counters.invalid.Add(1)
	case b[0] >= 20 && b[0] <= 63: // RFC 7983
		h.receive.feed.Put(b)
	case b[0] < 128 || b[0] > 191:
		h.counters.invalid.Add(1)
	case h.receive.srtp == nil:
		if len(h.receive.early) == maxEarly {
			h.counters.earlyDropped.Add(1)
			return
		}
		h.receive.early = append(h.receive.early, append([]byte(nil), b...))
	case b[1] >= 192 && b[1] <= 223: // RFC 5761
		h.inControl(b)
	default:
		h.inPacket(b)
	}
}

// inPacket takes an SRTP packet.
func (h *Hop) inPacket(b []byte) {
	r := &h.receive
	out, err := r.srtp.DecryptRTP(r.buf[:0], b, &r.header)
	if err != nil || r.header.Extension || r.header.Padding || len(r.header.CSRC) > 0 || len(out) < rtpHeader ||
		(r.header.SSRC != r.audio && r.header.SSRC != r.video) {
		h.counters.invalid.Add(1)
		return
	}
	now := time.Now()
	h.heard(now, len(b))
	h.counters.packetsReceived.Add(1)
	t := trackAudio
	if r.header.SSRC == r.video {
		t = trackVideo
	}
	h.counters.lossPermille.Store(r.meter.packet(now, t, r.header.SequenceNumber))
	payload := out[rtpHeader:]
	if r.header.PayloadType == typeParity {
		h.inParity(now, payload)
		return
	}
	if _, ok := originKind(payload); !ok {
		h.counters.invalid.Add(1)
		return
	}
	if t == trackVideo && r.recent != nil {
		if now.After(r.lease) {
			r.recent = nil
		} else {
			r.recent.put(r.header.SequenceNumber, payload)
		}
	}
	h.t.handler.HopPacket(h, payload)
}

// inParity restores a packet of a group, if just one is missing.
func (h *Hop) inParity(now time.Time, b []byte) {
	r := &h.receive
	p, err := parseParity(b)
	if err != nil || r.header.SSRC != r.video {
		h.counters.invalid.Add(1)
		return
	}
	r.lease = now.Add(parityLease)
	if r.recent == nil {
		r.recent = newRecent()
		return
	}
	pkt := r.recent.restore(p)
	if pkt == nil {
		return
	}
	if kind, ok := originKind(pkt); !ok || kind != wire.KindVideo {
		h.counters.invalid.Add(1)
		return
	}
	h.counters.recovered.Add(1)
	h.t.handler.HopPacket(h, pkt)
}

// inControl takes an SRTCP packet.
func (h *Hop) inControl(b []byte) {
	r := &h.receive
	out, err := r.srtp.DecryptRTCP(nil, b, nil)
	if err != nil {
		h.counters.invalid.Add(1)
		return
	}
	c, err := parseControl(out)
	if err != nil {
		h.counters.invalid.Add(1)
		return
	}
	h.heard(time.Now(), len(b))
	h.t.handler.HopControl(h, c)
}

// heard counts a packet that authenticated.
func (h *Hop) heard(now time.Time, n int) {
	if h.receive.feed.Phase() != secure.PhaseProtected {
		h.receive.feed.Advance(secure.PhaseProtected) // he has keys, so he has heard this side's last flight
	}
	h.counters.bytesReceived.Add(uint64(n))
	h.counters.lastReceived.Store(now.UnixNano())
}
