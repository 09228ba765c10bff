// Package checks is the side of ICE (RFC 8445) that answers an offer: the connectivity checks of one session over a shared
// udp.Port, without a goroutine or a timer of its own. Agents of pion/ice do the same with about ten of each, which a peer that
// serves hundreds of viewers feels.
//
// It is a full agent, not a lite one: it checks the guest's candidates as well, which opens the firewalls on its side. Its own
// candidates are the port's addresses. It is controlled, unless the guest is a lite agent. The pair of the first authenticated
// request is selected at once, since DTLS proves the rest; a pair that the guest nominates replaces it. Consent to send (RFC
// 7675) is asked for every few seconds, and sooner when nothing has been heard for a while.
//
// # Concurrency
//
// All methods are safe for concurrent use. Datagrams come in on the goroutines of the port's sockets; time passes by Tick.
package checks
