package guest

import (
	"fmt"
	"strings"

	"github.com/pion/sdp/v3"
)

// answerText turns pion's answer to the tame offer into the answer to the guest's: the sections that were left out come back
// as rejected ones, in the offer's order (RFC 3264 section 6).
func (o *offer) answerText(fromPion string) (string, error) {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(fromPion); err != nil {
		return "", fmt.Errorf("parse answer: %w", err)
	}
	byMID := map[string]*sdp.MediaDescription{}
	for _, m := range d.MediaDescriptions {
		mid, _ := m.Attribute(sdp.AttrKeyMID)
		byMID[mid] = m
	}
	d.MediaDescriptions = nil
	for i := range o.sections {
		s := &o.sections[i]
		m := byMID[s.mid]
		if !s.accepted {
			m = s.rejection()
		}
		if m == nil || s.accepted && m.MediaName.Port.Value == 0 {
			return "", fmt.Errorf("answer: section %d is missing", i)
		}
		d.MediaDescriptions = append(d.MediaDescriptions, m)
	}
	if !o.grouped {
		d.Attributes = without(d.Attributes, "group")
	}
	b, err := d.Marshal()
	if err != nil {
		return "", fmt.Errorf("write answer: %w", err)
	}
	return string(b), nil
}

// rejection returns the section with port zero.
func (s *section) rejection() *sdp.MediaDescription {
	m := &sdp.MediaDescription{
		MediaName: sdp.MediaName{
			Media: s.source.MediaName.Media, Protos: s.source.MediaName.Protos, Formats: s.source.MediaName.Formats,
		},
		ConnectionInformation: &sdp.ConnectionInformation{NetworkType: "IN", AddressType: "IP4", Address: &sdp.Address{Address: "0.0.0.0"}},
	}
	if len(m.MediaName.Formats) > 1 {
		m.MediaName.Formats = m.MediaName.Formats[:1]
	}
	if s.mid != "" {
		m.WithValueAttribute(sdp.AttrKeyMID, s.mid)
	}
	return m.WithPropertyAttribute("inactive")
}

func without(list []sdp.Attribute, key string) []sdp.Attribute {
	var kept []sdp.Attribute
	for _, a := range list {
		if a.Key != key {
			kept = append(kept, a)
		}
	}
	return kept
}

// restartFragment writes the answer to an ICE restart (RFC 9725 section 4.3.3) from pion's answer.
func (o *offer) restartFragment(fromPion string) (string, error) {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(fromPion); err != nil {
		return "", fmt.Errorf("parse answer: %w", err)
	}
	if len(d.MediaDescriptions) == 0 {
		return "", fmt.Errorf("parse answer: no media section")
	}
	m := d.MediaDescriptions[0] // pion puts the transport's candidates there
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("a=ice-options:trickle")
	if group, ok := d.Attribute("group"); ok && o.grouped {
		line("a=group:%s", group)
	}
	line("m=%s 9 UDP/TLS/RTP/SAVPF %s", m.MediaName.Media, strings.Join(m.MediaName.Formats[:1], " "))
	for _, a := range m.Attributes {
		switch a.Key {
		case "mid", "ice-ufrag", "ice-pwd", "candidate":
			line("a=%s:%s", a.Key, a.Value)
		}
	}
	line("a=end-of-candidates")
	return b.String(), nil
}
