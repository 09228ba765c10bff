package tree

import (
	"time"

	"github.com/castd/castd/tree/coord"
)

// ID names a peer: the octets of a libp2p peer id. The router compares ids and never looks into them.
type ID string

// Candidate is a peer that may take a child, as it or somebody else described it.
type Candidate struct {
	Peer  ID
	Addrs [][]byte // multiaddrs, for the engine; at most 8 of 256 octets each are kept
	Depth uint32   // 0 is the origin
	Free  uint32   // ordinary slots
	// Slots is what the peer gives in all, free or not: its contribution. 0 also where that is not known.
	Slots uint32
	// Delay is what media takes from the origin to the peer; 0 also where that is not known.
	Delay time.Duration
	// Coord foretells the round trip to the peer.
	Coord coord.Coord
	// Branch tells which child of the origin the peer is below (BranchOf); 0 for the origin and where that is not known.
	Branch uint32
	// Age is how long ago the peer itself said so, as far as those know who passed it on; 0 where it was just now.
	Age time.Duration
}

// ChildKind says what a child is to its parent.
type ChildKind int

// Kinds of children, with the numbers they have on the wire.
const (
	Ordinary ChildKind = iota // fed, on one of the slots
	Backup                    // connected and idle
	Orphan                    // fed, lost its parent, may sit on the reserve
)

// String returns the word that status and events show.
func (k ChildKind) String() string {
	switch k {
	case Ordinary:
		return "ordinary"
	case Backup:
		return "backup"
	case Orphan:
		return "orphan"
	}
	return "unknown"
}

// Copy is what a second parent sends besides being connected.
type Copy int

// Copies, with the numbers they have on the wire.
const (
	CopyNone  Copy = iota
	CopyAudio      // audio, and records
	CopyAll        // whatever the first parent sends
)

// clamp takes what a newer version may say for what this one knows best.
func (c Copy) clamp() Copy { return min(max(c, CopyNone), CopyAll) }

// Child is a child of this peer.
type Child struct {
	Peer  ID
	Kind  ChildKind
	Depth int // its depth: this peer's plus one, 0 while this peer has no place
	// Copy is what a backup child is sent although it gets it from its parent as well.
	Copy Copy
}

// Status is a snapshot of a router. Its slices are not changed afterwards and must not be.
type Status struct {
	Parent     ID // "" for the origin and while there is none
	Backup     ID // "" while there is none
	Depth      int
	Path       []ID    // origin first, self last; nil while not placed
	Children   []Child // sorted by id
	Free       int     // ordinary slots that a joiner could have now
	Slots      int     // ordinary slots in all
	Placed     bool    // there is a path from the origin to this peer
	Repairing  bool    // this peer had a place, and it or a peer above it looks for a new one: for the pulses to its children
	Origin     bool
	Candidates int           // how many are known that may take a child
	Delay      time.Duration // from the origin, as far as round trips tell
	Coord      coord.Coord
	Below      int // peers below this one, and FreeBelow their free slots and its own: both for the pulse to the parent
	FreeBelow  int
}

// Input is something that happened. The slices in it belong to the router from then on.
type Input interface{ input() }

// Inputs.
type (
	// Start begins: as the origin of the room, or as a peer that looks for a place. It may be given again after Leave.
	Start struct{ Origin bool }
	// Promote makes this peer the origin; its children stay. Demote makes an origin a peer that looks for a place.
	Promote struct{}
	Demote  struct{}
	// SetAddrs tells under which addresses this peer can be reached; it goes into adverts and joins.
	SetAddrs struct{ Addrs [][]byte }
	// SetSlots tells how many ordinary children this peer can feed. Where it is fewer than there are, nobody is thrown out.
	SetSlots struct{ Slots int }
	// SetAudioShare tells which part of a slot the room's audio takes, 0 to 1: 1 where there is no video. It is Config.AudioShare
	// until then.
	SetAudioShare struct{ Share float64 }
	// SetSilence changes Config.PulseSilence: while nothing is live, parents pulse less often and may be silent for longer.
	SetSilence struct{ Silence time.Duration }
	// Candidates are peers heard of: adverts, beacons, answers about the room. Advert says that it is an advert, whose number
	// this peer's own are thinned by.
	Candidates struct {
		List   []Candidate
		Advert bool
	}
	// Recv is a message from a peer, whose identity the caller has verified.
	Recv struct {
		From ID
		Msg  Message
	}
	// Unreachable says that a message to a peer could not be delivered or that a hop to it could not be opened.
	Unreachable struct{ Peer ID }
	// HopUp says that there is a hop to the peer, whoever opened it. It answers every OpenHop, at once where there is one.
	HopUp struct{ Peer ID }
	// HopDown says that there is none any more.
	HopDown struct{ Peer ID }
	// Pulse is this room's part of a pulse heard on a hop.
	Pulse struct {
		From      ID
		Depth     int           // of the sender; 0 also where it has no place
		MediaAge  time.Duration // since the sender got its newest packet
		Repairing bool          // Status.Repairing of the sender
		Feeding   bool          // the sender counts this peer among those it sends media to
		RTT       time.Duration // of the hop, as the caller measures it; 0 where it does not
		OriginAge time.Duration // since the sender got news of the origin's clock: grows where it is cut off; 0 from a child
		Below     int           // Status.Below, FreeBelow and Free of the sender
		FreeBelow int
		Free      int
	}
	// Alive tells when the last packet of any kind came from a parent, backup or child. The caller gives it before each Tick. A
	// caller that knows a hop to be well may name a time to come, once; where the hop fails before, it names an earlier one, and
	// the silence counts from then.
	Alive struct {
		Peer ID
		At   time.Time
	}
	// Fed says that the first media of a parent has come since SetFeeds named it as Primary. A parent that was left for it is told then.
	Fed struct{ Peer ID }
	// Broken says that the operating system of a peer has ended a connection that lives as long as its process: it has crashed,
	// most likely. Of a parent that is a suspicion, to be acted on as on silence; a backup is given up; a child is taken off unless it
	// is heard again soon.
	Broken struct{ Peer ID }
	// Back says that a peer which was gone has told by itself that it is there: who pauses because it did not answer asks it again.
	Back struct{ Peer ID }
	// Distrust says that a peer sent forged media, or does not send what it has: it is left, and neither it nor what hangs below it
	// is chosen for a while: For, or where that is 0 Config.DistrustFor. Late says that it sends some, or may do no wrong: as a
	// parent it is kept until there is another.
	Distrust struct {
		Peer   ID
		Reason string
		Late   bool
		For    time.Duration
	}
	// Leave says goodbye to children and parent. Afterwards the router only refuses those who ask. Heir, where its Peer is set, is the
	// peer to ask first: who takes the origin's place.
	Leave struct{ Heir Candidate }
	// Tick is given when NextDeadline has come; more often does no harm.
	Tick struct{}
)

func (Start) input()         {}
func (Promote) input()       {}
func (Demote) input()        {}
func (SetAddrs) input()      {}
func (SetSlots) input()      {}
func (SetSilence) input()    {}
func (SetAudioShare) input() {}
func (Candidates) input()    {}
func (Recv) input()          {}
func (Unreachable) input()   {}
func (HopUp) input()         {}
func (HopDown) input()       {}
func (Pulse) input()         {}
func (Alive) input()         {}
func (Fed) input()           {}
func (Broken) input()        {}
func (Back) input()          {}
func (Distrust) input()      {}
func (Leave) input()         {}
func (Tick) input()          {}

// Action is something for the caller to do. What it points to is not changed afterwards and must not be.
type Action interface{ action() }

// Actions.
type (
	// Send asks to deliver a message, at most once. Where that is known to fail, the caller gives Unreachable.
	Send struct {
		To  ID
		Msg Message
	}
	// OpenHop asks for a hop. HopUp or Unreachable answers it.
	OpenHop struct{ To ID }
	// CloseHop says that this room needs the hop no longer; the router takes it for closed, whether it is or not.
	CloseHop struct{ To ID }
	// SetFeeds says from whom media is accepted, and whom to ask for what is missing: Primary first. "" is nobody. Copy says what
	// Backup sends too.
	SetFeeds struct {
		Primary, Backup ID
		Copy            Copy
	}
	// SetChildren replaces the list of children, sorted by id: Ordinary and Orphan ones are fed, Backup ones are idle, but for Copy.
	SetChildren struct{ Children []Child }
	// Advertise asks to tell the room of this peer's free slots.
	Advertise struct {
		Candidate Candidate
		Path      []ID
	}
	// Notify tells what happened.
	Notify struct{ Event Event }
)

func (Send) action()        {}
func (OpenHop) action()     {}
func (CloseHop) action()    {}
func (SetFeeds) action()    {}
func (SetChildren) action() {}
func (Advertise) action()   {}
func (Notify) action()      {}

// Event is what Notify tells.
type Event interface{ event() }

// Events.
type (
	// Joined says that the first place is taken.
	Joined struct {
		Parent ID
		Depth  int
	}
	// ParentChanged says that parent, backup or depth changed. Reason is one of the Reason constants below.
	ParentChanged struct {
		Peer, Backup ID
		Depth        int
		Reason       string
	}
	// ChildJoined says that a child took its place.
	ChildJoined struct {
		Peer ID
		Kind ChildKind
	}
	// ChildLeft says that a child is gone.
	ChildLeft struct{ Peer ID }
	// Alone says that no place was found at any candidate known. The router goes on trying.
	Alone struct{}
)

func (Joined) event()        {}
func (ParentChanged) event() {}
func (ChildJoined) event()   {}
func (ChildLeft) event()     {}
func (Alone) event()         {}

// Reasons of a ParentChanged.
const (
	ReasonJoin      = "join"
	ReasonRepair    = "repair"
	ReasonDisplaced = "displaced"
	ReasonOptimize  = "optimize"
	ReasonGoodbye   = "goodbye"
)
