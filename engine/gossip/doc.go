// Package gossip is the control plane of castd over libp2p: direct messages and requests between two peers, gossip topics,
// and the discovery of peers. It implements engine.ControlPlane and is the only package that uses libp2p's network side.
//
// # Terms
//
// A message is an opaque octet string of at most wire.MaxEnvelope octets; what it says and whether its signature holds is
// the engine's business. A direct message takes one stream (protocol /castd/msg/1), a request one stream there and back
// (/castd/req/1). A topic is a gossipsub topic; only topics of castd's grammar exist (see ValidTopic).
//
// # Invariants
//
//   - A gossip message is passed on only after the engine's Validate accepted it, so that a forged one dies at the first hop.
//     Envelopes carry their own signature; gossipsub adds none.
//   - What a peer says of a message's length is checked before anything of that size is allocated.
//   - Whatever a peer can send has a rate, a size, a deadline and a number that may be in work at once; what goes beyond is
//     dropped and counted (see Stats).
//   - PeerUp and PeerDown of one peer alternate, beginning with PeerUp.
//
// # Concurrency
//
// All methods of Plane are safe for concurrent use. Every goroutine that this package starts has ended, or is inside libp2p
// and about to end, when Close returns. It does no media and no repairs: gossip can lose a message for a second or for good.
package gossip
