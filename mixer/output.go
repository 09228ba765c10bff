package mixer

// Want says what to do with an input in this tick. Inputs that nobody wants need no decoding; their jitter buffers run on.
type Want struct {
	ID ID
	// Decode: take 20 ms from its jitter buffer and Feed them.
	Decode bool
	// Prime: it was not decoded before; let the decoder run over the packet before first, so that it does not begin in the middle.
	Prime bool
	// Forward: take the packet of these 20 ms from its jitter buffer as it is, for Output.Forward.
	Forward bool
}

// Output is a tick's result.
type Output struct {
	Tick uint64
	// Parked: nobody has talked for two seconds; there are no packets, and no numbers are used.
	Parked bool
	// Number counts the ticks with packets; Timestamp is the RTP timestamp, 960 a tick. Both are those of every packet of the tick.
	Number    uint64
	Timestamp uint32
	// Marker: the first packets after silence (RFC 3551, section 4.1).
	Marker  bool
	Packets []Packet
	// Forward names the input whose packet Forwarded get as it is, under the tick's number and timestamp. If that packet is lost, nothing is sent.
	Forward   ID
	Forwarded []ID
	// Talkers are who is heard, by ID.
	Talkers []Talker
	// Dominant is who speaks, first, and who did before, at most ten. Changed: there is a new one since the last tick.
	Dominant []ID
	Changed  bool
	// Map says what was played where.
	Map Map
}

// Packet is one encoded frame and who gets it.
type Packet struct {
	Payload   []byte
	Channels  int
	Level     uint8 // in -dBov (RFC 6464)
	Listeners []ID
}

// Talker is an input that is heard.
type Talker struct {
	ID    ID
	Level uint8 // in -dBov, as RFC 6465 wants it
}

// Map is what a standby needs in order to mix the same: which sample of which input was played at which tick.
type Map struct {
	Tick   uint64
	Number uint64
	Inputs []Position
}

// Position is an input's place in a Map.
type Position struct {
	ID        ID
	Timestamp uint32  // RTP timestamp of the first sample of the tick
	Gain      float64 // of loudness normalisation, in dB
}

// Stats count since the mixer was made.
type Stats struct {
	Ticks        uint64
	Encodes      uint64
	EncodeErrors uint64 // encoders that could not be made, or failed
	Starved      uint64 // frames that were wanted and did not come
	BadFrames    uint64 // frames that nobody wanted, of a wrong length, or with samples that are none
	LateTicks    uint64 // ticks that were not after the last one
	Forwards     uint64 // ticks on which packets were passed on
	// SoundsRefused counts sounds that were not played, because too many did.
	SoundsRefused uint64
}

// volume is a level in dB of full scale as -dBov.
func volume(dB float64) uint8 { return uint8(max(0, min(loudestLevel, -dB))) }

// Follow brings a standby to where its primary is: the numbers from now on, and the gains of the inputs.
func (m *Mixer) Follow(p Map) {
	m.number = p.Number + m.tick - p.Tick // below 0, and then back, where the primary has just begun and is ahead
	for _, at := range p.Inputs {
		if in := m.input(at.ID); in != nil {
			in.loud.gain = max(-m.cfg.MaxGain, min(m.cfg.MaxGain, at.Gain))
		}
	}
}
