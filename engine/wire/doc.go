// Package wire holds everything that castd peers say to each other as values and bytes: the origin header of media packets
// (header.go), the control messages (wire.proto), the signed envelope that carries them (envelope.go), and the identifiers
// derived from keys (id.go).
//
// It has no sockets, clocks or state. Formats are frozen by the vectors in testdata; what must change gets a new version,
// a new field or a new type, and old peers skip what they do not know.
package wire
