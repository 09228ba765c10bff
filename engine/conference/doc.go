// Package conference mixes the conferences of a peer in real time. It implements engine.Mixing with package mixer, which says who is
// heard and makes the packets, and package mixer/jitter, which turns what comes from a network into a frame each 20 ms.
//
// # Terms
//
// A tick is 20 ms; ticks are numbered from when the Service began, for all of its rooms together. A table is one room's conference, a seat
// the place of a participant at it. An inbox holds what has come from a participant since the last tick.
//
// # A tick
//
// clock.go says when there is one. For each table (table.go) it takes the packets out of the inboxes, notes how loud they say they are and
// puts them into the jitter buffers (seat.go); asks the mixer whom it wants; gives it the next 20 ms of these; and hands out
// what it made of them (output.go). Who is not wanted is not decoded.
//
// Where nobody has said anything for two seconds, and no packets come, a table rests; where all of them do there are no ticks.
//
// # Following
//
// A table may follow another peer's by maps of what that one plays (follow.go): a standby's, which makes the same packets on the same ticks;
// and that of a peer whose participants are about to go over from hearing each other directly to a mixer, or back. The latter keeps its own
// timeline, on which it is heard already, and Ahead tells how far the other's is above it.
//
// # Concurrency
//
// One goroutine, Service.run, owns all tables, mixers and buffers. Others reach them by calls that it makes for them, and by the inboxes,
// each of which has a lock of its own. Nothing that a participant does can make an inbox or buffer grow beyond its bound.
package conference
