// Package engine is castd without its surroundings: rooms, the tree that carries them, and the path of a packet from a
// publisher through relays to whoever listens. It declares what it needs of the outside (ControlPlane, Transport, Keeper)
// and what it offers to it (Media, Service's types), and imports none of the packages that implement either.
//
// # Terms
//
// A Room is a gathering that this peer is in. On its stage, publishing devices open slots; a slot has media streams and one
// record stream that carries signed manifests. The room's tree (package tree) decides from which peer this one is fed and
// whom it feeds. A sink receives opened media at this peer: a browser, a file.
//
// # The hub
//
// One peer is the room's hub: publishers bring their streams to it, and the tree begins there. The owner's devices and those of his
// co-hosts may be it; package tree/elect decides which one is. succession.go drives it, handover.go is how a hub leaves, heal.go how
// parts of a room find each other again.
//
// # The path of a packet
//
// Publication.Write numbers, seals and notes a packet for the next manifest. From there on it is bytes: origin header and
// sealed payload, which stay the same on every hop. stream.ingest takes it from a hop (or from the publication), puts it into the stream's relay.Store,
// and gives a reference to the room's feeder, which sends it to each child that the fan-out snapshot lists, a picture at once. If the room has sinks, its leaf opens what manifests have confirmed and delivers it in order.
//
// # Conferences
//
// The hub mixes a conference for all, another peer stands by (standby.go), and participants sit at both by lines (call.go, line.go,
// farseat.go). A few without listeners send to each other directly, and each peer mixes for its own participants (direct.go, plan.go).
// splice.go makes one flow of what comes by all these ways.
//
// # Concurrency
//
// One goroutine per room (Room.loop) owns the tree.Router, the roster and the lists of children and publications. It never
// sees a packet. It publishes immutable snapshots (feeds, fan-out, stream index) which the packet path reads without locks.
// A stream's own mutex guards its repair state. Nothing that the packet path takes is held while calling out.
package engine
