// Package enginetest wires engines over networks that exist in memory only, for tests and examples. Everything runs in real
// goroutines with real time, so that inside a testing/synctest bubble minutes pass in milliseconds.
//
// Network carries control messages and hops itself: hops are plain queues with a delay and, where asked for, loss. It tests
// the engine, not WebRTC; NewVNet does that.
package enginetest
