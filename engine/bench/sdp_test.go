package bench

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"
)

const mediamtxAnswer = `v=0
o=- 5166530113 1 IN IP4 0.0.0.0
s=-
t=0 0
a=fingerprint:sha-256 0A:1B:2C:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:FF
a=group:BUNDLE 0 1
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=setup:active
a=mid:0
a=ice-ufrag:abcd
a=ice-pwd:abcdefghijklmnopqrstuvwx
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=candidate:1 1 udp 2130706431 192.0.2.7 8189 typ host
a=candidate:1 2 udp 2130706431 192.0.2.7 8189 typ host
a=candidate:2 1 udp 2130706431 2001:db8::7 8189 typ host
a=candidate:3 1 tcp 1671430143 192.0.2.7 8189 typ host tcptype passive
a=candidate:4 1 udp 2130706431 5b1a.local 8189 typ host
a=recvonly
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=setup:active
a=mid:1
a=candidate:1 1 udp 2130706431 192.0.2.7 8189 typ host
a=recvonly
`

func TestParseAnswer(t *testing.T) {
	a, err := parseAnswer(mediamtxAnswer)
	if err != nil {
		t.Fatal(err)
	}
	if a.ufrag != "abcd" || a.pwd != "abcdefghijklmnopqrstuvwx" || !a.client || a.algorithm != "sha-256" || len(a.fingerprint) != 32 || a.fingerprint[31] != 0xff {
		t.Errorf("transport %+v", a)
	}
	if a.pt != [kinds]uint8{111, 96} {
		t.Errorf("payload types %v", a.pt)
	}
	want := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.7:8189"), netip.MustParseAddrPort("[2001:db8::7]:8189")}
	if !slices.Equal(a.candidates, want) {
		t.Errorf("candidates %v, want %v", a.candidates, want)
	}
	tests := []struct {
		name, old, new string
		err            error
	}{
		{"video refused", "m=video 9", "m=video 0", nil},
		{"all refused", "UDP/TLS", "UDP/TLS", errNoMedia},
		{"no ICE", "a=ice-pwd:abcdefghijklmnopqrstuvwx\n", "", errNoTransport},
		{"no fingerprint", "a=fingerprint:sha-256", "a=fingerprint:", errNoTransport},
		{"no SDP", "v=0", "<html>", errNoSDP},
		{"no sections", mediamtxAnswer[strings.Index(mediamtxAnswer, "m=audio"):], "", errNoSDP},
	}
	for _, x := range tests {
		text := strings.Replace(mediamtxAnswer, x.old, x.new, 1)
		if x.name == "all refused" {
			text = strings.NewReplacer("m=video 9", "m=video 0", "m=audio 9", "m=audio 0").Replace(text)
		}
		if a, err := parseAnswer(text); err != x.err {
			t.Errorf("%s: %+v, %v; want %v", x.name, a, err, x.err)
		} else if err == nil && a.pt != [kinds]uint8{111, 0} {
			t.Errorf("%s: payload types %v", x.name, a.pt)
		}
	}
	if _, err := parseAnswer(""); err != errNoSDP {
		t.Errorf("of nothing: %v", err)
	}
}

// TestOffer has pion read what is offered.
func TestOffer(t *testing.T) {
	for _, send := range []bool{true, false} {
		o := &offer{send: send, media: [kinds]bool{true, true}, ssrc: [kinds]uint32{11, 22}, ufrag: secret(8), pwd: secret(24)}
		o.candidates = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:5000"), netip.MustParseAddrPort("[2001:db8::1]:5000")}
		pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
		if err != nil {
			t.Fatal(err)
		}
		defer pc.Close()
		if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: o.text()}); err != nil {
			t.Fatalf("%v in\n%s", err, o.text())
		}
		want := webrtc.RTPTransceiverDirectionRecvonly
		if !send {
			want = webrtc.RTPTransceiverDirectionSendonly
		}
		if all := pc.GetTransceivers(); len(all) != 2 || all[0].Direction() != want || all[1].Kind() != webrtc.RTPCodecTypeVideo {
			t.Errorf("send %v: %d transceivers", send, len(all))
		}
		if !strings.Contains(o.text(), "a=fingerprint:sha-256 00:00:") || strings.Count(o.text(), "typ host") != 4 {
			t.Errorf("offer\n%s", o.text())
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(mediamtxAnswer)
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parseAnswer(text)
		if err != nil {
			return
		}
		if a.pt == [kinds]uint8{} || a.ufrag == "" || len(a.fingerprint) == 0 || len(a.candidates) > maxCandidates {
			t.Errorf("%+v of %q", a, text)
		}
		for _, c := range a.candidates {
			if !c.IsValid() || c.Addr().IsUnspecified() || c.Port() == 0 {
				t.Errorf("candidate %v", c)
			}
		}
	})
}
