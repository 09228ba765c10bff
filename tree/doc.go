// Package tree is the multicast tree of a room as a pure value. One Router per peer and room decides who its parent is, who its
// backup, and who its children are; the routers of a room form the tree by messages.
//
// # Terms
//
// The origin feeds the tree and stands at depth 0. A path lists the peers from the origin down to one peer. A peer that has a
// path is placed. A slot is the upload for one ordinary child; the reserve, on top, feeds orphans, who have lost
// their parent, until they have found an ordinary place; backup children are connected and idle. A leaf has no
// slots.
//
// # What a router does
//
// A joiner ranks those it has heard of by the delay that a place below them would have, as network coordinates foretell it, probes the
// best and those whom they name, asks the best two of those that answered for a place (Join, Accept), opens the hop to the first
// that accepts and takes the place (Confirm). Who refuses names others to ask, and says how old that news is, so that what a peer itself
// said later stands. A parent that is full makes
// room for a peer that gives twice as much as its weakest child: that one sits on the reserve for a moment, and moves below the
// newcomer or elsewhere, with all that is below it. Without that, leaves that came first would fill every slot there is. Who has a
// place looks for one that is better by far now and then. The origin feeds two heads once these can feed the others.
//
// Once placed it looks for a backup whose path shares no peer with its own but the origin, and keeps the hop to it open. As far as
// slots are free the backup sends audio as well, and to a peer that feeds others everything, most of all to those with many below.
// When the parent is silent, gone or says goodbye, it asks the backup and the two best candidates at once; the first to be confirmed
// wins, and a parent that was silent only for a moment is kept. Its children stay with it meanwhile, and wait: only
// direct children of a dead peer move. After Config.Patience they look around as well.
//
// A newcomer that finds nobody with a free slot for a while takes a place on a reserve, where it knows of room elsewhere. When the
// origin has lost a head, its few free places go to the orphans with the most peers below them. An orphan whose place another needs more
// is a backup child from then on: it keeps the hop, and hears sound where there is room for it, until it has found another place.
//
// Whoever moves though its parent is well, as it sits on a reserve, was asked to make room or has found better, moves
// make-before-break: the former parent sends on until the first media of the new one has come (Fed), and is who to go back to where the
// new one is lost before, or sends nothing that the former one has.
//
// # Loops
//
// A child refuses a parent whose path holds the child, a parent refuses a child that stands in its own path, and both look again
// when the place is confirmed. Who has no path, or is about to have another, takes no children, and tells its own at once, so
// that two orphans cannot hang below each other. Between accepting a child and its confirmation a parent does not
// move by choice. What slips through, as two moves far apart may, shows when the new path arrives at a peer that is
// already in it; that peer leaves at once. Until then origin numbers keep media from circling.
//
// # The caller
//
// The caller gives each Input to Step with the present time, carries out the Actions in order, and gives Tick at NextDeadline.
// Before a Tick it tells by Alive when it last heard parent, backup and children. It sends pulses on the hops, with Status.Depth,
// Status.Repairing and whether the other side is among the children last set that are fed: a parent that says for a second
// that it does not feed this peer is left. What a former Primary sends is to be taken until CloseHop. A HopDown is final; where a hop
// is replaced by a new one it is not given.
//
// # Properties
//
// The package has no clock, goroutines, locks or I/O. The same seed and inputs give the same actions. All that others send is
// clamped; the cache holds 64 candidates, a round of a search asks 32 peers, at most three joins are on their way for a parent and
// one for a backup. A Router belongs to one goroutine; different ones share nothing.
//
// Of a peer's age only what its parent saw itself counts, and of its slots what it claims, until others need them: one that claims much
// and feeds nobody has a place near the origin until somebody is refused there who would feed others.
package tree
