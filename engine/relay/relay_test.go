package relay

import (
	"github.com/castd/castd/engine/wire"
)

// testPacket returns a packet whose bytes depend on its number and text.
func testPacket(kind wire.Kind, n uint64, text string) (wire.Header, []byte) {
	h := wire.Header{Kind: kind, Stream: 1, Number: n, Timestamp: uint32(n * 960), FrameStart: true, FrameEnd: true}
	return h, append(h.Append(nil), text...)
}

// keyPacket returns the first packet of a key frame.
func keyPacket(n uint64, text string) (wire.Header, []byte) {
	h := wire.Header{Kind: wire.KindVideo, Stream: 1, Number: n, Timestamp: uint32(n * 3000), FrameStart: true, KeyFrame: true}
	return h, append(h.Append(nil), text...)
}

// videoPacket returns a packet of a frame that refers to others.
func videoPacket(n uint64, text string) (wire.Header, []byte) {
	h := wire.Header{Kind: wire.KindVideo, Stream: 1, Number: n, Timestamp: uint32(n * 3000), FrameStart: true}
	return h, append(h.Append(nil), text...)
}
