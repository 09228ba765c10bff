// Package room knows what a room is and who may do what in it: rights and the chains that grant them, invites and their
// links, the signed record that describes a room, and the roster of who is on its stage.
//
// Terms. An owner is the user whose key the room's id is derived from. A delegate is a user whom the owner's record names to
// keep the room open. A chain hands rights from the owner to a user in at most four signed links. A slot is a place on the
// stage from which one publisher sends; its streams are derived from the publisher's device key. A guest is a participant
// whom a device vouches for.
//
// Invariants. Along a chain rights, time and epoch only narrow. Nothing enters a Roster but what a device announced under its
// own signature, with stream ids that only it can have, and by a right that goes back to the room's owner. Everything that
// comes from outside is bounded.
//
// The package is pure: no clock, no goroutines, no randomness, no global state; time and seeds are arguments. Functions are
// safe for concurrent use; a Roster belongs to one goroutine.
package room
