// Package guest is the media side of WHIP (RFC 9725) and WHEP: it lets browsers and encoders that negotiate by SDP publish
// into a room, watch it, and take part in a conference. It implements engine.GuestService; HTTP is the gateway's affair. Publishers are
// served by pion/webrtc; viewers and participants, of whom there are many, by the parts that hops have too: engine/checks (ICE),
// engine/secure (DTLS-SRTP), engine/udp, and pion/sctp for a participant's data channel.
//
// Terms: a guest is the browser or encoder; a publishing session feeds one engine.Publication (one slot), a watching session
// is one engine.Sink, a calling session (a caller) has one engine.Call. A section is a media description (m-line) of an offer; a tame offer is the part of an offer that this
// package understood and accepted, written anew: pion sees nothing else.
//
// Invariants:
//   - Payload bytes, marker, order and the differences of timestamps are the publisher's. Two exceptions, both without loss
//     of data: an Opus packet inside a stream of RED gets RED's one-octet header, and a viewer that cannot take RED gets the
//     primary Opus frame out of it.
//   - Towards a viewer there is one SSRC for audio and one for video for as long as the session lives, and towards a participant of a call
//     one for each section; numbers and timestamps on them never go back, whatever slot, incarnation or codec is being played.
//   - What the source lost stays a hole in the viewer's RTP numbers.
//   - Nothing that a guest sends can make memory or goroutines grow beyond fixed bounds.
//
// Concurrency: each session owns its connection and its goroutines, and waits for all of them before Done is closed. A watching or calling
// session's RTP state (sequence numbers, timestamps, sender reports, retransmission history) belongs to a writer, one goroutine
// for many of them; the room's or the mixer's goroutine only appends to bounded queues. What they send is read on the goroutines of the
// port's sockets. One keeper lets time pass for all of them.
//
// Video in calls: what a participant films (camera) is a slot of the room while pictures come. What he sees (screen) comes by fixed sections;
// who is in which is decided by an arrangement, a pure value, and told over the data channel. Nothing is negotiated anew.
//
// Simulcast: of several encodings of an offer to publish only the first is accepted, which is the one that the guest prefers; the answer
// names no other. Of a camera in a call up to three are taken, each a stream of the camera's slot: "video", which is the first of the offer,
// "video2" and "video3". All of them reach every peer; which of them a section shows is decided where its participant comes in (allot), by
// what he wants, by what comes and how large it is (gauges), and by what his line bears (bandwidth).
package guest
