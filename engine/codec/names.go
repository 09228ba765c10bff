package codec

// Names of codecs, as in wire.Announce and in SDP, in lower case.
const (
	Opus = "opus"
	RED  = "red"
	VP8  = "vp8"
	VP9  = "vp9"
	H264 = "h264"
	AV1  = "av1"
)

// Clock rates of the RTP timestamps, in Hz.
const (
	AudioClock = 48000 // Opus and RED, whatever rate was encoded (RFC 7587, section 4.1)
	VideoClock = 90000
)

// MaxFrame bounds a frame, in octets. What is larger is dropped.
const MaxFrame = 16 << 20

// known reports whether the package knows the payload format.
func known(codec string) bool {
	switch codec {
	case Opus, RED, VP8, VP9, H264, AV1:
		return true
	}
	return false
}
