package conference

import "github.com/castd/castd/mixer"

// passMost is the longest packet that is passed on as it is, in octets: at 80 kbit/s it costs each listener more than twice what a mix does.
const passMost = 200

// passable reports whether a packet of Opus could stand in place of one that the mixer makes: 20 ms, and not much larger.
func passable(payload []byte) bool {
	return len(payload) > 1 && len(payload) <= passMost && duration(payload) == mixer.FrameSamples
}

// duration returns how long an Opus packet plays, in samples at 48 kHz, by its first octets (RFC 6716, section 3.1); 0 where they make no
// sense.
func duration(payload []byte) int {
	if len(payload) == 0 {
		return 0
	}
	const ms = 48
	frame := [...]int{10 * ms, 20 * ms, 40 * ms, 60 * ms}[payload[0]>>3&3] // SILK
	switch config := payload[0] >> 3; {
	case config >= 16: // CELT
		frame = [...]int{5 * ms / 2, 5 * ms, 10 * ms, 20 * ms}[config&3]
	case config >= 12: // hybrid
		frame = [...]int{10 * ms, 20 * ms}[config&1]
	}
	switch payload[0] & 3 {
	case 0:
		return frame
	case 3:
		if len(payload) < 2 {
			return 0
		}
		return frame * int(payload[1]&0x3F)
	}
	return 2 * frame
}
