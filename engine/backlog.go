package engine

import (
	"github.com/castd/castd/engine/relay"
	"github.com/castd/castd/engine/seal"
	"github.com/castd/castd/engine/wire"
)

// maxGroupRecords bounds how many record packets a newcomer is sent: those of 30 s, and no group of pictures may last longer.
const maxGroupRecords = 600

// vouchedIn returns the record packet from which on a newcomer needs them to play a stream from the number: the one before
// that which vouches for the number, in case the source's packets were not in order; newest if none does yet.
//
// When packets came here says nothing of it: a peer that has just joined got all records first and the pictures behind them,
// and the current group stays the one before until the manifest of the next one's key frame comes.
func (sl *slot) vouchedIn(id wire.StreamID, number, newest uint64) uint64 {
	records := sl.record.store
	lowest, ok := records.Lowest()
	if !ok {
		return newest
	}
	buf := make([]byte, wire.MaxPacket)
	for n := newest; n >= lowest && newest-n < maxGroupRecords; n-- {
		if size, state := records.Get(n, buf); state == relay.StateConfirmed {
			m, _ := seal.ReadManifest(buf[:size]) // it was verified before
			for _, run := range m.GetRuns() {
				if wire.StreamID(run.Stream) == id && number >= run.First && number < seal.End(run) {
					return max(n, 1) - 1
				}
			}
		}
		if n == 0 {
			break
		}
	}
	return newest
}
