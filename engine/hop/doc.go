// Package hop makes the media connections between peers: ICE, DTLS and SRTP as browsers speak them, without SDP. It implements
// engine.Transport and engine.Hop.
//
// It stands directly on pion's ice, dtls and srtp modules. The ORTC objects of pion/webrtc would do the same handshake, but
// they hide two things that a hop needs: the interval of ICE's checks (200 ms there, 20 ms here), and the SRTP context, which
// gives hop packets numbers of their own, a replay window as large as a relay's ring, and no allocation per packet.
//
// # Terms
//
// A hop joins two peers, for all rooms and both directions; there is one at most between any two. An origin packet (see
// package wire) is the payload of a hop packet, unchanged. A hop packet is SRTP with the hop's own sequence numbers, one
// counter per SSRC, which never go back: a packet that is sent again is a new hop packet. Origin numbers never appear as SRTP
// numbers, because SRTP derives its nonce from them.
//
// # Set-up
//
// One exchange: the peer that wants a hop sends a wire.HopOffer with all its host candidates, the other answers. The offerer
// is ICE controlling and DTLS client; the answerer, which is going to send media, is DTLS server, so that it may send as soon
// as it has heard the client's last flight. Whatever carries the offer has authenticated both peers; the fingerprints in offer
// and answer bind the self-signed certificates to it (RFC 8122). Each side takes the first candidate pair on which a valid
// binding request arrives: both have named their addresses over an authenticated way, so nothing is won by waiting for a
// better one. DTLS 1.2 with extended master secret (RFC 7627), SRTP_AEAD_AES_128_GCM (RFC 7714), keys by RFC 5764.
//
// An open hop is kept when this side dials again. A new offer from a peer closes his old hop before it is answered, since the
// UDP mux sends packets from a known address to the hop that knows it. When two peers dial each other, the offer of the lower
// peer id wins and the other's Dial returns the hop that it makes.
//
// # Packets
//
// RTP (RFC 3550) with payload types 111 audio, 96 video, 98 record, 127 parity; audio and records share one SSRC, video and
// parity the other. The RTP timestamp is the origin's. RTP, RTCP, DTLS and STUN share the port by their first octet (RFC 7983,
// RFC 5761). Control messages are RTCP APP packets (control.go). On a hop that loses packets, audio is sent a
// second time a little later and records a third time, and groups of video packets are followed by their parity (parity.go).
//
// # Concurrency
//
// What one call sends goes out by one system call where the hop runs over a udp.Port. One goroutine per hop connects, reads and calls the handler, a second one waits for the close_notify of DTLS. Sending happens
// on the caller's goroutine under the hop's send lock, and on a timer for redundancy. The files control.go, parity.go, loss.go
// and offer.go are pure.
package hop
