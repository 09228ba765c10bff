package bench

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// Payload types of offers.
const (
	ptOpus = 111
	ptVP8  = 96
)

// levelExtension is the id of the header extension for audio levels (RFC 6464) in offers.
const (
	levelExtension = 1
	uriLevel       = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
)

// offer is what an endpoint offers.
type offer struct {
	send        bool // publishes or takes part in a conference, else it watches
	call        bool // takes part in a conference
	media       [kinds]bool
	ssrc        [kinds]uint32
	ufrag, pwd  string
	fingerprint [sha256.Size]byte
	candidates  []netip.AddrPort
}

// text writes the offer as browsers do: one transport for everything (RFC 9143), all candidates in it.
func (o *offer) text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	var mids []string
	for k, has := range o.media {
		if has {
			mids = append(mids, strconv.Itoa(k))
		}
	}
	line("v=0\r\no=- %d 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0", o.ssrc[audio])
	line("a=group:BUNDLE %s", strings.Join(mids, " "))
	line("a=msid-semantic: WMS *")
	print := strings.ToUpper(hex.EncodeToString(o.fingerprint[:]))
	for i := len(print) - 2; i > 0; i -= 2 {
		print = print[:i] + ":" + print[i:]
	}
	direction := "recvonly"
	switch {
	case o.call:
		direction = "sendrecv"
	case o.send:
		direction = "sendonly"
	}
	for k, has := range o.media {
		if !has {
			continue
		}
		if kind(k) == audio {
			line("m=audio 9 UDP/TLS/RTP/SAVPF %d", ptOpus)
		} else {
			line("m=video 9 UDP/TLS/RTP/SAVPF %d", ptVP8)
		}
		line("c=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0")
		for i, c := range o.candidates {
			line("a=candidate:%d 1 udp %d %s %d typ host generation 0", i+1, priority(i), c.Addr(), c.Port())
		}
		line("a=end-of-candidates")
		line("a=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=ice-options:trickle", o.ufrag, o.pwd)
		line("a=fingerprint:sha-256 %s\r\na=setup:actpass\r\na=mid:%d\r\na=%s", print, k, direction)
		if o.send {
			line("a=msid:bench bench-%d", k)
		}
		line("a=rtcp-mux\r\na=rtcp-rsize")
		if kind(k) == audio {
			line("a=rtpmap:%d opus/48000/2\r\na=fmtp:%d minptime=10;useinbandfec=1", ptOpus, ptOpus)
			if o.call {
				line("a=rtcp-fb:%d transport-cc\r\na=extmap:%d %s", ptOpus, levelExtension, uriLevel)
			}
		} else {
			line("a=rtpmap:%d VP8/90000", ptVP8)
			for _, fb := range []string{"ccm fir", "nack", "nack pli"} {
				line("a=rtcp-fb:%d %s", ptVP8, fb)
			}
		}
		if o.send {
			line("a=ssrc:%d cname:bench\r\na=ssrc:%d msid:bench bench-%d", o.ssrc[k], o.ssrc[k], k)
		}
	}
	return b.String()
}

// priority is that of the host candidate i (RFC 8445 section 5.1.2.1).
func priority(i int) uint32 { return 126<<24 | uint32(65535-i)<<8 | 255 }

// answer is what a server answered.
type answer struct {
	ufrag, pwd string
	// algorithm and fingerprint of the server's certificate.
	algorithm   string
	fingerprint []byte
	client      bool // the server is the DTLS client
	candidates  []netip.AddrPort
	pt          [kinds]uint8 // 0: refused
	levels      bool         // audio levels are taken
}

const maxAnswer = 256 << 10 // octets

var (
	errNoSDP       = errors.New("the server's answer is no session description: check that the address is one for WHIP or WHEP")
	errNoTransport = errors.New("the server's answer lacks ICE or DTLS parameters: check that it speaks WebRTC")
	errNoMedia     = errors.New("the server takes nothing of what was offered (Opus, VP8): choose a room that carries these")
)

// parseAnswer reads an answer. Errors are sentences for people.
func parseAnswer(text string) (*answer, error) {
	var d sdp.SessionDescription
	if len(text) > maxAnswer || d.UnmarshalString(text) != nil || len(d.MediaDescriptions) == 0 {
		return nil, errNoSDP
	}
	a := &answer{}
	for _, m := range d.MediaDescriptions {
		look := func(key string) string {
			if v, ok := m.Attribute(key); ok {
				return v
			}
			v, _ := d.Attribute(key)
			return v
		}
		_, bundled := m.Attribute("bundle-only")
		if m.MediaName.Port.Value == 0 && !bundled {
			continue
		}
		if _, off := m.Attribute("inactive"); off {
			continue
		}
		for k := range kinds {
			if m.MediaName.Media != k.String() || len(m.MediaName.Formats) == 0 {
				continue
			}
			if pt, err := strconv.ParseUint(m.MediaName.Formats[0], 10, 7); err == nil {
				a.pt[k] = uint8(pt)
			}
		}
		if a.ufrag == "" {
			a.ufrag, a.pwd = look("ice-ufrag"), look("ice-pwd")
			a.client = look("setup") == "active"
			a.algorithm, a.fingerprint = parseFingerprint(look("fingerprint"))
		}
		for _, at := range slices.Concat(d.Attributes, m.Attributes) {
			if at.Key == "extmap" && m.MediaName.Media == audio.String() && at.Value == fmt.Sprintf("%d %s", levelExtension, uriLevel) {
				a.levels = true
			}
			if at.Key != "candidate" {
				continue
			}
			if c, ok := parseCandidate(at.Value); ok && !slices.Contains(a.candidates, c) && len(a.candidates) < maxCandidates {
				a.candidates = append(a.candidates, c)
			}
		}
	}
	switch {
	case a.pt == [kinds]uint8{}:
		return nil, errNoMedia
	case a.ufrag == "" || a.pwd == "" || a.fingerprint == nil:
		return nil, errNoTransport
	}
	return a, nil
}

const maxCandidates = 16

// parseCandidate reads a UDP candidate with an IP address (RFC 8839 section 5.1).
func parseCandidate(s string) (netip.AddrPort, bool) {
	f := strings.Fields(s)
	if len(f) < 8 || f[1] != "1" || !strings.EqualFold(f[2], "udp") {
		return netip.AddrPort{}, false
	}
	addr, err := netip.ParseAddr(f[4])
	port, err2 := strconv.ParseUint(f[5], 10, 16)
	if err != nil || err2 != nil || port == 0 || addr.IsUnspecified() || addr.IsMulticast() || addr.Zone() != "" {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), true
}

// parseFingerprint reads "sha-256 AB:CD:...".
func parseFingerprint(s string) (string, []byte) {
	algorithm, digits, ok := strings.Cut(strings.TrimSpace(s), " ")
	if !ok {
		return "", nil
	}
	b, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(digits), ":", ""))
	if err != nil || len(b) == 0 {
		return "", nil
	}
	return strings.ToLower(algorithm), b
}
