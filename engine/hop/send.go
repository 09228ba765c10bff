package hop

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/srtp/v3"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/secure"
	"github.com/castd/castd/engine/udp"
	"github.com/castd/castd/engine/wire"
)

// RTP payload types.
const (
	typeVideo  = 96
	typeRecord = 98
	typeAudio  = 111
	typeParity = 127
)

const (
	rtpHeader = 12 // octets; hop packets have neither extensions nor contributing sources
	srtpTag   = secure.SealedExtra
	srtcpSize = 16 + 4 // tag and index (RFC 7714 section 9)

	// lossy is the loss, in thousandths, beyond which a hop adds redundancy.
	lossy = 10
	// repeatAfter is how much later audio and records go a second time: beyond a short burst of losses. Records go a third time
	// after as long again: they are small and few, everything they vouch for waits for them, and one that is lost at the second
	// hop of five is missed by everybody behind it until the next one comes.
	repeatAfter = 6 * time.Millisecond
	// repeatQueue bounds the packets that wait for it: ten times what a conference of three talkers makes. What finds the queue
	// full is not repeated.
	repeatQueue = 64
	// batchSize is how many octets are collected before they are sent: a large picture, or 40 packets of a backlog.
	batchSize = 64 << 10
	// parityAfter is how long a group of video packets may wait for its parity.
	parityAfter = 8 * time.Millisecond
)

// SSRCs. They differ between the sides, as those of one RTP session must; keys differ between sides and hops anyway.
const (
	clientAudio, clientVideo uint32 = 0x0101, 0x0102
	serverAudio, serverVideo uint32 = 0x0201, 0x0202
)

func ssrcs(client bool) (audio, video uint32) {
	if client {
		return clientAudio, clientVideo
	}
	return serverAudio, serverVideo
}

// sender is a hop's way out. What each packet needs stands together: with a hundred hops, a packet meets each of them cold.
type sender struct {
	loss atomic.Uint32 // thousandths, as the peer reports

	mu     sync.Mutex
	hop    *Hop // nil before the keys are there and after the end
	sealer *secure.Sealer
	socket *udp.Socket // where packets go; nil: over the ICE connection
	remote netip.AddrPort
	batch  *udp.Batch // during a call that sends; nil: packets go one at a time over the ICE connection
	tracks [2]track

	srtcp   *srtp.Context
	buf     []byte // one SRTP packet, encrypted in place
	control []byte

	// Redundancy. The buffers exist from the first lossy moment on.
	timer   *time.Timer // fires flush
	repeats []repeat    // ring
	first   int
	waiting int
	group   group
	groupAt time.Time // when its first packet was sent
	parity  []byte
}

// track is one SSRC. A packet's sequence number is the low 16 bits of its number, the rest is the rollover counter.
type track struct {
	ssrc uint32
	next uint64
}

const (
	trackAudio = 0
	trackVideo = 1
)

// repeat is an origin packet that is going to be sent again, and after that some more times.
type repeat struct {
	due  time.Time
	more int
	pkt  []byte
}

func (s *sender) init(h *Hop, k *secure.Keys) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hop, s.sealer, s.srtcp = h, k.Sealer, k.Out
	s.buf = make([]byte, 0, rtpHeader+paritySize+wire.MaxPacket+srtpTag)
	s.tracks[trackAudio].ssrc, s.tracks[trackVideo].ssrc = ssrcs(h.dialer)
}

// stop ends sending for good.
func (s *sender) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hop = nil
	if s.timer != nil {
		s.timer.Stop()
	}
}

// WritePackets sends origin packets in order, without keeping them, and returns how many were handed to the network. What the
// socket refuses is lost as on the way, and what is no origin packet is left out; both are counted. The error is engine.ErrClosed
// once the hop has ended.
func (h *Hop) WritePackets(pkts [][]byte) (int, error) {
	s := &h.send
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hop == nil {
		return 0, engine.ErrClosed
	}
	s.follow()
	sent := s.packets(pkts)
	return max(0, sent-s.flushBatch()), nil
}

// packets sends origin packets and returns how many.
func (s *sender) packets(pkts [][]byte) (sent int) {
	redundant := s.loss.Load() > lossy
	for _, p := range pkts {
		kind, ok := originKind(p)
		if !ok {
			s.hop.counters.unsent.Add(1)
			continue
		}
		sequence, ok := s.packet(kind, p)
		if ok {
			sent++
		}
		if redundant {
			s.protect(kind, sequence, p)
		}
	}
	if redundant {
		s.arm()
	}
	return sent
}

// originKind looks at what a hop needs to know of an origin packet.
func originKind(p []byte) (wire.Kind, bool) {
	if len(p) < wire.HeaderSize || len(p) > wire.MaxPacket || p[0]>>6 != 1 {
		return 0, false
	}
	return wire.Kind(p[0] >> 4 & 3), true
}

// packet sends an origin packet as a new hop packet.
func (s *sender) packet(kind wire.Kind, p []byte) (sequence uint16, ok bool) {
	t, typ := trackAudio, byte(typeAudio)
	switch kind {
	case wire.KindVideo:
		t, typ = trackVideo, typeVideo
	case wire.KindRecord, wire.KindExcerpt:
		typ = typeRecord
	case wire.KindAudio:
	}
	marker := p[0]&8 != 0
	return s.rtp(t, typ, marker, binary.BigEndian.Uint32(p[18:]), p)
}

// rtp encrypts and sends one hop packet. Every call takes a new number: none is ever used twice under one key.
func (s *sender) rtp(t int, typ byte, marker bool, timestamp uint32, payload []byte) (sequence uint16, ok bool) {
	tr := &s.tracks[t]
	number := tr.next
	sequence = uint16(number)
	tr.next++
	space := s.buf
	if s.batch != nil {
		space = s.batch.Space(rtpHeader + len(payload) + srtpTag)
	}
	b := space[:rtpHeader]
	b[0], b[1] = 2<<6, typ
	if marker {
		b[1] |= 0x80
	}
	binary.BigEndian.PutUint16(b[2:], sequence)
	binary.BigEndian.PutUint32(b[4:], timestamp)
	binary.BigEndian.PutUint32(b[8:], tr.ssrc)
	b = append(b, payload...)
	out := s.sealer.Seal(b, rtpHeader, number)
	if watch := s.hop.t.sent; watch != nil {
		watch(s.hop, tr.ssrc, uint32(number>>16), sequence)
	}
	switch {
	case s.batch != nil:
		s.batch.Add(s.remote, len(out))
		s.hop.counters.bytesSent.Add(uint64(len(out)))
	case !s.write(out):
		return sequence, false
	}
	s.hop.counters.packetsSent.Add(1)
	return sequence, true
}

// route has what is sent from now on take the path.
func (s *sender) route(p *path) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p == nil {
		s.socket = nil
		return
	}
	s.socket, s.remote = p.socket, p.remote
}

// follow has what is sent next collected, for the path that ICE has selected now. flushBatch ends that.
func (s *sender) follow() {
	if s.socket == nil {
		return
	}
	b, _ := s.hop.t.batches.Get().(*udp.Batch)
	if b == nil || b.Socket() != s.socket {
		b = s.socket.NewBatch(batchSize)
	}
	s.batch = b
}

// flushBatch sends what has been collected and returns how many datagrams the system refused.
func (s *sender) flushBatch() (failed int) {
	if s.batch == nil {
		return 0
	}
	r := s.batch.Flush()
	c := &s.hop.counters
	if r.Failed > 0 {
		c.unsent.Add(uint64(r.Failed))
		c.packetsSent.Add(-uint64(r.Failed))
		c.bytesSent.Add(-uint64(r.Refused))
	}
	s.hop.t.batches.Put(s.batch)
	s.batch = nil
	return r.Failed
}

// write hands a datagram to the network.
func (s *sender) write(b []byte) bool {
	n, err := (*wayOut)(s.hop).Write(b)
	if err != nil {
		s.hop.counters.unsent.Add(1)
		return false
	}
	s.hop.counters.bytesSent.Add(uint64(n))
	return true
}

// protect adds a packet that has just been sent to what redundancy is made of.
func (s *sender) protect(kind wire.Kind, sequence uint16, p []byte) {
	switch kind {
	case wire.KindAudio:
		s.repeat(p, 0)
		return
	case wire.KindRecord, wire.KindExcerpt:
		s.repeat(p, 1)
		return
	case wire.KindVideo:
	}
	if len(p) > maxProtected {
		s.sendParity() // numbers of a group are consecutive
		return
	}
	if s.group.count == 0 {
		s.groupAt = time.Now()
	}
	s.group.add(sequence, p)
	if s.group.count == maxGroup {
		s.sendParity()
	}
}

// repeat queues a packet to be sent again, and more times after that. p may be the packet whose place has just become free.
func (s *sender) repeat(p []byte, more int) {
	if s.repeats == nil {
		s.repeats = make([]repeat, repeatQueue)
	}
	if s.waiting == len(s.repeats) {
		s.hop.counters.undoubled.Add(1)
		return
	}
	r := &s.repeats[(s.first+s.waiting)%len(s.repeats)]
	r.due, r.more, r.pkt = time.Now().Add(repeatAfter), more, append(r.pkt[:0], p...)
	s.waiting++
}

// sendParity ends the group of video packets.
func (s *sender) sendParity() {
	if s.group.count == 0 {
		return
	}
	if s.group.count > 1 || s.loss.Load() > lossy {
		s.parity = s.group.append(s.parity[:0])
		s.rtp(trackVideo, typeParity, false, s.group.timestamp, s.parity)
	}
	s.group.reset()
}

// arm sets the timer to the next thing that is due.
func (s *sender) arm() {
	var next time.Time
	if s.waiting > 0 {
		next = s.repeats[s.first].due
	}
	if s.group.count > 0 {
		if at := s.groupAt.Add(parityAfter); next.IsZero() || at.Before(next) {
			next = at
		}
	}
	if next.IsZero() {
		return
	}
	if d := time.Until(next); s.timer == nil {
		s.timer = time.AfterFunc(d, s.flush)
	} else {
		s.timer.Reset(d)
	}
}

// flush sends what is due.
func (s *sender) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hop == nil {
		return
	}
	s.follow()
	defer s.flushBatch()
	now := time.Now()
	for s.waiting > 0 && !s.repeats[s.first].due.After(now) {
		r := s.repeats[s.first]
		if kind, ok := originKind(r.pkt); ok {
			s.packet(kind, r.pkt)
		}
		s.first = (s.first + 1) % len(s.repeats)
		s.waiting--
		if r.more > 0 {
			s.repeat(r.pkt, r.more-1)
		}
	}
	if s.group.count > 0 && now.Sub(s.groupAt) >= parityAfter {
		s.sendParity()
	}
	s.arm()
}

// WriteControl sends a control message, in several packets if it is too long for one.
func (h *Hop) WriteControl(c *wire.HopControl) error {
	s := &h.send
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hop == nil {
		return engine.ErrClosed
	}
	return s.writeControl(c)
}

func (s *sender) writeControl(c *wire.HopControl) error {
	parts, err := splitControl(c)
	if err != nil {
		return err
	}
	for _, p := range parts {
		s.control = appendControl(s.control[:0], s.tracks[trackAudio].ssrc, p)
		space := s.buf
		if s.batch != nil {
			space = s.batch.Space(len(s.control) + srtcpSize)
		}
		out, err := s.srtcp.EncryptRTCP(space[:0], s.control, nil)
		switch {
		case err != nil:
			s.hop.counters.unsent.Add(1)
		case s.batch != nil:
			s.batch.Add(s.remote, len(out))
			s.hop.counters.bytesSent.Add(uint64(len(out)))
		default:
			s.write(out)
		}
	}
	return nil
}
