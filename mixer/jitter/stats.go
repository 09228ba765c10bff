package jitter

// Stats are counters since the buffer was made, under the names of getStats (W3C webrtc-stats, RTCInboundRtpStreamStats) as far as
// it has them. Samples are those of one channel; delays are sums in seconds over JitterBufferEmittedCount samples.
type Stats struct {
	PacketsReceived     uint64 `json:"packetsReceived"`
	PacketsLost         int64  `json:"packetsLost"`      // expected less received, as RFC 3550, section 6.4.1
	PacketsDiscarded    uint64 `json:"packetsDiscarded"` // came too late, or were dropped as too much waited
	FECPacketsReceived  uint64 `json:"fecPacketsReceived"`
	FECPacketsDiscarded uint64 `json:"fecPacketsDiscarded"` // secondaries that were not needed

	TotalSamplesReceived           uint64  `json:"totalSamplesReceived"`
	ConcealedSamples               uint64  `json:"concealedSamples"`
	SilentConcealedSamples         uint64  `json:"silentConcealedSamples"`
	ConcealmentEvents              uint64  `json:"concealmentEvents"`
	InsertedSamplesForDeceleration uint64  `json:"insertedSamplesForDeceleration"`
	RemovedSamplesForAcceleration  uint64  `json:"removedSamplesForAcceleration"`
	JitterBufferDelay              float64 `json:"jitterBufferDelay"`
	JitterBufferTargetDelay        float64 `json:"jitterBufferTargetDelay"`
	JitterBufferMinimumDelay       float64 `json:"jitterBufferMinimumDelay"` // the target, if there were no limits
	JitterBufferEmittedCount       uint64  `json:"jitterBufferEmittedCount"`

	// What getStats has no names for.
	PacketsLate       uint64 `json:"packetsLate"`       // of PacketsDiscarded: their time was over
	PacketsDuplicated uint64 `json:"packetsDuplicated"` // neither lost nor discarded
	PacketsMalformed  uint64 `json:"packetsMalformed"`
	PacketsForeign    uint64 `json:"packetsForeign"` // numbers or clock far off what the others have
	DecodeErrors      uint64 `json:"decodeErrors"`
	RepairedByFEC     uint64 `json:"repairedByFEC"` // packets played from the in-band copy
	RepairedByRED     uint64 `json:"repairedByRED"` // packets played from a redundant block
	Resyncs           uint64 `json:"resyncs"`       // jumps of numbers, clock or SSRC that were followed
	Overflows         uint64 `json:"overflows"`     // times that the oldest were dropped as too much waited
	Stretches         uint64 `json:"stretches"`
	ComfortNoise      uint64 `json:"comfortNoiseSamples"`
	SkippedSamples    uint64 `json:"skippedSamples"`   // by Skip
	ForwardedSamples  uint64 `json:"forwardedSamples"` // by Forward, as packets
	ForcedMoves       uint64 `json:"forcedMoves"`      // by Follow
}

// Stats returns the counters.
func (b *Buffer) Stats() Stats {
	s := b.stats
	if b.place.begun {
		s.PacketsLost = b.place.expected() - b.place.received
	}
	return s
}
