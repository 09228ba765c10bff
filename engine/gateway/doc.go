// Package gateway is the HTTP face of a peer: WHIP (RFC 9725) and WHEP for browsers and encoders, a JSON API with server-sent
// events, Prometheus metrics, and the page for people, which is embedded (web/). Media, SDP and rooms are the affair of
// engine.GuestService and engine.Service; this package knows neither of their implementations.
//
// Terms: a caller is whoever sends a request and what his token allows; an administrator may everything, the bearer of a room
// token only what the token says of one room. A session is one exchange of WHIP or WHEP, from POST to DELETE.
//
// Two handlers serve the same routes. Handler is for TCP: every request but those of open routes needs a bearer token, its Host
// must be one of ours (DNS rebinding), it must not come from another origin's page (there is no CORS), and posts are limited
// in rate. Local is for the peer's Unix socket: whoever can open that is the administrator.
//
// Invariants:
//   - Every error is a problem document (RFC 9457), that of an unknown path or method included.
//   - A session can be changed and ended only by the token that made it; for everybody else it does not exist.
//   - Bodies, rates, open event streams and sessions are bounded; every phase of a request has a time limit.
//   - Tokens, SDP and addresses are not logged.
//
// Concurrency: a Gateway is safe for concurrent use. Each session has one goroutine, which waits for its end; Close waits for
// all of them.
package gateway
