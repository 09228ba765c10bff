package guest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"

	"github.com/castd/castd/engine"
)

// Limits of what a guest may offer.
const (
	maxOffer     = 64 << 10 // octets
	maxSections  = 8
	maxSlots     = 12 // sections of a call in which he is sent video
	maxSSRCLines = 64 // in a section
	maxFormats   = 128
)

// Kinds of sections.
const (
	kindAudio = "audio"
	kindVideo = "video"
	kindData  = "application"
)

// purpose is what an offer is for.
type purpose uint8

const (
	publishing purpose = iota
	watching
	calling
	filming // of a section of a call: his own video
)

// receives reports whether the guest's media is taken.
func (p purpose) receives() bool { return p != watching }

// sections returns how many sections an offer may have.
func (p purpose) sections() int {
	if p == calling {
		return maxSections + maxSlots
	}
	return maxSections
}

// section is one media description of an offer.
type section struct {
	source   *sdp.MediaDescription
	kind     string // as its m-line names it
	mid      string
	accepted bool
	use      purpose          // the offer's; of video in a call filming, or watching
	codecs   []codec          // what the room and the guest have in common, in the guest's order, without RTX
	ext      map[string]uint8 // ids of RTP header extensions that the answer accepts, by URI
	rid      string           // of the encoding that was chosen, where there are several
	// encodings are the rids of all that are taken, of his own video in a call
	encodings []string
}

// offer is a checked offer.
type offer struct {
	purpose  purpose
	source   *sdp.SessionDescription
	sections []section // all of them, in the offer's order
	setup    string    // "actpass", "active", "passive"
	ufrag    string
	pwd      string
	grouped  bool // has a BUNDLE group
	mixed    bool // takes one- and two-octet header extensions mixed (RFC 8285)
	// candidates are all those of the section whose transport is used; the session takes what it may of them.
	candidates []string
}

func badOffer(format string, args ...any) error {
	return engine.NewUserError(engine.CodeBadOffer, fmt.Sprintf(format, args...))
}

// parseOffer reads and checks an offer. Errors are of type *engine.UserError.
func parseOffer(text string, p purpose) (*offer, error) {
	if len(text) > maxOffer {
		return nil, badOffer("The offer has %d octets; send at most %d.", len(text), maxOffer)
	}
	if strings.TrimSpace(text) == "" {
		return nil, badOffer("The request has no body; send an SDP offer.")
	}
	o := &offer{purpose: p, source: &sdp.SessionDescription{}}
	if err := o.source.UnmarshalString(text); err != nil {
		return nil, badOffer("The body is not a session description; send the SDP of an offer as the browser or encoder made it.")
	}
	if n := len(o.source.MediaDescriptions); n == 0 || n > p.sections() {
		return nil, badOffer("The offer has %d media sections; send 1 to %d.", n, p.sections())
	}
	_, o.mixed = o.source.Attribute(sdp.AttrKeyExtMapAllowMixed)
	o.sections = make([]section, len(o.source.MediaDescriptions))
	for i, m := range o.source.MediaDescriptions {
		s := &o.sections[i]
		s.source, s.kind = m, strings.ToLower(m.MediaName.Media)
		s.mid, _ = m.Attribute(sdp.AttrKeyMID)
	}
	if err := o.selectSections(); err != nil {
		return nil, err
	}
	if err := o.readTransport(); err != nil {
		return nil, err
	}
	return o, nil
}

// selectSections accepts at most one audio and one video section: the first of each that has the right direction and a codec
// in common with rooms. In a call that is his own video, and up to maxSlots others are for that of others.
func (o *offer) selectSections() error {
	var usable, codecless, slots int
	taken := map[string]bool{}
	mids := map[string]bool{}
	for i := range o.sections {
		s := &o.sections[i]
		if s.mid != "" && mids[s.mid] || len(s.mid) > 64 {
			return badOffer("Two media sections have the same a=mid, or one is too long; give each its own of at most 64 characters.")
		}
		mids[s.mid] = true
		var ok bool
		if s.use, ok = o.useOf(s, taken[s.kind]); !ok || s.use != o.purpose && s.use == watching && slots == maxSlots {
			continue
		}
		usable++
		if s.mid == "" || strings.ContainsAny(s.mid, " \t") {
			return badOffer("A media section has no usable a=mid; give each section one.")
		}
		if s.kind == kindData {
			s.accepted, taken[s.kind] = s.dataChannel(), true
			continue
		}
		if err := s.readCodecs(s.use); err != nil {
			return err
		}
		if len(s.codecs) == 0 {
			codecless++
			continue
		}
		if _, ok := s.source.Attribute("rtcp-mux"); !ok {
			return badOffer("A media section has no a=rtcp-mux; offer RTP and RTCP on one port.")
		}
		s.readExtensions(s.use)
		switch rids := encodingsOf(s.source); {
		case len(rids) == 0:
		case s.use == publishing:
			s.rid = rids[0]
		case s.use == filming:
			s.encodings = rids[:min(len(rids), maxEncodings)]
		}
		s.accepted = true
		if s.use != o.purpose && s.use == watching {
			slots++
		} else {
			taken[s.kind] = true
		}
	}
	switch {
	case taken[kindAudio], taken[kindVideo] && o.purpose != calling:
		o.dropMID()
		return nil
	case codecless > 0 && o.purpose == calling:
		return engine.NewUserError(engine.CodeNoCommonCodec, "None of the offered codecs can be mixed; offer Opus with 48000 Hz and 2 channels.")
	case o.purpose == calling:
		return badOffer("Nothing in the offer both sends and receives sound; offer an audio section with a=sendrecv.")
	case codecless > 0 && codecless == usable:
		return engine.NewUserError(engine.CodeNoCommonCodec,
			"None of the offered codecs can be used; offer Opus for audio, and VP8, VP9, H264 with packetization-mode=1, or AV1 for video.")
	case o.purpose == publishing:
		return badOffer("Nothing in the offer sends media; offer an audio or video section with a=sendonly.")
	}
	return badOffer("Nothing in the offer receives media; offer an audio or video section with a=recvonly.")
}

// dropMID takes the MID header extension back where a source did not announce its streams (neither a=ssrc nor a=rid): pion
// then finds their sections by payload type, which with the extension it does not try.
func (o *offer) dropMID() {
	unannounced, encodings := false, false
	for i := range o.sections {
		s := &o.sections[i]
		if !s.accepted || s.kind == kindData {
			continue
		}
		_, announced := s.source.Attribute("ssrc")
		encodings = encodings || s.rid != ""
		unannounced = unannounced || !announced && s.rid == ""
	}
	if o.purpose != publishing || !unannounced || encodings {
		return
	}
	for i := range o.sections {
		delete(o.sections[i].ext, uriMID)
	}
}

// useOf returns what a section is for, if it is of use. taken says that there is one of its kind already.
func (o *offer) useOf(s *section, taken bool) (purpose, bool) {
	sends, receives := o.directions(s)
	switch {
	case s.kind == kindData:
		return o.purpose, o.purpose == calling && !taken && sends && receives
	case s.kind != kindAudio && s.kind != kindVideo:
		return o.purpose, false
	case o.purpose == publishing:
		return o.purpose, sends && !taken
	case o.purpose == watching:
		return o.purpose, receives && !taken
	case s.kind == kindAudio:
		return o.purpose, sends && receives && !taken
	case sends && !taken:
		return filming, true
	}
	return watching, receives
}

// dataChannel reports whether the section is for data channels (RFC 8841).
func (s *section) dataChannel() bool {
	f := s.source.MediaName.Formats
	return len(f) == 1 && f[0] == formatData
}

// formatData is the format of sections for data channels.
const formatData = "webrtc-datachannel"

// directions reports whether the guest sends and receives in the section.
func (o *offer) directions(s *section) (sends, receives bool) {
	_, bundleOnly := s.source.Attribute("bundle-only")
	if s.source.MediaName.Port.Value == 0 && !bundleOnly {
		return false, false
	}
	direction := "sendrecv"
	for _, list := range [][]sdp.Attribute{o.source.Attributes, s.source.Attributes} {
		for _, a := range list {
			switch a.Key {
			case "sendrecv", "sendonly", "recvonly", "inactive":
				direction = a.Key
			}
		}
	}
	return direction == "sendrecv" || direction == "sendonly", direction == "sendrecv" || direction == "recvonly"
}

// maxEncodings is how many encodings of a guest's video are taken in a call.
const maxEncodings = 3

// encodingsOf returns the rids of a simulcast offer's encodings (RFC 8853) in their order, without those that begin paused.
func encodingsOf(m *sdp.MediaDescription) []string {
	rids := map[string]bool{}
	var all, found []string
	for _, a := range m.Attributes {
		if a.Key != "rid" {
			continue
		}
		if id, direction, _ := strings.Cut(a.Value, " "); strings.HasPrefix(direction, "send") && id != "" && len(id) <= 255 && !rids[id] {
			rids[id] = true
			all = append(all, id)
		}
	}
	list, ok := m.Attribute("simulcast")
	if !ok {
		return all
	}
	list = strings.TrimPrefix(list, "send ")
	for id := range strings.FieldsFuncSeq(list, func(r rune) bool { return r == ';' || r == ',' || r == ' ' }) {
		if rids[id] && !slices.Contains(found, id) { // a paused one begins with '~'
			found = append(found, id)
		}
	}
	if len(found) == 0 {
		return all
	}
	return found
}

// readTransport finds the ICE credentials, the DTLS role and the candidates of the transport that all accepted sections share.
func (o *offer) readTransport() error {
	group, ok := o.source.Attribute("group")
	var members []string
	if fields := strings.Fields(group); ok && len(fields) > 0 && fields[0] == "BUNDLE" {
		o.grouped, members = true, fields[1:]
	}
	var tag *section // carries the transport: the first accepted one in the group's order (RFC 9143 section 7.3.1)
	accepted, best := 0, 0
	for i := range o.sections {
		s := &o.sections[i]
		if !s.accepted {
			continue
		}
		accepted++
		place := slices.Index(members, s.mid)
		if o.grouped && place < 0 {
			return badOffer("The BUNDLE group does not name all media sections; offer all of them on one transport.")
		}
		if tag == nil || place < best {
			tag, best = s, place
		}
	}
	if !o.grouped && accepted > 1 {
		return badOffer("The offer has no BUNDLE group; offer all media sections on one transport (a=group:BUNDLE).")
	}
	look := func(key string) string {
		if v, ok := tag.source.Attribute(key); ok {
			return v
		}
		if v, ok := o.source.Attribute(key); ok {
			return v
		}
		for i := range o.sections { // sections of a group may leave to one what is common to all
			if v, ok := o.sections[i].source.Attribute(key); ok {
				return v
			}
		}
		return ""
	}
	o.ufrag, o.pwd, o.setup = look("ice-ufrag"), look("ice-pwd"), look("setup")
	if !validCredentials(o.ufrag, o.pwd) {
		return badOffer("The offer has no valid a=ice-ufrag and a=ice-pwd; send an offer for WebRTC.")
	}
	if len(strings.Fields(look("fingerprint"))) != 2 {
		return badOffer("The offer has no a=fingerprint; send an offer with DTLS-SRTP.")
	}
	switch o.setup {
	case "actpass", "active", "passive":
	case "":
		o.setup = "actpass"
	default:
		return badOffer("The offer has an unknown a=setup; send a=setup:actpass.")
	}
	for _, a := range tag.source.Attributes {
		if a.Key == "candidate" && !slices.Contains(o.candidates, a.Value) {
			o.candidates = append(o.candidates, a.Value)
		}
	}
	return nil
}

// validCredentials applies the lengths and characters of RFC 8839 section 5.4.
func validCredentials(ufrag, pwd string) bool {
	return len(ufrag) >= 4 && len(ufrag) <= 256 && len(pwd) >= 22 && len(pwd) <= 256 && iceChars(ufrag) && iceChars(pwd)
}

func iceChars(s string) bool {
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '+', r == '/':
		case r == '-', r == '_', r == '=': // outside the grammar, but in use
		default:
			return false
		}
	}
	return true
}

// camera returns the accepted section of a call with the guest's own video, or nil.
func (o *offer) camera() *section {
	for i := range o.sections {
		if o.sections[i].accepted && o.sections[i].use == filming {
			return &o.sections[i]
		}
	}
	return nil
}

// slots returns the accepted sections of a call in which the guest is sent video.
func (o *offer) slots() (list []*section) {
	for i := range o.sections {
		if s := &o.sections[i]; s.accepted && s.use == watching && o.purpose == calling {
			list = append(list, s)
		}
	}
	return list
}

// accepted returns the accepted section of the kind, or nil.
func (o *offer) accepted(kind string) *section {
	for i := range o.sections {
		if o.sections[i].accepted && o.sections[i].kind == kind {
			return &o.sections[i]
		}
	}
	return nil
}

// payloadType reads a payload type of an offer.
func payloadType(s string) (uint8, bool) {
	n, err := strconv.ParseUint(s, 10, 7)
	return uint8(n), err == nil
}
