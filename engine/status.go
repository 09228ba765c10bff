package engine

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/castd/castd/engine/wire"
)

// The types of this file are what castd shows of itself, as JSON, on its API and as events. Absent things are absent keys.

// Status is this peer.
type Status struct {
	Peer     string `json:"peer"`
	User     string `json:"user"` // participant id of this peer's user
	Version  string `json:"version"`
	UptimeMs int64  `json:"uptime_ms"`
	HTTP     string `json:"http,omitempty"`
	// PublicURL is how guests on other machines reach the gateway; Fingerprint is the SHA-256 of its certificate.
	PublicURL   string `json:"public_url,omitempty"`
	Fingerprint string `json:"tls_fingerprint,omitempty"`

	Addrs     []string `json:"addrs"`
	MediaPort int      `json:"media_port"`
	Rooms     []string `json:"rooms"` // ids
	Peers     int      `json:"peers"`
	UploadBps uint64   `json:"upload_bps"`
	UpBps     uint64   `json:"up_bps"`
	DownBps   uint64   `json:"down_bps"`

	Ports []PortInfo `json:"ports,omitempty"`
}

// PeerInfo is a peer that this one is connected to.
type PeerInfo struct {
	Peer   string   `json:"peer"`
	Addrs  []string `json:"addrs,omitempty"`
	Hop    bool     `json:"hop"`
	RTTMs  float64  `json:"rtt_ms,omitempty"`
	Rooms  []string `json:"rooms,omitempty"`
	Role   string   `json:"role,omitempty"` // "parent", "child", "backup", "publisher", "hub"
	UpBps  uint64   `json:"up_bps,omitempty"`
	InBps  uint64   `json:"down_bps,omitempty"`
	LossPm uint32   `json:"loss_permille,omitempty"`
}

// GuestInfo is a session of a browser or encoder at this peer's gateway.
type GuestInfo struct {
	Protocol    string `json:"protocol"` // "whip" publishes, "whep" watches, "call" takes part
	Room        string `json:"room"`     // id
	Slot        string `json:"slot,omitempty"`
	Name        string `json:"name,omitempty"`        // what the guest calls himself
	Participant string `json:"participant,omitempty"` // of a room token
	Remote      string `json:"remote,omitempty"`      // where the request came from; absent over the Unix socket
	Since       string `json:"since"`                 // RFC 3339 with milliseconds

	// of whep
	RTTMs  float64 `json:"rtt_ms,omitempty"`
	UpBps  uint64  `json:"up_bps,omitempty"`
	LossPm uint32  `json:"loss_permille,omitempty"`
}

// GuestMeasure is how well a guest is reached.
type GuestMeasure struct {
	RTT          time.Duration // 0: unknown
	LossPermille uint32
	UpBps        uint64
}

// GuestMeter is what a GuestSession may be able to do besides: tell how well it reaches its guest.
type GuestMeter interface{ Meter() GuestMeasure }

// PortInfo is a port that this peer listens on.
type PortInfo struct {
	Use      string   `json:"use"`      // "gateway", "peers", "media", "discovery"
	Protocol string   `json:"protocol"` // "tcp", "udp"
	Port     int      `json:"port"`
	Addrs    []string `json:"addrs"` // local IP addresses, sorted
	Fixed    bool     `json:"fixed"` // it is the port that was asked for, or the usual one, and so the next start's too
}

// RoomInfo is a room that this peer is in.
type RoomInfo struct {
	Room         string            `json:"room"`
	Name         string            `json:"name"`
	Title        string            `json:"title,omitempty"`
	Mode         string            `json:"mode"`
	Private      bool              `json:"private"`
	Owner        string            `json:"owner"` // participant id
	Role         string            `json:"role"`  // "owner", "member"
	Streams      []StreamInfo      `json:"streams"`
	Participants []ParticipantInfo `json:"participants"`
	Audience     int               `json:"audience"`
	Mixer        *MixerInfo        `json:"mixer,omitempty"`     // of a conference
	Recording    []RecordingInfo   `json:"recording,omitempty"` // peers that say that they record the room
	Hands        []string          `json:"hands,omitempty"`     // participants whose hand is up, the first one first
	Locked       bool              `json:"locked,omitempty"`    // nobody new is let in
	Knock        bool              `json:"knock,omitempty"`     // but who comes may wait to be let in
	MutedAll     bool              `json:"muted_all,omitempty"` // only who was given the word may speak
	Settings     *SettingsInfo     `json:"settings,omitempty"`  // of a conference
}

// MixerDirect is the mode of a conference of a few, whose participants hear each other directly.
const MixerDirect = "direct"

// MixerInfo says which peers mix a conference.
type MixerInfo struct {
	Mode    string `json:"mode,omitempty"`    // MixerDirect where no peer mixes for others
	Peer    string `json:"peer"`              // "" then
	Standby string `json:"standby,omitempty"` // the peer that takes over
	// Further are the peers that mix besides these, each for some of the participants, where there are more than one can hold.
	Further []string `json:"further,omitempty"`
	// Readable says that these peers hear what is said: they have to, in order to mix it.
	Readable bool `json:"readable"`
}

// RecordingInfo is a peer that says that it records the room.
type RecordingInfo struct {
	Peer        string `json:"peer"`
	Participant string `json:"participant,omitempty"` // its user
	Name        string `json:"name,omitempty"`        // what he is called in the room
	Since       string `json:"since"`                 // RFC 3339 with milliseconds
}

// SettingsInfo says how a conference welcomes people.
type SettingsInfo struct {
	Tones bool `json:"tones"` // one is heard when somebody comes or goes
	Wait  bool `json:"wait"`  // people wait, with music, while nobody is there who may moderate
	Music bool `json:"music"` // who is the only one hears music
}

// StreamInfo is a stream of a room.
type StreamInfo struct {
	Stream      string `json:"stream"`
	Slot        string `json:"slot"`
	Kind        string `json:"kind"`
	Codec       string `json:"codec"`
	Participant string `json:"participant"`
	State       string `json:"state"` // "live", "ended"
}

// ParticipantInfo is somebody on the stage.
type ParticipantInfo struct {
	Participant string   `json:"participant"`
	Name        string   `json:"name,omitempty"`
	Peer        string   `json:"peer"`
	Roles       []string `json:"roles"` // "owner", "moderator", "speaker", "listener"
	Muted       bool     `json:"muted"`
	Waiting     bool     `json:"waiting,omitempty"` // to be let in, or for the host
	// Audience says that he only listens: his hand is up, or he was Called to speak and has not come yet.
	Audience bool `json:"audience,omitempty"`
	Called   bool `json:"called,omitempty"`
}

// TreeInfo is a peer's place in a room's tree.
type TreeInfo struct {
	Peer     string      `json:"peer"`
	Parent   string      `json:"parent,omitempty"`
	Backup   string      `json:"backup,omitempty"`
	Depth    int         `json:"depth"`
	Path     []string    `json:"path"`
	Children []ChildInfo `json:"children"`
	// Slots is how many ordinary children the peer can feed, Free how many more.
	Slots int `json:"slots,omitempty"`
	Free  int `json:"free,omitempty"`
	// Audience counts the listeners at the peer and below it, Below the peers below it; of these not all need be known.
	Audience int `json:"audience,omitempty"`
	Below    int `json:"below,omitempty"`
	// DelayMs is what media takes from the origin to the peer, as round trips tell.
	DelayMs   int  `json:"delay_ms,omitempty"`
	Repairing bool `json:"repairing,omitempty"` // it, or a peer above it, looks for a new parent
}

// ChildInfo is a child in a TreeInfo.
type ChildInfo struct {
	Peer  string `json:"peer"`
	Kind  string `json:"kind"` // "ordinary", "backup", "orphan"
	Depth int    `json:"depth"`
}

// Event is one line of `--json` and one server-sent event. Only the fields of its kind are set.
type Event struct {
	Event string `json:"event"`
	Time  string `json:"time"` // RFC 3339 with milliseconds
	Room  string `json:"room,omitempty"`

	// parent, joined
	Parent string  `json:"parent,omitempty"`
	Peer   string  `json:"peer,omitempty"`
	Backup string  `json:"backup,omitempty"`
	Depth  *int    `json:"depth,omitempty"`
	Reason string  `json:"reason,omitempty"`
	Stream string  `json:"stream,omitempty"`
	Slot   string  `json:"slot,omitempty"`
	Kind   string  `json:"kind,omitempty"`
	Codec  string  `json:"codec,omitempty"`
	State  string  `json:"state,omitempty"`
	Ms     *int64  `json:"ms,omitempty"`
	Lost   *uint64 `json:"lost,omitempty"`

	Participant string `json:"participant,omitempty"`
	Code        string `json:"code,omitempty"`
	Message     string `json:"message,omitempty"`

	// what taps get, see Tap
	Name   string  `json:"name,omitempty"` // of the participant
	Title  string  `json:"title,omitempty"`
	Number *uint64 `json:"number,omitempty"`

	// stats
	Packets    *uint64 `json:"packets,omitempty"`
	Bytes      *uint64 `json:"bytes,omitempty"`
	Repaired   *uint64 `json:"repaired,omitempty"`
	Duplicates *uint64 `json:"duplicates,omitempty"`
	Children   *int    `json:"children,omitempty"`
	UpBps      *uint64 `json:"up_bps,omitempty"`
	DownBps    *uint64 `json:"down_bps,omitempty"`
}

// EventTime formats t as events carry it.
func EventTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// RoomSpec says which room to add, as a person named it.
type RoomSpec struct {
	Room   string `json:"room"` // name, id or invite link
	Create bool   `json:"create,omitempty"`
	Title  string `json:"title,omitempty"`
	// Private makes a room of one's own private, or public; absent leaves it as it is.
	Private *bool `json:"private,omitempty"`
	// Mode makes a room of one's own a "broadcast" or a "conference"; "" leaves it as it is, and a new one is a broadcast.
	Mode   string `json:"mode,omitempty"`
	WaitMs int64  `json:"wait_ms,omitempty"`
	// Publish says that this peer only sends: it takes no place in the tree unless it is the hub.
	Publish bool `json:"publish,omitempty"`
	// Listen says that this peer counts as a listener.
	Listen bool `json:"listen,omitempty"`
}

// InviteSpec says what an invite should allow.
type InviteSpec struct {
	Speak   bool          `json:"speak,omitempty"`
	Video   bool          `json:"video,omitempty"`
	Guest   bool          `json:"guest,omitempty"`
	Expires time.Duration `json:"expires,omitempty"`
	// Uses is how many people, or with Guest how many sessions, may use it; 0: any number.
	Uses uint32 `json:"uses,omitempty"`
	// Address asks for a link that only leads to the room.
	Address bool `json:"address,omitempty"`
	// Cohost is the public key of a user, as castd id shows it, who may keep the room open from now on; the link leads him there.
	Cohost string `json:"cohost,omitempty"`
}

// InviteInfo is an invite that this peer made.
type InviteInfo struct {
	ID      string   `json:"invite"`
	Kind    string   `json:"kind"`   // "peer", "guest"
	Rights  string   `json:"rights"` // names separated by commas
	Made    string   `json:"made"`
	Expires string   `json:"expires,omitempty"`
	Uses    uint32   `json:"uses,omitempty"`
	Used    []string `json:"used,omitempty"` // who did: participant ids
	State   string   `json:"state"`          // "valid", "expired", "spent", "revoked"

	made time.Time
}

// Access is what a token of the gateway allows.
type Access struct {
	Admin   bool
	Room    wire.RoomID // of a room token
	Speak   bool        // may publish
	Listen  bool
	Subject string // participant id of the guest
}

// Media is what guests need of a room. *Room implements it.
type Media interface {
	ID() wire.RoomID
	// Mode returns "broadcast" or "conference".
	Mode() string
	// Publish opens a slot. Errors for people to read are of type *UserError.
	Publish(ctx context.Context, c SlotConfig) (Publication, error)
	// Subscribe adds a sink.
	Subscribe(s Sink, o SinkOptions) (Subscription, error)
	// Streams returns the streams that are known now.
	Streams() []*StreamState
	// GuestSlot reserves one of this peer's slots for a guest that is not on the loopback; done gives it back.
	// It fails when the peer is full.
	GuestSlot() (done func(), err error)
}

// Service is what the gateway and the command line need of a running peer. engine/node implements it.
type Service interface {
	Status() Status
	Peers() []PeerInfo
	Rooms() []RoomInfo
	// Find returns a room that this peer is in, by name or id; ErrNoRoom if there is none, ErrAmbiguous if a name fits several.
	Find(room string) (Media, error)
	RoomInfo(id wire.RoomID) (RoomInfo, error)
	Tree(id wire.RoomID) (TreeInfo, error)
	// RoomTree returns the places that are known: at the origin the room's, elsewhere the way to this peer and what is below it.
	RoomTree(id wire.RoomID) ([]TreeInfo, error)
	// AddRoom joins or creates a room.
	AddRoom(ctx context.Context, s RoomSpec) (RoomInfo, error)
	// Invite makes an invite link.
	Invite(id wire.RoomID, s InviteSpec) (string, error)
	// Authorize says what a bearer token allows; ok is false for an unknown or expired one. Comparison takes constant time.
	Authorize(token string) (a Access, ok bool)
	// RoomToken makes a token that lets a guest into one room.
	RoomToken(id wire.RoomID, speak bool, valid time.Duration) (string, error)
	// Events delivers events until ctx ends, statistics every so often where stats is positive. A reader that is too slow
	// loses events.
	Events(ctx context.Context, stats time.Duration) <-chan Event
	// Changed gets a value when what Rooms says of rooms, their streams and participants may be different, until ctx ends.
	Changed(ctx context.Context) <-chan struct{}
}

// Inviter is what a Service can do with the invites that it made.
type Inviter interface {
	// Invites lists the invites and guests' links to a room that this peer made.
	Invites(id wire.RoomID) ([]InviteInfo, error)
	// Revoke takes back an invite, a guest's link, a person's rights, or with "all" every invite made so far. With speakOnly who
	// it is may listen on.
	Revoke(ctx context.Context, id wire.RoomID, who string, speakOnly bool) error
}

// Moderator is what a Service can do with rooms that its user moderates.
type Moderator interface {
	// Moderate does it in the name of this peer's user. Errors for people are of type *UserError.
	Moderate(ctx context.Context, id wire.RoomID, m Moderation) error
	// Chat returns what was written last in a conference, the oldest first, as far as this peer knows.
	Chat(ctx context.Context, id wire.RoomID) ([]ChatMessage, error)
}

// GuestLedger counts sessions under guests' tokens, for a Service that keeps them.
type GuestLedger interface {
	// OpenGuest begins a session under the token of a SHA-256. The channel is closed when the token holds no longer; done says
	// that the session has ended.
	OpenGuest(token [32]byte) (ended <-chan struct{}, done func(), err error)
}

// GuestService serves browsers and encoders that offer by SDP. engine/guest implements it.
type GuestService interface {
	// Publish takes an offer of a source (WHIP), Watch one of a viewer (WHEP). The answer is complete. Errors that the guest
	// caused are of type *UserError.
	Publish(ctx context.Context, m Media, offer string, o GuestOptions) (GuestSession, error)
	Watch(ctx context.Context, m Media, offer string, o GuestOptions) (GuestSession, error)
	// Call takes an offer of a participant of a conference.
	Call(ctx context.Context, m Media, offer string, o GuestOptions) (GuestSession, error)
	Close() error
}

// GuestOptions tell who the guest is and what he asked for.
type GuestOptions struct {
	Slot        string
	From        string // participant whose slot a viewer wants; "" for anybody's
	Participant string
	Name        string
	Remote      string // address that the request came from
	// Seat tells those apart who come under one Participant, in conferences: who has the same one is the same there, see GuestID.
	Seat string
	Self bool // he is the user of this peer: he has the administrator's token
}

// GuestID names a guest in conferences: one who comes by a token that others have as well is somebody else than these. seat is a secret of
// his, so that nobody else can take his name.
func GuestID(participant, seat string) string {
	sum := sha256.Sum256([]byte("castd caller v1\x00" + participant + "\x00" + seat))
	return wire.ParticipantID(sum[:])
}

// GuestSession is one browser's or encoder's media connection.
type GuestSession interface {
	ID() string
	Answer() string // SDP
	ETag() string   // names the ICE generation, quoted as in the HTTP header
	// Patch takes a trickle ICE fragment (RFC 8840); where it restarts ICE the answer is a fragment too, else empty.
	Patch(ctx context.Context, fragment string) (answer string, err error)
	Done() <-chan struct{}
	Err() error
	Close() error
}
