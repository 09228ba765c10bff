// Package recording is the plugin that writes rooms down: castd starts itself as this plugin while something is recorded.
//
// A recording is a folder, NAME/YYYY-MM-DD_HH-MM-SS in the folder of recordings, with segments one after another, mix.ogg where there is only
// one flow of sound, else room.mkv with a track for each stream, and manifest.json, which says what is in them and what happened when.
// Nothing is transcoded.
//
// The path of a packet: plugin.go takes batches from castd; session.go, a value that gets the time from outside, makes frames of them (package
// container's Intake), says when they belong (clock.go), fills silence (track.go) and writes them to a segment (segment.go). What a segment
// writes goes by a spool (spool.go) to a goroutine that may wait for the disk; the session does not. manifest.go is what is told of it.
//
// Every write is whole, so that a file is usable up to its last half second whatever happens to the process; who comes back after a crash
// goes on in the same folder with another segment.
package recording
