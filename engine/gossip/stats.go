package gossip

import "sync/atomic"

// Stats are counters since New.
type Stats struct {
	MessagesSent, MessagesReceived uint64 // direct messages
	RequestsSent, RequestsReceived uint64
	GossipSent, GossipReceived     uint64 // gossip published here, delivered here

	RateLimited      uint64 // streams and gossip messages of peers beyond their rate
	Busy             uint64 // streams refused since too many were in work
	Malformed        uint64 // streams with a frame that was cut off, too large or too slow
	GossipRejected   uint64 // gossip that Validate rejected, or that broke gossipsub's rules
	GossipIgnored    uint64 // gossip that Validate ignored
	GossipOverflow   uint64 // gossip dropped before validation or before delivery, for want of room in a queue
	GossipUnsent     uint64 // gossip RPCs dropped on the way out, for want of room in a queue
	TopicsRefused    uint64 // subscriptions to foreign topics, or beyond 32 of one peer
	DeadConnections  uint64 // connections closed since the other end had fallen silent
	DiscoveryDropped uint64 // peers found on the local network that were noted but not dialled
}

// counters are the live Stats.
type counters struct {
	messagesSent, messagesReceived, requestsSent, requestsReceived, gossipSent, gossipReceived atomic.Uint64
	rateLimited, busy, malformed, gossipRejected, gossipIgnored, gossipOverflow, gossipUnsent  atomic.Uint64
	topicsRefused, deadConnections, discoveryDropped                                           atomic.Uint64
}

// Stats returns the counters.
func (p *Plane) Stats() Stats {
	c := &p.stats
	return Stats{
		MessagesSent: c.messagesSent.Load(), MessagesReceived: c.messagesReceived.Load(),
		RequestsSent: c.requestsSent.Load(), RequestsReceived: c.requestsReceived.Load(),
		GossipSent: c.gossipSent.Load(), GossipReceived: c.gossipReceived.Load(),
		RateLimited: c.rateLimited.Load(), Busy: c.busy.Load(), Malformed: c.malformed.Load(),
		GossipRejected: c.gossipRejected.Load(), GossipIgnored: c.gossipIgnored.Load(),
		GossipOverflow: c.gossipOverflow.Load(), GossipUnsent: c.gossipUnsent.Load(),
		TopicsRefused: c.topicsRefused.Load(), DeadConnections: c.deadConnections.Load(),
		DiscoveryDropped: c.discoveryDropped.Load(),
	}
}
