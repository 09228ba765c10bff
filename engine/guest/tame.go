package guest

import (
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// passed reports whether an attribute of a section is handed to pion as it is.
func passed(key string) bool {
	switch key {
	case "mid", "rtcp-mux", "rtcp-rsize", "setup", "fingerprint", "msid", "end-of-candidates":
		return true
	}
	return false
}

// tame writes the accepted part of the offer anew, as pion is to see it, with the ICE parameters given: one section for each
// accepted one, with nothing in it that this package did not look at.
//
// sources are SSRCs of streams that have come without having been offered; pion would end them at a renegotiation that does
// not name them.
func (o *offer) tame(ufrag, pwd string, candidates []string, version uint64, sources map[string]uint32) (string, error) {
	d := &sdp.SessionDescription{
		Origin: sdp.Origin{
			Username: "-", SessionID: 1, SessionVersion: version, NetworkType: "IN", AddressType: "IP4", UnicastAddress: "127.0.0.1",
		},
		SessionName:      "-",
		TimeDescriptions: []sdp.TimeDescription{{}},
	}
	if o.mixed {
		d.WithPropertyAttribute(sdp.AttrKeyExtMapAllowMixed)
	}
	for _, key := range []string{"fingerprint", "ice-lite"} {
		if v, ok := o.source.Attribute(key); ok {
			d.Attributes = append(d.Attributes, sdp.Attribute{Key: key, Value: v})
		}
	}
	d.WithValueAttribute("ice-options", "trickle")
	group := "BUNDLE"
	for i := range o.sections {
		s := &o.sections[i]
		if !s.accepted {
			continue
		}
		group += " " + s.mid
		m := s.tame(o, sources[s.kind])
		m.WithICECredentials(ufrag, pwd)
		if len(d.MediaDescriptions) == 0 {
			for _, c := range candidates {
				m.WithValueAttribute("candidate", c)
			}
		}
		d.MediaDescriptions = append(d.MediaDescriptions, m)
	}
	d.WithValueAttribute("group", group)
	b, err := d.Marshal()
	return string(b), err
}

func (s *section) tame(o *offer, ssrc uint32) *sdp.MediaDescription {
	m := &sdp.MediaDescription{
		MediaName: sdp.MediaName{
			Media: s.kind, Port: sdp.RangedPort{Value: 9}, Protos: []string{"UDP", "TLS", "RTP", "SAVPF"},
		},
		ConnectionInformation: &sdp.ConnectionInformation{NetworkType: "IN", AddressType: "IP4", Address: &sdp.Address{Address: "0.0.0.0"}},
	}
	s.tameTransport(m, o)
	for i := range s.codecs {
		s.codecs[i].describe(m)
	}
	for _, uri := range extensionsOf(o.purpose, s.kind) {
		if id := s.ext[uri]; id != 0 {
			m.WithValueAttribute(sdp.AttrKeyExtMap, strconv.Itoa(int(id))+" "+uri)
		}
	}
	if o.purpose == watching {
		return m.WithPropertyAttribute("recvonly")
	}
	s.describeSources(m, ssrc)
	return m.WithPropertyAttribute("sendonly")
}

// tameTransport appends the lines of the transport and those that pass as they are.
func (s *section) tameTransport(m *sdp.MediaDescription, o *offer) {
	for _, a := range s.source.Attributes {
		if passed(a.Key) {
			m.Attributes = append(m.Attributes, a)
		}
	}
	if _, ok := m.Attribute("fingerprint"); !ok {
		// The transport's fingerprint may stand in another section of the group.
		for i := range o.sections {
			if v, ok := o.sections[i].source.Attribute("fingerprint"); ok {
				m.WithValueAttribute("fingerprint", v)
				break
			}
		}
	}
	if _, ok := m.Attribute("setup"); !ok {
		m.WithValueAttribute("setup", o.setup)
	}
}

// describe appends the lines of the codec and its retransmissions.
func (c *codec) describe(m *sdp.MediaDescription) {
	m.WithCodec(c.pt, c.encoding, c.clockRate, c.channels, c.fmtp)
	for _, f := range c.feedback {
		m.WithValueAttribute("rtcp-fb", strings.TrimSpace(strconv.Itoa(int(c.pt))+" "+f.Type+" "+f.Parameter))
	}
	if c.rtx != 0 {
		m.WithCodec(c.rtx, "rtx", c.clockRate, 0, "apt="+strconv.Itoa(int(c.pt)))
	}
}

// describeSources appends the lines that tell pion which RTP streams to expect: the SSRCs, or the one encoding that was
// chosen of a simulcast offer.
func (s *section) describeSources(m *sdp.MediaDescription, ssrc uint32) {
	if s.rid != "" {
		if _, ok := m.Attribute("msid"); !ok {
			m.WithValueAttribute("msid", "- "+s.kind)
		}
		m.WithValueAttribute("rid", s.rid+" send")
		m.WithValueAttribute("simulcast", "send "+s.rid)
		return
	}
	n := 0
	for _, a := range s.source.Attributes {
		if a.Key != "ssrc" && a.Key != "ssrc-group" || n == maxSSRCLines {
			continue
		}
		if !numeric(strings.TrimPrefix(strings.TrimPrefix(a.Value, "FID "), "FEC-FR ")) {
			continue
		}
		n++
		m.Attributes = append(m.Attributes, a)
	}
	if n == 0 && ssrc != 0 {
		m.WithValueAttribute("ssrc", strconv.FormatUint(uint64(ssrc), 10)+" cname:guest")
	}
}

// numeric reports whether s begins with a digit, as an SSRC does.
func numeric(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }
