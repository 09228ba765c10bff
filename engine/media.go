package engine

import (
	"time"

	"github.com/castd/castd/engine/wire"
)

// StreamState describes a stream of a room as it is now. Values are immutable.
type StreamState struct {
	ID          wire.StreamID
	Slot        string
	Label       string
	Kind        wire.Kind
	Codec       string // "opus", "red", "vp8", "vp9", "h264", "av1"
	ClockRate   uint32 // Hz
	Channels    uint32
	Fmtp        string // codec parameters as in SDP
	Participant string
	Name        string // of the participant
	Device      string // publishing peer's id
	StartedMs   int64  // Unix time at which the slot became live
	Live        bool
	EndedAt     time.Time // when this peer heard of its end; zero while it is live
	Incarnation uint16
	First       uint64 // first number of this incarnation
}

// MediaPacket is one RTP packet of a publisher, on its way into the room.
type MediaPacket struct {
	// Sequence is the source's RTP sequence number, extended to 64 bits: what the source lost stays a hole. Numbers may come
	// out of order and twice.
	Sequence    int64
	Timestamp   uint32
	Marker      bool
	Payload     []byte // at most 1,400 octets; not kept
	Level       uint8  // audio: -dBov or wire.LevelUnknown
	Voice       bool
	Orientation []byte // RTP header extension data, where present
	Dependency  []byte // AV1 dependency descriptor, where present
}

// Packet is a verified and opened packet of a room, on its way to a sink.
type Packet struct {
	Stream  *StreamState
	Header  wire.Header // Number tells holes; Timestamp is the origin's
	Payload []byte      // the codec's RTP payload; valid only during the call
	// Backlog marks packets of the cached group of pictures, delivered at once when a sink begins; LiveTimestamp is then the
	// timestamp of the newest packet there is.
	Backlog       bool
	LiveTimestamp uint32
	// WallUs is the origin's wall clock at Timestamp, in microseconds since 1970; 0 while no clock record has come.
	WallUs int64
}

// Sink receives a room's media: a browser's viewer, a file. Calls come one at a time from a goroutine of the room and must
// not block; packets of a stream come in order of their numbers, each once.
type Sink interface {
	// Streams gets the room's streams at the start and whenever they change.
	Streams(all []*StreamState)
	WritePacket(p *Packet)
}

// SinkOptions say what a sink wants.
type SinkOptions struct {
	Backlog bool                    // begin with the cached group of pictures
	Guest   bool                    // counts as a listener of the room
	Select  func(*StreamState) bool // nil: all streams
}

// Subscription is a sink's place in a room.
type Subscription interface {
	// Refresh delivers the cached group of pictures of a video stream again, from its key frame, and asks the publisher for a
	// new one where that is due.
	Refresh(stream wire.StreamID)
	// Seek is Refresh for who can wait: where the cached group is older than a few seconds it is not delivered, which would take long to
	// decode; the publisher is asked for a new one, which comes like all that is live.
	Seek(stream wire.StreamID)
	Close()
}

// SlotConfig describes what a publisher is about to send from a slot of the stage.
type SlotConfig struct {
	Slot        string // "" is "main"
	Participant string // "" is this peer's user
	Name        string
	Streams     []StreamConfig
}

// StreamConfig describes one stream of a slot.
type StreamConfig struct {
	Label     string // distinguishes the streams of a slot: "audio", "video"
	Kind      wire.Kind
	Codec     string
	ClockRate uint32
	Channels  uint32
	Fmtp      string
	// Timeline says that timestamps are those of a timeline of the room's, which go on by themselves while nothing is sent, also where
	// the slot is opened anew.
	Timeline bool
	// KeyFrame asks the source for a key frame; nil if it cannot.
	KeyFrame func()
}

// Publication is an open slot. Where its publisher opens the slot again before it is closed, it passes to the new Publication,
// and this one is done with ErrReplaced.
type Publication interface {
	// Write sends a packet of the labelled stream. It is safe for concurrent use and never blocks.
	Write(label string, p *MediaPacket) error
	// Clock tells that the source's timestamp of the labelled stream corresponds to the wall clock, in microseconds since 1970.
	Clock(label string, timestamp uint32, wallUs int64)
	// Receivers returns how many peers and local sinks are being served.
	Receivers() int
	// Feedback returns what the source should be told of the network beyond this peer.
	Feedback() Feedback
	// Done is closed when the publication has ended, for whatever reason; Err then tells it.
	Done() <-chan struct{}
	Err() error
	// Close ends the publication. Its slot stays live for its publisher to come back: opened again within 30 s it goes on with
	// the same streams.
	Close() error
	// End ends publication and slot at once: nobody comes back.
	End() error
}

// Feedback is what the uplink and the heads report of the room's media.
type Feedback struct {
	Bitrate  uint64 // bits per second that can be carried; 0 unknown
	Fraction uint8  // loss in 1/256
}
