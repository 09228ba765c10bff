// Package plugins finds, pins, launches, supervises and feeds plugins: programs of their own that extend castd. What their authors need
// is in package sdk; the protocol is in sdk/protocol.
//
// # Files
//
// All is in the folder plugins of the data folder:
//
//	plugins.lock               what is installed, with checksums, and what the operator granted (lock.go)
//	castd-plugin-NAME          the program
//	state/NAME/files           the plugin's own folder
//	state/NAME/values.json     what it keeps by Put
//	run/                       private copies that are being executed, and sockets
//
// # Life
//
// [Store] is the folder; the command line and a running castd use it at the same time. [Host] runs what it says: a [supervisor] for each
// enabled plugin launches it (launch.go), asks for its health, ends what does not answer, and starts it again later and later. Each launch
// executes a copy of its own, whose checksum is compared after it has been made, with an environment of its own and confined as far as the
// system can (confine_linux.go).
//
// # Media
//
// An attendance (attend.go) is a plugin's part in a room. Packets are encoded into batches as they come, on the room's goroutine, and sent
// by a goroutine of the attendance. What a plugin is too slow for is dropped by whole batches (outbox.go), and it is told which packets.
// The room never waits.
package plugins
