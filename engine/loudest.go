package engine

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// loudest chooses whose packets go from one mixer to the others: those of the loudest of who sits here, by the levels that the packets tell
// (RFC 6464), and of who was just among them. It takes part in no decoding, and no lock. All methods are safe for concurrent use.
type loudest struct {
	voices atomic.Pointer[[]*voice] // of who sits here; the room's goroutine makes new ones
}

// voice is what is known of how loud somebody is.
type voice struct {
	level atomic.Int32 // at the time heard, in dB above the least that can be told
	heard atomic.Int64 // Unix nanoseconds of when he talked last
	until atomic.Int64 // and until when he is passed on whoever else talks
	talks atomic.Bool  // the mix hears him: by what is in his packets, of which others may lie
}

const (
	// passedVoices is how many are passed on: more than are heard at once, so that who is about to be one of these is there already.
	passedVoices = 5
	// voiceLevel is the level in dB above the least from which on somebody counts as talking: as in package mixer, -62 dB of full scale.
	voiceLevel = 127 - 62
	// unknownVoice is the level of packets that tell none.
	unknownVoice = 127 - 35
	// voiceHangover is how long somebody goes on being passed on when he has ceased to talk, or others are louder.
	voiceHangover = 600 * time.Millisecond
	// voiceFall is by how many dB a second a level falls while nothing is as loud.
	voiceFall = 40
)

// set says who sits here.
func (l *loudest) set(voices []*voice) { l.voices.Store(&voices) }

// passes takes a packet of somebody's, and reports whether it is to be passed on.
func (l *loudest) passes(v *voice, p *MediaPacket, now time.Time) bool {
	at, level := now.UnixNano(), int32(unknownVoice)
	if p.Level <= 127 {
		level = 127 - int32(p.Level)
	}
	if level >= voiceLevel {
		v.level.Store(max(level, v.at(at)))
		v.heard.Store(at)
		if l.rank(v, at) < passedVoices {
			v.until.Store(at + int64(voiceHangover))
			return true
		}
	}
	return at < v.until.Load() || v.talks.Load()
}

// at returns how loud somebody is at a time.
func (v *voice) at(now int64) int32 {
	age := now - v.heard.Load()
	if age >= int64(voiceHangover) {
		return 0
	}
	return v.level.Load() - int32(max(age, 0)*voiceFall/int64(time.Second))
}

// rank counts those who are louder.
func (l *loudest) rank(v *voice, now int64) (n int) {
	list := l.voices.Load()
	if list == nil {
		return 0
	}
	own, before := v.at(now), true
	for _, o := range *list {
		if o == v {
			before = false
			continue
		}
		if level := o.at(now); level > own || level == own && before {
			if n++; n >= passedVoices {
				break
			}
		}
	}
	return n
}

// told takes what the mix says of who talks.
func (v *voice) told(s *CallState, participant string) {
	i, ok := slices.BinarySearchFunc(s.Participants, participant, func(p CallParticipant, id string) int {
		return strings.Compare(p.Participant, id)
	})
	v.talks.Store(ok && s.Participants[i].Talking)
}
