// Package secure is DTLS-SRTP (RFC 5764) as peers and guests use it: self-signed certificates that are known by their
// fingerprints, and a DTLS connection that is fed by whoever reads the socket. The keys go to SRTP; over DTLS itself nothing is
// said after the handshake but goodbye.
package secure
