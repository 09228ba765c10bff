// Package relay holds what a peer needs to pass a room's packets on: a Store of the recent packets of each stream, a Queue
// of what is on its way to each child, and Repair, which says what is missing and when to ask for it again.
//
// # Terms
//
// A number is the origin number of a packet, 48 bits that grow by one and never go back. A packet is the origin packet:
// header and sealed payload, the same bytes at every hop. Packets under the same number with different bytes are variants;
// a manifest that the publisher signed decides which of them is right, and then the number is confirmed; those of a picture
// that has one hash are so all at once. Numbers that a manifest names, be it by a hash or by a skip, are vouched for. A group is what a decoder needs to begin: a key frame of
// the lowest spatial layer and everything since.
//
// # Invariants
//
//   - A Store returns only bytes that were put into it, under the number that they were put under.
//   - What is confirmed does not change and gives way only to newer packets.
//   - What nobody vouched for cannot push out more than a bounded part of what somebody did, however it is numbered.
//   - Nothing here waits for a peer, and everything is bounded: packets, octets, numbers, streams.
//   - In steady state neither Put, Push, Pop nor Get allocates.
//
// # Concurrency
//
// Store and Queue may be used from any goroutine; their locks are held for a copy or a few table entries and nothing is
// called while they are held, but for a Queue that looks its backlog up in a Store.
// Repair and its values belong to one goroutine. There are no goroutines, clocks or sockets in this package.
package relay
