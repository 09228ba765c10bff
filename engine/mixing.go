package engine

import "time"

// Mixing mixes the conferences of this peer. engine/conference implements it. All methods are safe for concurrent use.
type Mixing interface {
	// Open begins to mix a room. everything gets each packet of what those hear who do not take part. It is called on a goroutine of
	// Mixing's, and must not block. With nil there is nobody else, and what the only one says whom others hear comes to them as it is.
	Open(everything func(*MediaPacket)) (Mix, error)
}

// Mix is the conference of one room. All methods are safe for concurrent use.
type Mix interface {
	// Join gives a participant a seat. It fails where the machine cannot serve one more.
	Join(c SeatConfig) (MixSeat, error)
	// Tone has all hear a tone who are not on hold, and who only listen.
	Tone(t Tone)
	// Hold has those who only listen hear music in place of the mix, until it is taken back.
	Hold(on bool)
	// Maps has f called, on a goroutine of Mixing's, with what a standby needs to mix the same: about ten times a second while somebody
	// talks, and at once when something has moved. f must not block. Nothing is told while the mix follows another.
	Maps(f func(*PlayoutMap))
	// Talks has f called, on a goroutine of Mixing's, when somebody begins to be heard and when he is heard no longer, with when the tick
	// began in which that was so. f must not block. That somebody leaves who is heard ends it; that the mix is closed does not.
	Talks(f func(participant string, on bool, at time.Time))
	// Follow makes the mix a standby's: it plays what its primary played, on the same ticks and timestamps, a little later. With nil
	// it only becomes one, and nobody hears anything of it until there has been a map; one that has been heard already goes on, and on its
	// own timeline. Maps may get lost.
	Follow(m *PlayoutMap)
	// Ahead returns by how much the primary's timestamps are above those of a standby for the same sound, once a map has come.
	Ahead() (samples uint32, ok bool)
	// Lead makes a standby the primary: it goes on from where it is.
	Lead()
	// Close takes the seats away and ends the mix. When it returns, nobody hears anything of it any more.
	Close()
}

// MixSeat is a Seat at a Mix of this peer.
type MixSeat interface {
	Seat
	// Hold has the participant hear music in place of the others, and them nothing of him, until it is taken back.
	Hold(on bool)
	// Deaf has him hear nothing, until it is taken back: he hears the conference elsewhere. What he wished of others holds again then.
	Deaf(on bool)
	// Tone has him alone hear a tone.
	Tone(t Tone)
}

// Tone is a short sound that tells participants of something. Mixing knows what each sounds like.
type Tone string

// Tones.
const (
	ToneEnter   Tone = "enter"   // somebody comes
	ToneLeave   Tone = "leave"   // and goes
	ToneAlone   Tone = "alone"   // the last of the others has gone
	ToneMuted   Tone = "muted"   // a moderator has muted him
	ToneUnmuted Tone = "unmuted" // he may speak again
)

// SeatConfig says who takes part in a conference. Hear and Tell are called one at a time, on a goroutine of Mixing's; they must not
// block.
type SeatConfig struct {
	Participant string
	Name        string
	// RED says that what he sends are payloads of RFC 2198 with Opus in them, else they are Opus.
	RED bool
	// SendsStereo and HearsStereo say that two channels are worth their while.
	SendsStereo, HearsStereo bool
	// Hear gets what he is to hear: everybody but himself. Sequence numbers have no holes but those of packets that were lost on their
	// way to the mixer, and timestamps are those of the room. The packet is shared: it may be kept, and must not be changed. It is nil for
	// who only is heard.
	Hear func(*MediaPacket)
	// Tell gets the state of the conference when it has changed. It may be nil.
	Tell func(*CallState)

	// Self says that he is the user of the peer by way of which he comes, and no guest of his. It is the room's concern, like News, not
	// Mixing's.
	Self bool
	// Announces says that this is no participant but an announcement, which all hear, or with To that participant alone, and which
	// hears nothing. It is neither listed nor mixed with the loudest.
	Announces bool
	To        string
	// Waiting says that who mixes has him wait to be let in, where this is a standby.
	Waiting bool
	// News gets what was written, and what is to be said to him alone. It may be nil, must not block, and may be called by several
	// goroutines.
	News func(*CallNews)
}

// CallNews is what somebody who takes part is told once. Values are immutable.
type CallNews struct {
	Code string        // what became of what he did, or was done to him; "": nothing did
	Chat []ChatMessage // those that he has not got, the oldest first; all that is remembered when he comes

	place *placed // for the call itself
}

// Codes of CallNews, besides those of UserErrors.
const (
	NewsMuted   = "muted"
	NewsUnmuted = "unmuted"
)

// ChatMessage is what somebody wrote to all who take part.
type ChatMessage struct {
	Number      uint64 `json:"id"` // grows with every message of the room
	Participant string `json:"participant"`
	Name        string `json:"name,omitempty"`
	Text        string `json:"text"`
	Time        string `json:"time"` // RFC 3339 with milliseconds
}

// Seat is a participant's place in a Mix. All methods are safe for concurrent use and never block but Close.
type Seat interface {
	// Write takes a packet that has come from the participant.
	Write(p *MediaPacket)
	// Loss tells what part of the packets to the participant is lost, in percent, as he reports it about once a second.
	Loss(percent float64)
	// Wish sets how loud he wants to hear another one, as a factor from 0 to 16.
	Wish(participant string, gain float32)
	// Close takes the participant out. When it returns, neither Hear nor Tell is called any more.
	Close()
}

// CallState is what participants are told of a conference. Values are immutable.
type CallState struct {
	Participants []CallParticipant `json:"participants"`       // by id
	Dominant     string            `json:"dominant,omitempty"` // who speaks, or did last

	// What follows is not Mixing's to say.
	Hands    []string `json:"hands,omitempty"` // that are up, the first one first
	Locked   bool     `json:"locked,omitempty"`
	Knock    bool     `json:"knock,omitempty"` // who is not let in may wait
	MutedAll bool     `json:"muted_all,omitempty"`
	Title    string   `json:"title,omitempty"`
	// Settings are those of the room, and Waiting what he who is told waits for: WaitingHost or WaitingAdmission.
	Settings *SettingsInfo `json:"settings,omitempty"`
	Waiting  string        `json:"waiting,omitempty"`
	// Mixer and Recording tell who hears what is said besides those who take part.
	Mixer     *MixerInfo      `json:"mixer,omitempty"`
	Recording []RecordingInfo `json:"recording,omitempty"`
}

// CallParticipant is one of them.
type CallParticipant struct {
	Participant string `json:"participant"`
	Name        string `json:"name,omitempty"`
	Talking     bool   `json:"talking"` // he is heard at the moment

	Muted   bool     `json:"muted,omitempty"`
	Waiting bool     `json:"waiting,omitempty"` // he hears music, and is not heard
	Roles   []string `json:"roles,omitempty"`   // as in ParticipantInfo

	// Audience says that he only listens: his hand is up, or he was Called to speak and has not come yet.
	Audience bool `json:"audience,omitempty"`
	Called   bool `json:"called,omitempty"`
}

// PlayoutMap says which sample of which participant a mixer played on a tick. Values are immutable.
type PlayoutMap struct {
	Tick   uint64 // of 20 ms; the timestamp of its packets is 960 times that
	Number uint64 // of the tick's packets
	Inputs []PlayoutPosition
}

// PlayoutPosition is a participant's place in a PlayoutMap.
type PlayoutPosition struct {
	Participant string
	Timestamp   uint32  // RTP timestamp of the first sample of the tick
	Gain        float64 // of loudness normalisation, in dB
}

// MaxPlayoutInputs bounds the participants in a PlayoutMap, which has to fit into a packet.
const MaxPlayoutInputs = 12
