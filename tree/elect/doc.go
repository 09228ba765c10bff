// Package elect decides, without consensus, which peers of a room carry a role: who is its hub, who stands by to be the next one,
// and which peers are fit to be supernodes. It is pure: time is an argument, and the same inputs give the same actions.
//
// # Who is fit
//
// Every peer describes itself in a signed Offer. Gates say whether it may carry others at all (it can be reached, has slots to give,
// has been up for a while, has CPU to spare, is neither on battery nor on a metered line, has not crashed lately); a score says how
// well. What can be lied about is clamped by the reader: an uptime counts no further back than the reader has known the peer
// (Offer.Attested), and everything else is worth a few points only. Where nobody passes the gates, as in a room on a local network that
// has just been opened, those with a busy computer, on battery, or that have crashed come last.
//
// # Who is chosen
//
// Rank orders the offers by weighted rendezvous hashing (Thaler and Ravishankar 1998; weights by an exponential race): whoever has
// the same offers has the same list, a peer that comes or goes moves nobody else, and the chance to come first is proportional to
// the score. The first is the primary, those behind it are its standbys; standbys are taken from another version of castd and
// another /16 network where there are any, so that what fells the primary spares one of them.
//
// # Who holds the role
//
// An Elector is one peer's view of one role. The holder renews its lease several times within the lease's length; each renewal
// names the term and, in order, the successors. When a lease has run out, and the peer sees no other sign of the holder, the first
// successor takes the next term, the second one waits a moment longer, and so on. Ranks never take the role from a holder that renews:
// a role moves only when its holder fails or resigns, so nothing flaps.
//
// A term is a number with a time and a name: of two holders of one number, as a partition leaves them, the one that began earlier
// stays, then the one with the smaller id. So no two holders ever have the same term, and wherever two hear of each other one yields
// at once. Two peers can believe themselves holders only while they do not hear of each other.
//
// Lengths follow from the numbers: a lease outlives the loss of all but one of its renewals, so that a minority of lost messages is
// never seen, and a role is taken over within Lease + (successors-1) x Stagger of the last renewal.
package elect
