// Castd opens a room, and whoever joins it lends it upload: peers carry the room's audio and video to each other along a
// tree. This command is one peer of it, and the tool to talk to a peer that runs.
//
// # How it is laid out
//
// There is one file per subcommand (start.go, listen.go, publish.go, ...). main.go turns errors into exit codes, root.go
// puts the commands together, config.go fills flags from the environment and the file, peerflags.go turns flags into
// node.Options. A command works against the interface peer (peer.go), which is either a node in this process (local.go) or
// the running peer of the data folder, reached through its socket (client.go).
//
// # Exit codes
//
// 0 done, 1 failed, 2 used wrongly, 3 not found or nobody answered in time. Errors are one plain sentence on standard error.
package main
