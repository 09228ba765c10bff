package jitter

import (
	"encoding/json"
	"testing"
	"time"
)

// TestStatsNames keeps the names of getStats (webrtc-stats, RTCReceivedRtpStreamStats and RTCInboundRtpStreamStats).
func TestStatsNames(t *testing.T) {
	octets, err := json.Marshal(Stats{})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(octets, &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"packetsReceived", "packetsLost", "packetsDiscarded", "fecPacketsReceived", "fecPacketsDiscarded", "totalSamplesReceived",
		"concealedSamples", "silentConcealedSamples", "concealmentEvents", "insertedSamplesForDeceleration",
		"removedSamplesForAcceleration", "jitterBufferDelay", "jitterBufferTargetDelay", "jitterBufferMinimumDelay",
		"jitterBufferEmittedCount",
	} {
		if _, ok := got[name]; !ok {
			t.Errorf("no %s", name)
		}
	}
}

// TestStatsAddUp compares what was played with what it was made of.
func TestStatsAddUp(t *testing.T) {
	for _, tt := range []struct {
		name string
		way  way
		fec  bool
		red  int
	}{
		{"LAN", lan(1), false, 0},
		{"reordering", normal(1, 30*ms), true, 0},
		{"reordering and loss", losing(normal(2, 30*ms), random(1, 0.1)), true, 2},
		{"bursts", losing(fifo(3, 10*ms, 0.5), bursts(1, 0.2)), false, 3},
	} {
		r := call{length: 30 * time.Second, way: tt.way, fec: tt.fec, red: tt.red, phase: 5 * ms}.run(t)
		made := int64(r.JitterBufferEmittedCount + r.ConcealedSamples + r.ComfortNoise + r.InsertedSamplesForDeceleration)
		made -= int64(r.RemovedSamplesForAcceleration)
		if off := made - int64(r.TotalSamplesReceived); off < -960 || off > 1920 {
			t.Errorf("%s: %d samples made, %d played", tt.name, made, r.TotalSamplesReceived)
		}
		if r.SilentConcealedSamples > r.ConcealedSamples || r.PacketsLate > r.PacketsDiscarded || r.FECPacketsDiscarded > r.FECPacketsReceived {
			t.Errorf("%s: %+v", tt.name, r.Stats)
		}
		used := r.RepairedByFEC + r.RepairedByRED
		if waiting := r.FECPacketsReceived - r.FECPacketsDiscarded - used; waiting > 50 {
			t.Errorf("%s: %d copies received, %d not needed, %d used", tt.name, r.FECPacketsReceived, r.FECPacketsDiscarded, used)
		}
	}
}
