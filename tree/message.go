package tree

import (
	"time"

	"github.com/castd/castd/tree/coord"
)

// Message is what routers say to each other; engine/wire carries them as TreeMessage. What comes from others is clamped to
// the limits of this package before it is looked at.
type Message interface{ message() }

// Messages.
type (
	// MsgProbe goes from a peer that looks for a parent to a candidate. Slots is what the sender itself can give.
	MsgProbe struct {
		Nonce uint64
		Slots uint32
		Coord coord.Coord
		Terse bool // names of others are of little use
		// Below is how many peers hang below the sender, where it is an orphan.
		Below uint32
	}
	// MsgProbeReply is its answer. Free is what the asker could have: where a smaller child would make room for it, that
	// counts. So it does for Reserve. Path ends with the sender and is nil where the sender has no place.
	MsgProbeReply struct {
		Nonce         uint64
		Free, Reserve uint32
		Path          []ID
		Candidates    []Candidate
		Delay         time.Duration // from the origin to the sender
		Coord         coord.Coord   // of the sender
		Crowded       bool          // the sender takes no more idle children
		Spare         uint32        // slots that neither a child nor a copy has
	}
	// MsgJoin asks to become a child. From a child it asks to become one of another kind.
	MsgJoin struct {
		Nonce uint64
		Kind  ChildKind
		Slots uint32   // what the sender itself can give
		Addrs [][]byte // where the sender can be reached
		Avoid []ID     // peers that must not be in the parent's path
		Coord coord.Coord
		// Below is how many peers hang below an orphan.
		Below uint32
		// Accused are peers that withheld media from the sender, or forged it, as it says; at most four.
		Accused []ID
		// Waits is for how many seconds the sender has looked for a place and had none; 0 where it has one.
		Waits uint32
	}
	// MsgAccept is the answer of a parent. A further one with the same nonce tells the child that its kind changed, or that Copy did.
	MsgAccept struct {
		Nonce      uint64
		Kind       ChildKind
		Path       []ID // of the parent, itself last
		PathSeq    uint64
		Candidates []Candidate
		Delay      time.Duration // from the origin to the sender
		Copy       Copy          // what a backup child is sent
	}
	// MsgRefuse is the answer of a parent that cannot. Reason is one of the Refuse constants.
	MsgRefuse struct {
		Nonce      uint64
		Reason     string
		Candidates []Candidate
	}
	// MsgConfirm takes the place.
	MsgConfirm struct{ Nonce uint64 }
	// MsgLeave ends it, from either side; with reason "displaced" the parent goes on feeding until the child has found another.
	MsgLeave struct {
		Reason     string
		Candidates []Candidate
	}
	// MsgPath goes from a parent to its children when its own path changes. A nil Path says that it has none for now.
	MsgPath struct {
		Path       []ID
		PathSeq    uint64
		Candidates []Candidate
		Delay      time.Duration // from the origin to the sender
	}
)

func (*MsgProbe) message()      {}
func (*MsgProbeReply) message() {}
func (*MsgJoin) message()       {}
func (*MsgAccept) message()     {}
func (*MsgRefuse) message()     {}
func (*MsgConfirm) message()    {}
func (*MsgLeave) message()      {}
func (*MsgPath) message()       {}

// Reasons of a MsgRefuse.
const (
	RefuseFull    = "full"     // no slot of that kind
	RefuseLoop    = "loop"     // the asker, or one it avoids, stands in the path
	RefuseNoPath  = "no_path"  // the asked has no place itself
	RefuseTooDeep = "too_deep" // the path would be longer than MaxPath
	RefuseLeaving = "leaving"
)

// Reasons of a MsgLeave.
const (
	LeaveGoodbye   = "goodbye"   // the sender leaves the room
	LeaveMoved     = "moved"     // the child has another parent
	LeaveDisplaced = "displaced" // somebody who gives more takes the slot
	LeaveUnknown   = "unknown"   // the sender knows of no such child
	LeaveDistrust  = "distrust"
	LeaveLoop      = "loop"    // the child stands in the parent's path
	LeaveNoPath    = "no_path" // the parent lost its place before the child took one
)
