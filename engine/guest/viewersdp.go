package guest

import (
	"crypto"
	_ "crypto/sha512" // SHA-384 and SHA-512 of fingerprints
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/pion/dtls/v3"
	"github.com/pion/sdp/v3"

	"github.com/castd/castd/engine/checks"
	"github.com/castd/castd/engine/secure"
)

// viewerActive reports whether this side is the DTLS client. Whoever sends media is better the server, which may send half a round
// trip earlier.
func (o *offer) viewerActive() bool { return o.setup == "passive" }

// viewerAnswer writes the complete answer to a viewer: sections that were left out come back as rejected ones, in the offer's order
// (RFC 3264 section 6). ssrcs are this side's, by a=mid.
func (o *offer) viewerAnswer(own checks.Credentials, candidates []string, fingerprint [32]byte, ssrcs map[string]uint32) (string, error) {
	d := &sdp.SessionDescription{
		Origin:      sdp.Origin{Username: "-", SessionID: 1, SessionVersion: 1, NetworkType: "IN", AddressType: "IP4", UnicastAddress: "127.0.0.1"},
		SessionName: "-", TimeDescriptions: []sdp.TimeDescription{{}},
	}
	if o.mixed {
		d.WithPropertyAttribute(sdp.AttrKeyExtMapAllowMixed)
	}
	d.WithValueAttribute("ice-options", "trickle")
	group := "BUNDLE"
	first := true
	for i := range o.sections {
		s := &o.sections[i]
		if !s.accepted {
			d.MediaDescriptions = append(d.MediaDescriptions, s.rejection())
			continue
		}
		group += " " + s.mid
		m := s.viewerSection(o.purpose, ssrcs[s.mid])
		setup := "passive"
		if o.viewerActive() {
			setup = "active"
		}
		m.WithICECredentials(own.Ufrag, own.Password)
		m.WithValueAttribute("fingerprint", secure.FormatFingerprint(fingerprint))
		m.WithValueAttribute("setup", setup)
		if first {
			for _, c := range candidates {
				m.WithValueAttribute("candidate", c)
			}
			m.WithPropertyAttribute("end-of-candidates")
			first = false
		}
		d.MediaDescriptions = append(d.MediaDescriptions, m)
	}
	if o.grouped {
		d.WithValueAttribute("group", group)
	}
	b, err := d.Marshal()
	if err != nil {
		return "", fmt.Errorf("write answer: %w", err)
	}
	return string(b), nil
}

// viewerSection is what an accepted section is answered by, but for the transport.
func (s *section) viewerSection(p purpose, ssrc uint32) *sdp.MediaDescription {
	if s.kind == kindData {
		return s.dataSection()
	}
	m := &sdp.MediaDescription{
		MediaName:             sdp.MediaName{Media: s.kind, Port: sdp.RangedPort{Value: 9}, Protos: []string{"UDP", "TLS", "RTP", "SAVPF"}},
		ConnectionInformation: &sdp.ConnectionInformation{NetworkType: "IN", AddressType: "IP4", Address: &sdp.Address{Address: "0.0.0.0"}},
	}
	m.WithValueAttribute(sdp.AttrKeyMID, s.mid)
	m.WithPropertyAttribute("rtcp-mux")
	if _, ok := s.source.Attribute("rtcp-rsize"); ok {
		m.WithPropertyAttribute("rtcp-rsize")
	}
	for i := range s.codecs {
		s.codecs[i].describe(m)
	}
	for _, uri := range extensionsOf(s.use, s.kind) {
		if id := s.ext[uri]; id != 0 {
			m.WithValueAttribute(sdp.AttrKeyExtMap, strconv.Itoa(int(id))+" "+uri)
		}
	}
	if s.use == filming {
		s.describeEncodings(m)
		return m.WithPropertyAttribute("recvonly")
	}
	// The stream's name is the same for audio and video, which makes players keep them in step; but of those in a call each is by itself.
	name := "castd " + s.kind
	if p == calling && s.use == watching {
		name = "castd-" + s.mid + " " + s.kind
	}
	m.WithValueAttribute("msid", name)
	m.WithValueAttribute("ssrc", strconv.FormatUint(uint64(ssrc), 10)+" cname:castd")
	m.WithValueAttribute("ssrc", strconv.FormatUint(uint64(ssrc), 10)+" msid:"+name)
	if s.use == calling {
		return m.WithPropertyAttribute("sendrecv")
	}
	return m.WithPropertyAttribute("sendonly")
}

// describeEncodings appends the lines that say which of the guest's encodings are taken (RFC 8853).
func (s *section) describeEncodings(m *sdp.MediaDescription) {
	for _, rid := range s.encodings {
		m.WithValueAttribute("rid", rid+" recv")
	}
	if len(s.encodings) > 0 {
		m.WithValueAttribute("simulcast", "recv "+strings.Join(s.encodings, ";"))
	}
}

// dataSection is what a section for data channels is answered by (RFC 8841), but for the transport.
func (s *section) dataSection() *sdp.MediaDescription {
	m := &sdp.MediaDescription{
		MediaName:             sdp.MediaName{Media: kindData, Port: sdp.RangedPort{Value: 9}, Protos: []string{"UDP", "DTLS", "SCTP"}, Formats: []string{formatData}},
		ConnectionInformation: &sdp.ConnectionInformation{NetworkType: "IN", AddressType: "IP4", Address: &sdp.Address{Address: "0.0.0.0"}},
	}
	m.WithValueAttribute(sdp.AttrKeyMID, s.mid)
	m.WithValueAttribute("sctp-port", "5000")
	return m.WithValueAttribute("max-message-size", strconv.Itoa(maxMessage))
}

// viewerFragment writes the answer to an ICE restart (RFC 9725 section 4.3.3).
func (o *offer) viewerFragment(own checks.Credentials, candidates []string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("a=ice-options:trickle")
	var mids []string
	var tag *section
	for i := range o.sections {
		if s := &o.sections[i]; s.accepted {
			mids = append(mids, s.mid)
			if tag == nil {
				tag = s
			}
		}
	}
	if o.grouped {
		line("a=group:BUNDLE %s", strings.Join(mids, " "))
	}
	if tag.kind == kindData {
		line("m=%s 9 UDP/DTLS/SCTP %s", kindData, formatData)
	} else {
		line("m=%s 9 UDP/TLS/RTP/SAVPF %d", tag.kind, tag.codecs[0].pt)
	}
	line("a=mid:%s", tag.mid)
	line("a=ice-ufrag:%s", own.Ufrag)
	line("a=ice-pwd:%s", own.Password)
	for _, c := range candidates {
		line("a=candidate:%s", c)
	}
	line("a=end-of-candidates")
	return b.String()
}

// print is a certificate's hash that an offer announced.
type print struct {
	hash crypto.Hash
	sum  []byte
}

// fingerprints reads the fingerprint attributes of the offer (RFC 8122 section 5). Weak hashes and what cannot be read are left
// out.
func (o *offer) fingerprints() []print {
	var list []print
	read := func(attributes []sdp.Attribute) {
		for _, a := range attributes {
			if a.Key != "fingerprint" {
				continue
			}
			f := strings.Fields(a.Value)
			if len(f) != 2 {
				continue
			}
			hash, ok := map[string]crypto.Hash{"sha-256": crypto.SHA256, "sha-384": crypto.SHA384, "sha-512": crypto.SHA512}[strings.ToLower(f[0])]
			sum, err := hex.DecodeString(strings.ReplaceAll(f[1], ":", ""))
			if !ok || err != nil || len(sum) != hash.Size() {
				continue
			}
			list = append(list, print{hash, sum})
		}
	}
	read(o.source.Attributes)
	for i := range o.sections {
		read(o.sections[i].source.Attributes)
	}
	return list
}

// viewerDTLS accepts exactly the viewer whose certificate has one of the fingerprints of his offer.
func (s *Service) viewerDTLS(o *offer) *dtls.Config {
	prints := o.fingerprints()
	return &dtls.Config{
		Certificates:            []tls.Certificate{s.certificate.TLS},
		SRTPProtectionProfiles:  srtpProfiles(),
		ExtendedMasterSecret:    dtls.RequestExtendedMasterSecret,
		ClientAuth:              dtls.RequireAnyClientCert,
		FlightInterval:          dtlsRetransmission,
		InsecureSkipVerifyHello: true, // ICE has proved the address: the cookie's round trip would prove it again
		InsecureSkipVerify:      true, // self-signed: checked here instead
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			if len(raw) == 0 {
				return secure.ErrWrongCertificate
			}
			for _, p := range prints {
				h := p.hash.New()
				h.Write(raw[0])
				if subtle.ConstantTimeCompare(h.Sum(nil), p.sum) == 1 {
					return nil
				}
			}
			return secure.ErrWrongCertificate
		},
		LoggerFactory: s.pionLog,
	}
}
