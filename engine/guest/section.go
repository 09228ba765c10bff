package guest

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// URIs of RTP header extensions.
const (
	uriLevel       = "urn:ietf:params:rtp-hdrext:ssrc-audio-level" // RFC 6464
	uriMID         = "urn:ietf:params:rtp-hdrext:sdes:mid"         // RFC 9143
	uriRID         = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
	uriRepairedRID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
	uriOrientation = "urn:3gpp:video-orientation"
	uriDependency  = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
	uriTransportCC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
	uriSendTime    = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
)

// extensionsOf lists the header extensions that an answer accepts.
func extensionsOf(p purpose, kind string) []string {
	switch {
	case p == calling:
		return []string{uriLevel}
	case p == filming:
		return []string{uriMID, uriRID, uriRepairedRID, uriOrientation, uriDependency, uriTransportCC}
	case p.receives() && kind == kindAudio:
		return []string{uriLevel, uriMID, uriTransportCC, uriSendTime}
	case p.receives():
		return []string{uriMID, uriRID, uriRepairedRID, uriOrientation, uriDependency, uriTransportCC, uriSendTime}
	case kind == kindAudio:
		return []string{uriLevel}
	}
	return []string{uriOrientation, uriDependency}
}

// feedbackOf lists the RTCP feedback that an answer accepts.
func feedbackOf(p purpose, kind string) []webrtc.RTCPFeedback {
	list := []webrtc.RTCPFeedback{feedbackNACK}
	if kind == kindVideo {
		list = append(list, webrtc.RTCPFeedback{Type: "nack", Parameter: "pli"}, webrtc.RTCPFeedback{Type: "ccm", Parameter: "fir"})
	}
	switch p {
	case publishing:
		list = append(list, webrtc.RTCPFeedback{Type: "transport-cc"}, webrtc.RTCPFeedback{Type: "goog-remb"})
	case filming:
		list = append(list, webrtc.RTCPFeedback{Type: "transport-cc"})
	}
	return list
}

var feedbackNACK = webrtc.RTCPFeedback{Type: "nack"}

// announced returns the SSRCs that the section names, at most maxSSRCLines lines of them.
func (s *section) announced() (list []uint32) {
	n := 0
	for _, a := range s.source.Attributes {
		if a.Key != "ssrc" || n == maxSSRCLines {
			continue
		}
		n++
		number, _, _ := strings.Cut(a.Value, " ")
		if ssrc, err := strconv.ParseUint(number, 10, 32); err == nil && ssrc != 0 && !slices.Contains(list, uint32(ssrc)) {
			list = append(list, uint32(ssrc))
		}
	}
	return list
}

// readCodecs fills in the codecs that the section and rooms have in common. Of what the guest sends only the guest's first choice
// remains, so that the answer leaves no doubt about what comes.
func (s *section) readCodecs(p purpose) error {
	formats := s.source.MediaName.Formats
	if len(formats) > maxFormats {
		return badOffer("A media section has %d formats; send at most %d.", len(formats), maxFormats)
	}
	maps, fmtps := map[uint8]string{}, map[uint8]string{}
	for _, a := range s.source.Attributes {
		if a.Key != "rtpmap" && a.Key != "fmtp" {
			continue
		}
		number, rest, _ := strings.Cut(a.Value, " ")
		pt, ok := payloadType(number)
		if !ok {
			return badOffer("The offer has a malformed a=%s line; payload types are numbers from 0 to 127.", a.Key)
		}
		if a.Key == "rtpmap" {
			maps[pt] = strings.TrimSpace(rest)
		} else {
			fmtps[pt] = strings.TrimSpace(rest)
		}
	}
	var found []codec
	rtx := map[uint8]uint8{} // by the payload type that is repaired
	for _, f := range formats {
		pt, ok := payloadType(f)
		if !ok || pt >= 64 && pt < 96 || slices.ContainsFunc(found, func(c codec) bool { return c.pt == pt }) {
			continue // with the marker set, 64 to 95 would be taken for RTCP (RFC 5761 section 4)
		}
		encoding, clockRate, channels, ok := rtpmap(s.kind, maps[pt])
		if !ok {
			continue
		}
		if strings.EqualFold(encoding, "rtx") {
			if apt, ok := payloadType(parameter(fmtps[pt], "apt", "")); ok && rtx[apt] == 0 {
				rtx[apt] = pt
			}
			continue
		}
		name, ok := roomCodec(s.kind, encoding, clockRate, channels, fmtps[pt])
		if !ok {
			continue
		}
		c := codec{name: name, encoding: encoding, pt: pt, clockRate: clockRate, channels: channels, fmtp: fmtps[pt]}
		if name == codecRED {
			c.primary = redPrimary(c.fmtp)
		}
		found = append(found, c)
	}
	found = slices.DeleteFunc(found, func(c codec) bool {
		return c.name == codecRED && !slices.ContainsFunc(found, func(o codec) bool { return o.name == codecOpus && o.pt == c.primary })
	})
	if p == calling {
		// RED, which repairs losses on his way here, before the Opus that it holds.
		slices.SortStableFunc(found, func(a, b codec) int { return strings.Compare(b.name, a.name) })
	}
	if p.receives() && len(found) > 0 {
		first := found[0]
		found = slices.DeleteFunc(found, func(c codec) bool { return c.pt != first.pt && c.pt != first.primary })
	}
	for i := range found {
		c := &found[i]
		c.feedback = s.feedback(c.pt, p)
		if (p == publishing || p == filming) && s.kind == kindVideo {
			c.rtx = rtx[c.pt]
		}
	}
	s.codecs = found
	return nil
}

// rtpmap reads "opus/48000/2".
func rtpmap(kind, value string) (encoding string, clockRate uint32, channels uint16, ok bool) {
	parts := strings.Split(value, "/")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" {
		return "", 0, 0, false
	}
	rate, err := strconv.ParseUint(parts[1], 10, 32)
	if err != nil {
		return "", 0, 0, false
	}
	if kind == kindAudio {
		channels = 1
	}
	if len(parts) == 3 {
		n, err := strconv.ParseUint(parts[2], 10, 16)
		if err != nil {
			return "", 0, 0, false
		}
		channels = uint16(n)
	}
	return parts[0], uint32(rate), channels, true
}

// feedback returns the RTCP feedback that is both offered for the payload type and accepted.
func (s *section) feedback(pt uint8, p purpose) []webrtc.RTCPFeedback {
	var list []webrtc.RTCPFeedback
	for _, want := range feedbackOf(p, s.kind) {
		for _, a := range s.source.Attributes {
			fields := strings.Fields(a.Value)
			if a.Key != "rtcp-fb" || len(fields) < 2 || fields[0] != "*" && fields[0] != strconv.Itoa(int(pt)) {
				continue
			}
			if fields[1] == want.Type && strings.Join(fields[2:], " ") == want.Parameter {
				list = append(list, want)
				break
			}
		}
	}
	return list
}

// readExtensions fills in the ids of the header extensions.
func (s *section) readExtensions(p purpose) {
	s.ext = map[string]uint8{}
	known := extensionsOf(p, s.kind)
	for _, a := range s.source.Attributes {
		fields := strings.Fields(a.Value)
		if a.Key != sdp.AttrKeyExtMap || len(fields) < 2 || !slices.Contains(known, fields[1]) {
			continue
		}
		number, _, _ := strings.Cut(fields[0], "/")
		id, err := strconv.ParseUint(number, 10, 8)
		if err != nil || id == 0 || id == 15 {
			continue
		}
		if _, twice := s.ext[fields[1]]; !twice {
			s.ext[fields[1]] = uint8(id)
		}
	}
	if p == filming && s.codecs[0].rtx == 0 {
		// Without a stream for retransmissions a browser that looks for bandwidth pads the stream of its pictures, whose numbers then have
		// holes for all who wait for them.
		delete(s.ext, uriTransportCC)
		c := &s.codecs[0]
		c.feedback = slices.DeleteFunc(c.feedback, func(f webrtc.RTCPFeedback) bool { return f.Type == "transport-cc" })
	}
}

// repairs returns which SSRC the retransmissions of another one have (RFC 5888, FID groups), by that of the retransmissions.
func (s *section) repairs() map[uint32]uint32 {
	found := map[uint32]uint32{}
	n := 0
	for _, a := range s.source.Attributes {
		if a.Key != "ssrc-group" || n == maxSSRCLines {
			continue
		}
		n++
		f := strings.Fields(a.Value)
		if len(f) != 3 || f[0] != "FID" {
			continue
		}
		media, err := strconv.ParseUint(f[1], 10, 32)
		repair, err2 := strconv.ParseUint(f[2], 10, 32)
		if err == nil && err2 == nil {
			found[uint32(repair)] = uint32(media)
		}
	}
	return found
}
