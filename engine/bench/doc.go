// Package bench is a load tester for WHIP (RFC 9725) and WHEP: it publishes into an address, watches it with many viewers,
// and tells how long packets took, what was lost, when first pictures came, and what the server's process spent.
//
// A viewer here is no PeerConnection: it is a socket, a minimal controlling ICE agent, DTLS, and the SRTP contexts of both
// directions, so that hundreds of them leave the machine to the server that is measured. Towards the server it behaves as
// Chromium does: it checks the path and answers checks, reports once a second what came, wants a key frame when it gets
// something else first, and prefers the same protection profiles. It differs in that it asks for nothing again: a loss is
// what did not come at first.
//
// Every payload ends with a stamp: who sent it, its number, and the wall clock when it was sent. Stamps make delays, losses,
// duplicates and disorder visible whatever the server does to RTP numbers. One-way delays need sender and receiver to
// share a clock, which they do when one machine, or one process, does both.
//
// Concurrency: each endpoint's socket is read by one goroutine, which owns what was received; one goroutine of the run does
// everything that is periodic; each publisher has one that sends.
package bench
