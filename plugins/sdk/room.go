package sdk

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/castd/castd/plugins/sdk/protocol"
)

// Payload says in what form media is wanted.
type Payload = protocol.Payload

// Payloads.
const (
	// None is nothing.
	None = protocol.Payload_PAYLOAD_NONE
	// RTP is payloads of RTP as they came, of any codec.
	RTP = protocol.Payload_PAYLOAD_RTP
	// Opus is one Opus packet each; of RED (RFC 2198) the newest one.
	Opus = protocol.Payload_PAYLOAD_OPUS
	// PCM is samples of 16 bits, little endian, 48 kHz, one channel.
	PCM = protocol.Payload_PAYLOAD_PCM
)

// Want says what a plugin wants of a room.
type Want struct {
	Audio Payload
	Video Payload // None or RTP
	// Backlog begins with the pictures since the last key frame.
	Backlog bool

	// What follows is of conferences. Voices is what each participant says, besides the mix, as streams of their own: None, Opus or RTP. Only the
	// peer that mixes the room, and its standby, know it; elsewhere there are no such streams. Packets come as they have come there,
	// before any jitter buffer: late, twice or not at all. Needs PermissionAudio.
	Voices Payload
	// Talking is for events that tell who talks. A peer that does not mix and by way of which nobody takes part has none.
	Talking bool
	// Chat is for events that tell what is written, where they are known as Talking's are. Needs PermissionChat.
	Chat bool
}

// Packet is a packet of a stream. Payload is valid until the next call of Room.Next.
type Packet = protocol.Media

// Gap says that the packets First to Last of a track were dropped, since the plugin was too slow for them.
type Gap struct {
	Track       uint32
	First, Last uint64
}

// Stream describes a stream of a room. The comments of plugin.proto say what the fields hold.
type Stream struct {
	Track       uint32
	ID          string
	Slot        string
	Label       string
	Kind        string
	Codec       string
	ClockRate   uint32
	Channels    uint32
	Fmtp        string
	Participant string
	Name        string
	Started     time.Time
	Live        bool
	Incarnation uint32
	Voice       bool // what a participant of a conference says, see Want.Voices
	Heard       bool // what a participant of the plugin's hears, see PublishSpec.Hear
}

// Event is something that happened in a room.
type Event struct {
	Time string // RFC 3339 with milliseconds
	Name string // "stream", "gap", "peer", "left", "participants", "talking", "hand", "chat", "title", and others
	JSON []byte // the event as castd's API has it
}

// ParticipantEvent is what the events of a conference say: talking, hand, chat and title, and peer and left.
type ParticipantEvent struct {
	Participant string `json:"participant"`
	Name        string `json:"name"`
	State       string `json:"state"`   // of talking and hand: "live", or "ended"
	Message     string `json:"message"` // of chat
	Number      uint64 `json:"number"`  // of chat: grows with each message of the room
	Title       string `json:"title"`   // of title
}

// Decode sets v, a pointer to a struct with json tags like ParticipantEvent, from the event.
func (e *Event) Decode(v any) error { return json.Unmarshal(e.JSON, v) }

// At returns when it happened; the zero time where that cannot be read.
func (e *Event) At() time.Time {
	at, _ := time.Parse(time.RFC3339, e.Time)
	return at
}

// Batch is what came of a room in about 20 ms. It is valid until the next call of Room.Next.
type Batch struct {
	// Time is castd's wall clock when the batch was sent.
	Time time.Time
	// Streams are all streams of the room, where that has changed; nil where it has not.
	Streams []Stream
	Gaps    []Gap
	Packets []Packet
	Events  []Event
}

// RoomInfo describes a room.
type RoomInfo struct {
	ID, Name, Title string
	Mode            string // "broadcast" or "conference"
	Private         bool
	Participants    []Participant // in what is listed, and when Attend begins
}

// Participant is somebody on the stage of a room.
type Participant struct {
	ID, Name string
	Roles    []string
	Muted    bool
}

// Room is a room that a plugin attends. Next is for one goroutine; Want and Send are safe for concurrent use.
type Room struct {
	RoomInfo
	stream grpc.BidiStreamingServer[protocol.ToPlugin, protocol.FromPlugin]

	// of Next
	frame   protocol.Frame
	message protocol.ToPluginMessage
	batch   Batch

	mu sync.Mutex // guards sending
}

func newRoom(stream grpc.BidiStreamingServer[protocol.ToPlugin, protocol.FromPlugin]) (*Room, error) {
	r := &Room{stream: stream}
	if err := r.receive(); err != nil {
		return nil, err
	}
	if r.message.GetBegin().GetRoom() == nil {
		return nil, status.Error(codes.InvalidArgument, "the first message names no room")
	}
	r.RoomInfo = roomInfo(r.message.Begin.Room)
	return r, nil
}

func roomInfo(r *protocol.Room) RoomInfo {
	info := RoomInfo{ID: r.Id, Name: r.Name, Title: r.Title, Mode: r.Mode, Private: r.Private}
	for _, p := range r.Participants {
		info.Participants = append(info.Participants, Participant{ID: p.Id, Name: p.Name, Roles: p.Roles, Muted: p.Muted})
	}
	return info
}

func (r *Room) receive() error {
	if err := r.stream.RecvMsg(&r.frame); err != nil {
		return err
	}
	if err := r.message.Parse(r.frame.Bytes); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	return nil
}

// Want says what of the room's media the plugin wants from now on. Without the permission nothing comes. Who says the same again asks for
// key frames: pictures since the last one come again, with numbers that were there, and publishers are asked for new ones.
func (r *Room) Want(w Want) error {
	return r.send(&protocol.FromPlugin{Want: &protocol.Want{
		Audio: w.Audio, Video: w.Video, Backlog: w.Backlog, Voices: w.Voices, Talking: w.Talking, Chat: w.Chat,
	}}, nil)
}

// Send sends packets into the room, of tracks that Host.Publish gave. Payloads are not kept. What castd cannot take is dropped.
func (r *Room) Send(packets ...Packet) error { return r.send(nil, packets) }

func (r *Room) send(m *protocol.FromPlugin, packets []Packet) error {
	var b []byte
	for i := range packets {
		b = protocol.AppendFromPlugin(b, &packets[i])
	}
	if m != nil {
		var err error
		if b, err = protocol.Append(b, m); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stream.SendMsg(&protocol.Frame{Bytes: b})
}

// Next waits for what comes next, and says that the plugin is done with what came before. It fails with io.EOF when castd has left the
// room or ends the plugin, and with another error when the connection is broken.
func (r *Room) Next() (*Batch, error) {
	if r.message.Number > 0 {
		if err := r.send(&protocol.FromPlugin{Ack: r.message.Number}, nil); err != nil {
			return nil, io.EOF
		}
	}
	if err := r.receive(); err != nil {
		return nil, err
	}
	m, b := &r.message, &r.batch
	b.Time, b.Packets, b.Streams = time.UnixMicro(m.TimeUs), m.Media, nil
	b.Gaps, b.Events = b.Gaps[:0], b.Events[:0]
	for _, g := range m.Gaps {
		b.Gaps = append(b.Gaps, Gap{g.Track, g.First, g.Last})
	}
	for _, e := range m.Events {
		b.Events = append(b.Events, Event{e.Time, e.Event, e.Json})
	}
	if m.Streams != nil {
		b.Streams = make([]Stream, 0, len(m.Streams.Streams))
		for _, s := range m.Streams.Streams {
			b.Streams = append(b.Streams, Stream{
				Track: s.Track, ID: s.Id, Slot: s.Slot, Label: s.Label, Kind: s.Kind, Codec: s.Codec, ClockRate: s.ClockRate,
				Channels: s.Channels, Fmtp: s.Fmtp, Participant: s.Participant, Name: s.ParticipantName,
				Started: time.UnixMilli(s.StartedMs), Live: s.Live, Incarnation: s.Incarnation, Voice: s.Voice, Heard: s.Heard,
			})
		}
	}
	return b, nil
}
