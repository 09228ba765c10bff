package guest

import (
	"strconv"
	"strings"

	"github.com/pion/webrtc/v4"

	"github.com/castd/castd/engine"
)

// Names of codecs, as engine.StreamConfig has them.
const (
	codecOpus = "opus"
	codecRED  = "red"
	codecVP8  = "vp8"
	codecVP9  = "vp9"
	codecH264 = "h264"
	codecAV1  = "av1"
)

// codec is one payload format of an offer that a room can carry.
type codec struct {
	name      string // lower case
	encoding  string // as the offer spells it
	pt        uint8
	clockRate uint32
	channels  uint16
	fmtp      string
	feedback  []webrtc.RTCPFeedback
	rtx       uint8 // payload type of its retransmissions (RFC 4588), 0 for none
	primary   uint8 // RED: payload type of the Opus inside it
}

// roomCodec returns the name under which a room carries the format, or false if it does not. Parameters follow RFC 7587
// (Opus), RFC 2198 (RED), RFC 7741 (VP8), RFC 9628 (VP9), RFC 6184 (H.264) and the AV1 RTP specification.
func roomCodec(kind, encoding string, clockRate uint32, channels uint16, fmtp string) (string, bool) {
	name := strings.ToLower(encoding)
	switch {
	case kind == kindAudio && (name == codecOpus || name == codecRED):
		return name, clockRate == 48000 && channels == 2
	case kind != kindVideo || clockRate != 90000:
		return "", false
	case name == codecVP8:
		return name, true
	case name == codecVP9:
		profile := parameter(fmtp, "profile-id", "0")
		return name, profile == "0" || profile == "2"
	case name == codecAV1:
		return name, parameter(fmtp, "profile", "0") == "0"
	case name == codecH264:
		return name, parameter(fmtp, "packetization-mode", "0") == "1" && knownH264Profile(h264Profile(fmtp))
	}
	return "", false
}

// parameter returns the value of a format parameter, or otherwise where it is absent.
func parameter(fmtp, key, otherwise string) string {
	for p := range strings.SplitSeq(fmtp, ";") {
		k, v, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(k), key) {
			return strings.TrimSpace(v)
		}
	}
	return otherwise
}

// h264Profile returns profile_idc and profile-iop as four hexadecimal digits in lower case (RFC 6184 section 8.1).
func h264Profile(fmtp string) string {
	id := strings.ToLower(parameter(fmtp, "profile-level-id", "42000a"))
	if len(id) != 6 {
		return ""
	}
	return id[:4]
}

// knownH264Profile reports whether browsers decode the profile: Baseline, Main, High, each also constrained.
func knownH264Profile(profile string) bool {
	if len(profile) != 4 {
		return false
	}
	switch profile[:2] {
	case "42", "4d", "64":
		_, err := strconv.ParseUint(profile[2:], 16, 8)
		return err == nil
	}
	return false
}

// choice says how packets of a stream reach a viewer.
type choice struct {
	pt     uint8
	unwrap bool // send the primary frame out of RED
}

// choose picks, among the codecs that a viewer offered, the one for a stream of the room.
func choose(offered []codec, st *engine.StreamState) (choice, bool) {
	name := strings.ToLower(st.Codec)
	if name == codecRED {
		return chooseRED(offered, st)
	}
	best, score := choice{}, 0
	for _, c := range offered {
		if s := fit(&c, name, st.Fmtp); s > score {
			best, score = choice{pt: c.pt}, s
		}
	}
	return best, score > 0
}

// fit scores how well a viewer's codec suits a stream; 0 means not at all.
func fit(c *codec, name, fmtp string) int {
	if c.name != name {
		return 0
	}
	switch name {
	case codecVP9:
		if parameter(c.fmtp, "profile-id", "0") != parameter(fmtp, "profile-id", "0") {
			return 0
		}
	case codecH264:
		// Decoders take what they did not announce: encoders often misstate their profile, so none is refused.
		want, have := h264Profile(fmtp), h264Profile(c.fmtp)
		switch {
		case want == have:
			return 3
		case len(want) == 4 && len(have) == 4 && want[:2] == have[:2]:
			return 2
		}
		return 1
	}
	return 3
}

// chooseRED passes RED through where the viewer names the Opus inside by the same payload type as the publisher did, since
// that number is part of the payload; others get the Opus out of it.
func chooseRED(offered []codec, st *engine.StreamState) (choice, bool) {
	primary := redPrimary(st.Fmtp)
	for _, c := range offered {
		if c.name == codecRED && c.primary == primary {
			return choice{pt: c.pt}, true
		}
	}
	for _, c := range offered {
		if c.name == codecOpus {
			return choice{pt: c.pt, unwrap: true}, true
		}
	}
	return choice{}, false
}

// redPrimary reads the payload type of the frames inside RED from its format parameter, such as "111/111"; 0 if unreadable.
func redPrimary(fmtp string) uint8 {
	first, _, _ := strings.Cut(strings.TrimSpace(fmtp), "/")
	pt, err := strconv.ParseUint(first, 10, 7)
	if err != nil {
		return 0
	}
	return uint8(pt)
}
