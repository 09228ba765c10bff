package node

import (
	"fmt"
	"time"

	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/container"
	"github.com/castd/castd/engine/wire"
)

// chooseTracks returns the first audio and the first video track that rooms carry, or an *UnplayableError: also where only one of
// both could be sent, since nobody wants to find out by listening.
func chooseTracks(tracks []container.Track) ([]container.Track, error) {
	var chosen []container.Track
	there, taken := make(map[wire.Kind]bool), make(map[wire.Kind]bool)
	for _, t := range tracks {
		there[t.Kind] = true
		if !taken[t.Kind] && carried(&t) {
			taken[t.Kind] = true
			chosen = append(chosen, t)
		}
	}
	if len(chosen) == 0 || len(taken) < len(there) {
		return nil, &UnplayableError{Tracks: tracks}
	}
	return chosen, nil
}

// carried reports whether rooms carry the track's codec. RTP's Opus has one or two channels, and its H264 no B-frames.
func carried(t *container.Track) bool {
	switch t.Kind {
	case wire.KindAudio:
		return t.Codec == codec.Opus && t.Channels >= 1 && t.Channels <= 2
	case wire.KindVideo:
		switch t.Codec {
		case codec.VP8, codec.VP9, codec.AV1:
			return true
		case codec.H264:
			return !t.Reordered
		}
	case wire.KindRecord:
	}
	return false
}

// formatParameters returns a track's codec parameters as in SDP.
func formatParameters(t *container.Track) string {
	switch t.Codec {
	case codec.Opus:
		if t.Channels == 2 {
			return "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1"
		}
		return "minptime=10;useinbandfec=1"
	case codec.H264:
		if len(t.Private) >= 4 { // AVCDecoderConfigurationRecord: version, profile, constraints, level
			return fmt.Sprintf("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=%x", t.Private[1:4])
		}
		return "level-asymmetry-allowed=1;packetization-mode=1"
	}
	return ""
}

// timestamp returns the RTP timestamp of a frame at a media time; ok is false for Opus that is malformed.
func (t *outTrack) timestamp(at time.Duration, data []byte) (timestamp uint32, ok bool) {
	if t.codec == codec.Opus {
		d := codec.OpusDuration(data)
		return uint32(t.opus.next(at, ticks(d, codec.AudioClock))), d > 0
	}
	return uint32(ticks(at, t.rate)), true
}

// ticks converts a time to units of a clock, rounded to the nearest. Clock rates are below 2^20, times below days.
func ticks(t time.Duration, rate uint32) int64 {
	seconds, rest := int64(t/time.Second), int64(t%time.Second)
	half := int64(time.Second / 2)
	if rest < 0 {
		half = -half
	}
	return seconds*int64(rate) + (rest*int64(rate)+half)/int64(time.Second)
}

// opusGrid is the shortest Opus frame, 2.5 ms: gaps between packets are multiples of it.
const opusGrid = codec.AudioClock / 400

// opusClock counts the timestamps of Opus packets by their durations, which is exact; containers round to milliseconds. Only
// where the file says that there is a gap does it jump, and it never goes back.
type opusClock struct {
	at    int64 // where the next packet begins if there is no gap, in samples
	begun bool
}

// next returns where a packet of a duration in samples begins that the container places at the media time.
func (c *opusClock) next(at time.Duration, duration int64) int64 {
	want := ticks(at, codec.AudioClock)
	if !c.begun {
		c.at, c.begun = want, true
	}
	if gap := want - c.at; gap > 2*opusGrid {
		c.at += (gap + opusGrid/2) / opusGrid * opusGrid
	}
	begin := c.at
	c.at += duration
	return begin
}
