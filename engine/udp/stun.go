package udp

import (
	"bytes"
	"encoding/binary"
)

const (
	stunHeader   = 20 // octets (RFC 8489 section 5)
	stunCookie   = 0x2112A442
	stunRequest  = 0x0001 // binding request
	stunUsername = 0x0006
	maxUsername  = 513 // octets (RFC 8489 section 14.3)
)

// IsSTUN reports whether a datagram is a STUN message rather than DTLS or SRTP (RFC 7983).
func IsSTUN(b []byte) bool {
	return len(b) >= stunHeader && b[0] < 4 && binary.BigEndian.Uint32(b[4:]) == stunCookie
}

// requestFor returns, of a STUN binding request, the part of its USERNAME that names the agent it is for: what comes before
// the colon (RFC 8445 section 7.2.2). It is nil for everything else. The result aliases b.
func requestFor(b []byte) []byte {
	if !IsSTUN(b) || binary.BigEndian.Uint16(b) != stunRequest {
		return nil
	}
	rest := b[stunHeader:]
	if n := int(binary.BigEndian.Uint16(b[2:])); n <= len(rest) {
		rest = rest[:n]
	} else {
		return nil
	}
	for len(rest) >= 4 {
		typ, n := binary.BigEndian.Uint16(rest), int(binary.BigEndian.Uint16(rest[2:]))
		if n > len(rest)-4 {
			return nil
		}
		if typ == stunUsername {
			if n > maxUsername {
				return nil
			}
			if name, _, ok := bytes.Cut(rest[4:4+n], []byte{':'}); ok && len(name) > 0 {
				return name
			}
			return nil
		}
		rest = rest[min(len(rest), 4+(n+3)&^3):]
	}
	return nil
}
