package treesim

import "github.com/castd/castd/tree"

// What goes on all the time, by the second, in octets on the wire. A test compares each size with what engine's packages make of the
// same content; how often each is sent is said at its place in the engine.
const (
	// datagram is an IPv4 and a UDP header. A record packet has on a hop an RTP header and a tag around it; a control message an RTCP
	// header with its name, padding, tag and index (engine/hop/control.go).
	datagram      = 28
	recordPacket  = datagram + 12 + 16
	controlPacket = datagram + 12 + 2 + 20

	// A parent's pulse tells of three streams, twice a second, as packets of media fill the time between; without media for the child, of
	// none, and once a second. A child's pulse that repeats itself is sent once a second (engine/hops.go).
	feedingPulse = 83
	sparePulse   = 36
	childPulse   = 35
	feedingPace  = 2
	idlePace     = 1

	// Manifests of a slot with 50 packets of sound and 30 pictures of 6 packets a second: packets a second, and octets of them, the
	// announce and the clocks that are repeated among them (engine/publish.go). A second parent that sends sound sends an
	// excerpt of each, one that sends everything all of them (engine/excerpt.go).
	manifests      = 10
	manifestOctets = 2200
	excerptOctets  = 1650

	nackRate = 12 // octets a second: one packet in 500 is asked for again, several in a message

	// Gossip: peers that give slots subscribe to the room's topic, and others as newcomers and while they have no backup. A message comes
	// once from each neighbour in the mesh but the one that it is passed on to, and its id is offered once to some that are not in the
	// mesh, in one message a heartbeat (engine/gossip/topics.go). All others get the hub's beacons from their parents (engine/topicless.go).
	topicSize    = 50 // of the topic's name and the framing around a message
	advertSize   = 167
	beaconSize   = 151
	beaconPace   = 0.4 // a second, where nobody waits to succeed the hub (engine/hub.go)
	meshDegree   = 4
	lazyDegree   = 3
	announcedID  = 22
	heartbeatGap = 1           // s
	onTopic      = 12 * second // a peer without slots, after it has come

	// Census: a seat is told every 2 minutes, those of all below in one message every 10 s, at most 1,000 octets a second
	// (engine/census.go). What changes in between is left out.
	seatSize   = 70
	seatEvery  = 120 // s
	censusLook = 10  // s
	censusRate = 1000
)

// background adds a second of what goes on all the time: pulses, manifests, requests for lost packets, gossip and census.
func (s *Sim) background(n int32, p *peer) {
	t := s.kindOf(n)
	t.seconds++
	const (
		down, spare, up = feedingPace * (feedingPulse + controlPacket), idlePace * (sparePulse + controlPacket), idlePace * (childPulse + controlPacket)
		records         = manifestOctets + manifests*recordPacket
		passed          = beaconPace * (envelope + beaconSize + streamCost)
	)
	copied := func(c tree.Copy) (sort, float64) {
		switch c {
		case tree.CopyAudio:
			return sortExcerpts, excerptOctets + manifests*recordPacket
		case tree.CopyAll:
			return sortSecond, records
		}
		return sortExcerpts, 0
	}
	fed, idle := 0, 0
	for i := range p.children {
		switch c := &p.children[i]; {
		case c.Kind != tree.Backup:
			fed++
		default:
			idle++
			_, copies := copied(c.Copy)
			t.out += copies
		}
	}
	if p.primary >= 0 {
		t.in[sortPulses] += down
		t.in[sortManifests] += records
		t.out += up + nackRate
		told := census(p.status.Below)
		t.out += told
		s.kindOf(p.primary).in[sortReports] += told
	}
	if p.backup >= 0 {
		pulses := float64(spare)
		if p.feeds.Copy != tree.CopyNone {
			pulses += spare // as frequent as a parent's
		}
		t.in[sortPulses] += pulses
		t.out += spare
		k, copies := copied(p.feeds.Copy)
		t.in[k] += copies
	}
	t.in[sortPulses] += float64(fed)*up + float64(idle)*spare
	t.in[sortReports] += float64(fed) * nackRate
	t.out += float64(fed)*(down+records) + float64(idle)*spare
	if p.slots > 0 || p.backup < 0 || s.now-p.mediaAt < onTopic {
		gossip := s.gossipRate()
		t.in[sortGossip] += gossip
		t.out += gossip
	} else if p.primary >= 0 {
		t.in[sortPassed] += passed
		s.kindOf(p.primary).out += passed
	}
}

// census is what a peer with so many below it tells its parent, in octets a second.
func census(below int) float64 {
	seats := float64(1+below) / seatEvery
	return min(censusRate, seats*seatSize+min(seats, 1.0/censusLook)*(envelope+streamCost))
}

// gossipRate is what a peer gets and sends of the room's topic, in octets a second.
func (s *Sim) gossipRate() float64 {
	adverts := min(1, s.advertRate())
	octets := adverts*(envelope-certificate+advertSize+topicSize+streamCost) + beaconPace*(envelope+beaconSize+topicSize+streamCost)
	messages := adverts + beaconPace
	return (meshDegree-1)*octets + lazyDegree*(min(messages, 1.0/heartbeatGap)*(topicSize+streamCost)+messages*announcedID)
}

// advertRate is how many adverts there are in a second.
func (s *Sim) advertRate() float64 { return float64(len(s.adverts.times)) / 5 }
