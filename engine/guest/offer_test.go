package guest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pion/sdp/v3"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/checks"
)

// browserOffer is what a Chromium page sends for a camera and a microphone, shortened.
const browserOffer = `v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1 2
a=extmap-allow-mixed
a=msid-semantic: WMS 2f6
m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host generation 0 network-id 1
a=candidate:2 1 tcp 1518280447 192.0.2.7 9 typ host tcptype active generation 0 network-id 1
a=ice-ufrag:Xk3q
a=ice-pwd:1zM4xq8J2nQ5vB7cD9fG0hKl
a=ice-options:trickle
a=fingerprint:sha-256 11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00
a=setup:actpass
a=mid:0
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=sendrecv
a=msid:2f6 a1
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:13 CN/8000
a=rtpmap:110 telephone-event/48000
a=rtpmap:126 telephone-event/8000
a=ssrc:1001 cname:x
a=ssrc:1001 msid:2f6 a1
m=video 9 UDP/TLS/RTP/SAVPF 96 97 103 104 107 108 45 46 98 99
c=IN IP4 0.0.0.0
a=ice-ufrag:Xk3q
a=ice-pwd:1zM4xq8J2nQ5vB7cD9fG0hKl
a=ice-options:trickle
a=fingerprint:sha-256 11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00
a=setup:actpass
a=mid:1
a=extmap:14 urn:ietf:params:rtp-hdrext:toffset
a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
a=extmap:13 urn:3gpp:video-orientation
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id
a=extmap:8 https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension
a=sendrecv
a=msid:2f6 v1
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 goog-remb
a=rtcp-fb:96 transport-cc
a=rtcp-fb:96 ccm fir
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
a=rtpmap:103 H264/90000
a=rtcp-fb:103 nack
a=fmtp:103 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f
a=rtpmap:104 rtx/90000
a=fmtp:104 apt=103
a=rtpmap:107 H264/90000
a=fmtp:107 level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42001f
a=rtpmap:108 rtx/90000
a=fmtp:108 apt=107
a=rtpmap:45 AV1/90000
a=fmtp:45 level-idx=5;profile=0;tier=0
a=rtpmap:46 rtx/90000
a=fmtp:46 apt=45
a=rtpmap:98 VP9/90000
a=fmtp:98 profile-id=0
a=rtpmap:99 rtx/90000
a=fmtp:99 apt=98
a=ssrc-group:FID 2001 2002
a=ssrc:2001 cname:x
a=ssrc:2002 cname:x
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=ice-ufrag:Xk3q
a=ice-pwd:1zM4xq8J2nQ5vB7cD9fG0hKl
a=fingerprint:sha-256 11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00
a=setup:actpass
a=mid:2
a=sctp-port:5000
`

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

func TestParseOfferForPublishing(t *testing.T) {
	o, err := parseOffer(crlf(browserOffer), publishing)
	if err != nil {
		t.Fatal(err)
	}
	audio, video := o.accepted(kindAudio), o.accepted(kindVideo)
	if len(audio.codecs) != 1 || audio.codecs[0].name != codecOpus || audio.codecs[0].pt != 111 || audio.ext[uriLevel] != 1 {
		t.Fatalf("%+v", audio)
	}
	if len(video.codecs) != 1 || video.codecs[0].name != codecVP8 || video.codecs[0].rtx != 97 || len(video.codecs[0].feedback) != 5 {
		t.Fatalf("%+v", video)
	}
	if video.ext[uriDependency] != 8 || video.ext["urn:ietf:params:rtp-hdrext:toffset"] != 0 || !o.mixed || o.ufrag != "Xk3q" || len(o.candidates) != 2 {
		t.Fatalf("%+v", o)
	}
	text, err := o.tame("newufrag", "newpassword0123456789ab", nil, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"application", "G722", "H264", "red/", "toffset", "Xk3q", "candidate"} {
		if strings.Contains(text, bad) {
			t.Errorf("%s is in the tame offer:\n%s", bad, text)
		}
	}
	for _, good := range []string{"a=group:BUNDLE 0 1\r\n", "a=sendonly", "a=ssrc-group:FID 2001 2002", "a=ice-ufrag:newufrag", "a=fmtp:97 apt=96"} {
		if !strings.Contains(text, good) {
			t.Errorf("%s is not in the tame offer:\n%s", good, text)
		}
	}
	// RED first: RED and the Opus in it.
	o, err = parseOffer(crlf(strings.Replace(browserOffer, "SAVPF 111 63", "SAVPF 63 111", 1)), publishing)
	if err != nil {
		t.Fatal(err)
	}
	if c := o.accepted(kindAudio).codecs; len(c) != 2 || c[0].name != codecRED || c[0].primary != 111 || c[1].name != codecOpus {
		t.Fatalf("%+v", c)
	}
}

func TestParseOfferForWatching(t *testing.T) {
	o, err := parseOffer(crlf(strings.ReplaceAll(browserOffer, "a=sendrecv", "a=recvonly")), watching)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range o.sections {
		for _, c := range s.codecs {
			names = append(names, fmt.Sprint(c.name, c.pt, "/", c.rtx))
		}
	}
	if got := strings.Join(names, " "); got != "opus111/0 red63/0 vp896/0 h264103/0 av145/0 vp998/0" {
		t.Fatal(got)
	}
}

// TestAnswerKeepsSections: what is left out comes back rejected, in its place.
func TestAnswerKeepsSections(t *testing.T) {
	bubble(t, func(b *bench) {
		text := strings.Replace(browserOffer, "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0", "m=audio 9 UDP/TLS/RTP/SAVPF 9 0", 1)
		s, err := b.service.Publish(b.Context(), b.room, crlf(text), engine.GuestOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var d sdp.SessionDescription
		if err := d.UnmarshalString(s.Answer()); err != nil {
			t.Fatal(err)
		}
		if len(d.MediaDescriptions) != 3 {
			t.Fatalf("%d sections", len(d.MediaDescriptions))
		}
		for i, want := range []struct {
			media string
			port  int
		}{{"audio", 0}, {"video", 9}, {"application", 0}} {
			m := d.MediaDescriptions[i]
			mid, _ := m.Attribute("mid")
			if m.MediaName.Media != want.media || m.MediaName.Port.Value != want.port || mid != fmt.Sprint(i) {
				t.Errorf("section %d: %s %d mid %s", i, m.MediaName.Media, m.MediaName.Port.Value, mid)
			}
		}
		if group, _ := d.Attribute("group"); group != "BUNDLE 1" {
			t.Errorf("group %s", group)
		}
		video := d.MediaDescriptions[1]
		if _, ok := video.Attribute("recvonly"); !ok || strings.Join(video.MediaName.Formats, " ") != "96 97" {
			t.Errorf("%v", video)
		}
		if setup, _ := video.Attribute("setup"); setup != "active" {
			t.Errorf("setup %s", setup)
		}
		if !strings.Contains(s.Answer(), "a=candidate:") || !strings.Contains(s.Answer(), "a=ice-options:trickle") {
			t.Errorf("the answer is not complete:\n%s", s.Answer())
		}
		if len(b.room.lastPub.config.Streams) != 1 || b.room.lastPub.config.Streams[0].Codec != codecVP8 {
			t.Errorf("%+v", b.room.lastPub.config)
		}
	})
}

func TestBadOffers(t *testing.T) {
	replace := func(old, with string) string { return strings.ReplaceAll(browserOffer, old, with) }
	sections := browserOffer
	for range maxSections {
		sections += "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\nc=IN IP4 0.0.0.0\n"
	}
	for name, c := range map[string]struct{ offer, code, says string }{
		"empty":         {"", engine.CodeBadOffer, "no body"},
		"not SDP":       {"hello", engine.CodeBadOffer, "not a session description"},
		"JSON":          {`{"type":"offer","sdp":"v=0"}`, engine.CodeBadOffer, "not a session description"},
		"large":         {browserOffer + strings.Repeat("a=x:yyyyyyyyyyyyyyyy\n", 4000), engine.CodeBadOffer, "octets"},
		"no sections":   {browserOffer[:strings.Index(browserOffer, "m=audio")], engine.CodeBadOffer, "0 media sections"},
		"many sections": {sections, engine.CodeBadOffer, "media sections"},
		"nothing sends": {replace("a=sendrecv", "a=recvonly"), engine.CodeBadOffer, "a=sendonly"},
		"inactive":      {replace("a=sendrecv", "a=inactive"), engine.CodeBadOffer, "a=sendonly"},
		"foreign codecs": {
			strings.NewReplacer("opus/", "speex/", "red/", "x/", "VP8", "H261", "H264", "H263", "AV1/", "x/", "VP9/", "y/").Replace(browserOffer),
			engine.CodeNoCommonCodec, "Opus",
		},
		"no BUNDLE":      {replace("a=group:BUNDLE 0 1 2\n", ""), engine.CodeBadOffer, "BUNDLE"},
		"partial BUNDLE": {replace("a=group:BUNDLE 0 1 2\n", "a=group:BUNDLE 0\n"), engine.CodeBadOffer, "BUNDLE"},
		"no rtcp-mux":    {replace("a=rtcp-mux\n", ""), engine.CodeBadOffer, "rtcp-mux"},
		"no ufrag":       {replace("a=ice-ufrag:Xk3q\n", ""), engine.CodeBadOffer, "ice-ufrag"},
		"short password": {replace("1zM4xq8J2nQ5vB7cD9fG0hKl", "short"), engine.CodeBadOffer, "ice-pwd"},
		"no fingerprint": {replace("a=fingerprint:sha-256 ", "a=x:"), engine.CodeBadOffer, "fingerprint"},
		"bad hash":       {replace("a=fingerprint:sha-256 ", "a=fingerprint:rot13 "), "", ""},
		"bad setup":      {replace("a=setup:actpass", "a=setup:holdconn"), engine.CodeBadOffer, "setup"},
		"same mid":       {replace("a=mid:1", "a=mid:0"), engine.CodeBadOffer, "a=mid"},
		"no mid":         {replace("a=mid:1\n", ""), engine.CodeBadOffer, "a=mid"},
		"bad rtpmap":     {replace("a=rtpmap:96 ", "a=rtpmap:960 "), engine.CodeBadOffer, "rtpmap"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(b *bench) {
				s, err := b.service.Publish(b.Context(), b.room, crlf(c.offer), engine.GuestOptions{Remote: remote})
				if c.code == "" {
					if err == nil {
						_ = s.Close()
					}
					return
				}
				var u *engine.UserError
				if !errors.As(err, &u) || u.Code != c.code || !strings.Contains(u.Message, c.says) {
					t.Fatalf("%v", err)
				}
				if b.room.slots != 0 || b.room.lastPub != nil || b.service.pending != 0 {
					t.Fatal("something was kept")
				}
			})
		})
	}
}

func TestEncodings(t *testing.T) {
	for _, c := range []struct{ lines, want string }{
		{"", ""},
		{"rid:hi send\nrid:lo send\nsimulcast:send lo;hi", "lo hi"},
		{"rid:hi send\nrid:lo send\nsimulcast:send ~lo;hi", "hi"},
		{"rid:hi send\nrid:lo send\nsimulcast:send ~lo;~hi", "hi lo"},
		{"rid:hi send\nrid:hi send\nsimulcast:send hi;hi", "hi"},
		{"rid:hi send", "hi"},
		{"rid:hi recv\nsimulcast:recv hi", ""},
	} {
		m := &sdp.MediaDescription{}
		for line := range strings.Lines(c.lines) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			m.WithValueAttribute(key, value)
		}
		if got := strings.Join(encodingsOf(m), " "); got != c.want {
			t.Errorf("%q: %q", c.lines, got)
		}
	}
}

func TestParseFragment(t *testing.T) {
	f, err := parseFragment(crlf("a=ice-ufrag:EsAw\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\nm=audio 9 RTP/AVP 0\na=mid:0\n" +
		"a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\n" +
		"a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\na=end-of-candidates\n"))
	if err != nil || f.ufrag != "EsAw" || len(f.candidates) != 1 || !f.end {
		t.Fatalf("%+v %v", f, err)
	}
	for _, bad := range []string{
		"", "hello", "{}", "m=audio 9 RTP/AVP 0\n", "a=ice-ufrag:a\na=ice-ufrag:b\n", "a=ice-ufrag:EsAw\na=ice-pwd:short\n",
		strings.Repeat("a=mid:0\n", maxFragment/8+1),
	} {
		var u *engine.UserError
		if f, err := parseFragment(bad); !errors.As(err, &u) || u.Code != engine.CodeBadOffer {
			t.Errorf("%.40q: %+v %v", bad, f, err)
		}
	}
}

// A call takes sound both ways and data channels, and of codecs only Opus, alone and in RED.
func TestCallOffer(t *testing.T) {
	text := crlf(browserOffer)
	o, err := parseOffer(text, calling)
	if err != nil {
		t.Fatal(err)
	}
	audio, data := o.accepted(kindAudio), o.accepted(kindData)
	if audio == nil || len(audio.codecs) != 2 || audio.codecs[0].name != codecRED || audio.codecs[1].name != codecOpus || data == nil || o.camera() == nil || len(o.slots()) != 0 {
		t.Fatalf("accepted %+v", o.sections)
	}
	answer, err := o.viewerAnswer(checks.Credentials{Ufrag: "abcd", Password: "0123456789012345678901"}, []string{"1 1 udp 1 192.0.2.1 9 typ host"}, [32]byte{}, map[string]uint32{"0": 77})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"m=audio 9 UDP/TLS/RTP/SAVPF 63 111\r\n", "a=rtpmap:63 red/48000/2", "a=sendrecv", "a=ssrc:77 ", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
		"a=sctp-port:5000", "a=candidate:", uriLevel,
	} {
		if !strings.Contains(answer, want) {
			t.Errorf("the answer lacks %q:\n%s", want, answer)
		}
	}
	if sound, _, _ := strings.Cut(answer, "m=video"); strings.Contains(sound, "transport-cc") || strings.Contains(sound, uriMID) {
		t.Errorf("the answer promises too much:\n%s", answer)
	}
	if o, err := parseOffer(crlf(strings.ReplaceAll(browserOffer, "red/48000", "reds/48000")), calling); err != nil || len(o.accepted(kindAudio).codecs) != 1 {
		t.Errorf("without RED: %+v, %v", o, err)
	}
	for name, c := range map[string]struct{ old, new, code string }{
		"one way":       {"a=sendrecv", "a=sendonly", engine.CodeBadOffer},
		"another codec": {"opus/48000/2", "speex/16000", engine.CodeNoCommonCodec},
		"mono by name":  {"opus/48000/2", "opus/48000/1", engine.CodeNoCommonCodec},
	} {
		var u *engine.UserError
		if _, err := parseOffer(strings.ReplaceAll(text, c.old, c.new), calling); !errors.As(err, &u) || u.Code != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseOffer(f *testing.F) {
	f.Add(crlf(browserOffer), uint8(publishing))
	f.Add(crlf(browserOffer), uint8(calling))
	f.Add(crlf(strings.ReplaceAll(browserOffer, "a=sendrecv", "a=recvonly")), uint8(watching))
	f.Add("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n", uint8(publishing))
	f.Fuzz(func(t *testing.T, text string, p uint8) {
		o, err := parseOffer(text, purpose(p%3))
		if err != nil {
			var u *engine.UserError
			if !errors.As(err, &u) {
				t.Fatalf("%v is not for people", err)
			}
			return
		}
		if o.accepted(kindAudio) == nil && o.accepted(kindVideo) == nil {
			t.Fatal("nothing was accepted")
		}
		tame, err := o.tame(o.ufrag, o.pwd, o.candidates, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		var d sdp.SessionDescription
		if err := d.UnmarshalString(tame); err != nil {
			t.Fatalf("%v\n%s", err, tame)
		}
		if len(d.MediaDescriptions) > 3+maxSlots {
			t.Fatalf("%d sections", len(d.MediaDescriptions))
		}
	})
}

func FuzzParseFragment(f *testing.F) {
	f.Add("a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 6 typ host\r\na=end-of-candidates\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseFragment(text)
		var u *engine.UserError
		if err != nil && !errors.As(err, &u) {
			t.Fatalf("%v is not for people", err)
		}
		var b budget
		if err == nil && len(b.take(got.candidates)) > maxCandidates {
			t.Fatal("too many candidates")
		}
	})
}
