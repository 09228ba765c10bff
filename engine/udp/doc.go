// Package udp is the one UDP port of all media: a socket for each address of the machine, read and written many datagrams at a
// time, and shared by everything that speaks ICE.
//
// # Way in
//
// One goroutine per socket reads in batches (recvmmsg, with UDP_GRO where the kernel has it) and hands each datagram to the
// Handler that it is for: a STUN binding request by the fragment of its USERNAME that names this side (RFC 8445 section 7.2.2),
// everything else by the address it came from, which a Handler has claimed before. Agents of pion/ice get a net.PacketConn
// through the methods of ice.UDPMux, with a bounded queue in between; a Handler of this module's own runs on the socket's
// goroutine and must not block.
//
// # Way out
//
// A Batch collects datagrams and sends them by one system call (sendmmsg). Neighbours in it that go to one address and have one
// length, but for the last that may be shorter, go as one datagram that the kernel cuts (UDP_SEGMENT): the cost of a picture of
// six packets is nearly that of one. Where the kernel, the route or the system has neither, the same datagrams go one at a time.
//
// # Concurrency
//
// Port and Socket are safe for concurrent use, a Batch is not. No lock is held while a Handler runs.
package udp
