package treesim

import (
	"time"

	"github.com/castd/castd/tree"
	"github.com/castd/castd/tree/coord"
)

// What control traffic weighs, in octets. The sizes of messages follow their protobuf encoding (a test compares them with the
// real one); what comes on top is named here.
const (
	idSize      = 38     // of a libp2p peer id of an Ed25519 key
	addrsSize   = 3 * 16 // multiaddrs of a candidate, two of IPv4 and one of IPv6, with their tags
	envelope    = 300    // room, device, certificate, numbers and signature around a message
	certificate = 145    // of it; adverts have none
	streamCost  = 80     // IP, UDP and QUIC headers and tag of a packet, and the stream's own frames
)

func varint(x uint64) int {
	n := 1
	for x >= 0x80 {
		x >>= 7
		n++
	}
	return n
}

// number is the size of a varint field of a number below 16, which is not there at all while it is 0; newNumber that of one of a
// greater number, whose tag has two octets.
func number(x uint64) int {
	if x == 0 {
		return 0
	}
	return 1 + varint(x)
}

func newNumber(x uint64) int {
	if x == 0 {
		return 0
	}
	return 2 + varint(x)
}

// bytesField is the size of a field of octets.
func bytesField(n int) int { return 1 + varint(uint64(n)) + n }

func pathSize(path []tree.ID) int { return len(path) * bytesField(idSize) }

func newPathSize(path []tree.ID) int { return len(path) * (1 + bytesField(idSize)) }

func delaySize(d time.Duration) int { return newNumber(uint64(d.Microseconds())) }

func coordSize(c coord.Coord) int {
	if !c.Known() {
		return 0
	}
	return 3 + coord.Size
}

func candidatesSize(list []tree.Candidate) int {
	n := 0
	for i := range list {
		c := &list[i]
		size := bytesField(idSize) + addrsSize + number(uint64(c.Depth)) + number(uint64(c.Free)) + newNumber(uint64(c.Slots)) +
			delaySize(c.Delay) + coordSize(c.Coord) + newNumber(uint64(c.Age.Milliseconds()))
		if c.Branch != 0 {
			size += 2 + 4
		}
		n += bytesField(size)
	}
	return n
}

// size is what a message has on the wire as a TreeMessage, without what is around it.
func size(m tree.Message) int {
	n := 0
	switch m := m.(type) {
	case *tree.MsgProbe:
		n = number(m.Nonce) + number(uint64(m.Slots)) + coordSize(m.Coord) + newNumber(uint64(m.Below))
	case *tree.MsgProbeReply:
		n = number(m.Nonce) + number(uint64(m.Free)) + number(uint64(m.Reserve)) + pathSize(m.Path) + candidatesSize(m.Candidates) +
			delaySize(m.Delay) + coordSize(m.Coord)
		n += newNumber(uint64(m.Spare))
		if m.Crowded {
			n += 3
		}
	case *tree.MsgJoin:
		n = number(m.Nonce) + number(uint64(m.Kind)) + number(uint64(m.Slots)) + pathSize(m.Avoid) + addrsSize + coordSize(m.Coord) +
			newNumber(uint64(m.Below)) + newPathSize(m.Accused) + newNumber(uint64(m.Waits))
	case *tree.MsgAccept:
		n = number(m.Nonce) + number(uint64(m.Kind)) + pathSize(m.Path) + number(m.PathSeq) + candidatesSize(m.Candidates) + delaySize(m.Delay)
		if m.Copy != tree.CopyNone {
			n += 3
		}
	case *tree.MsgRefuse:
		n = number(m.Nonce) + bytesField(len(m.Reason)) + candidatesSize(m.Candidates)
	case *tree.MsgConfirm:
		n = number(m.Nonce)
	case *tree.MsgLeave:
		n = bytesField(len(m.Reason)) + candidatesSize(m.Candidates)
	case *tree.MsgPath:
		n = pathSize(m.Path) + number(m.PathSeq) + candidatesSize(m.Candidates) + delaySize(m.Delay)
	default:
		panic("treesim: internal error: unknown message")
	}
	return bytesField(n)
}

// liveSize is what an Accept tells of the streams: an announce in its envelope, and marks.
const liveSize = 700

// onWire is what a message costs altogether.
func onWire(m tree.Message) int {
	n := envelope + size(m)
	if _, ok := m.(*tree.MsgAccept); ok {
		n += liveSize
	}
	return n + streamCost*(1+n/1200)
}

// sort is a sort of control traffic.
type sort uint8

// Sorts of control traffic, as the table names them.
const (
	sortManifests sort = iota // from the parent
	sortSecond                // from the second parent, with everything
	sortExcerpts              // from the second parent, with sound
	sortPulses
	sortGossip // of the room's topic
	sortPassed // beacons, from the parent
	sortProbes
	sortPaths
	sortPlaces // joins, accepts, refusals, confirmations, goodbyes
	sortReports
	sorts
)

func (k sort) String() string {
	return [...]string{
		"manifests", "manifests again", "excerpts", "pulses", "gossip", "beacons passed on", "probes", "paths", "places", "reports",
	}[k]
}

func sortOf(m tree.Message) sort {
	switch m.(type) {
	case *tree.MsgProbe, *tree.MsgProbeReply:
		return sortProbes
	case *tree.MsgPath:
		return sortPaths
	}
	return sortPlaces
}

// traffic counts the octets of control that peers of one kind have got, by sort, and sent, and for how long they were there.
type traffic struct {
	in      [sorts]float64
	out     float64
	seconds float64
	steps   float64
}

func (t *traffic) received() (n float64) {
	for _, x := range t.in {
		n += x
	}
	return n
}

// plus returns the traffic of two kinds of peers.
func (t traffic) plus(o traffic) traffic {
	for k := range t.in {
		t.in[k] += o.in[k]
	}
	t.out, t.seconds, t.steps = t.out+o.out, t.seconds+o.seconds, t.steps+o.steps
	return t
}

func (s *Sim) kindOf(n int32) *traffic {
	if s.peers[n].slots == 0 {
		return &s.m.leaves
	}
	return &s.m.givers
}

// counted notes a Step of a peer's router.
func (s *Sim) counted(n int32) {
	s.m.steps++
	if s.now >= s.faultAt {
		s.kindOf(n).steps++
	}
}

func (s *Sim) sent(n int32, m tree.Message) {
	if s.now >= s.faultAt {
		s.kindOf(n).out += float64(onWire(m))
		s.m.messages++
	}
}

func (s *Sim) heard(n int32, m tree.Message) {
	if s.now >= s.faultAt {
		s.kindOf(n).in[sortOf(m)] += float64(onWire(m))
	}
}
