//go:build linux

package e2e_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"
	"golang.org/x/sys/unix"
)

// URIs of the header extensions that a room lets through.
const (
	uriAudioLevel  = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
	uriOrientation = "urn:3gpp:video-orientation"
)

// guest is one WHIP or WHEP session of this process over the loopback.
type guest struct {
	pc        *webrtc.PeerConnection
	http      *http.Client
	token     string
	url       string // of the session
	base      string
	connected chan struct{}
	over      atomic.Bool // the other side ended it, or it failed
}

// newGuest makes the connection, with a socket of its own whose buffers hold a whole group of pictures.
func newGuest(t *testing.T, base, token string) *guest {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	enlarge(conn)
	mux := ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: conn, Logger: silent{}.NewLogger("")})
	g := &guest{base: base, token: token, http: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{}}, connected: make(chan struct{})}
	var settings webrtc.SettingEngine
	settings.LoggerFactory = silent{}
	settings.SetICEUDPMux(mux)
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetHostAcceptanceMinWait(0)
	settings.SetPrflxAcceptanceMinWait(0)
	settings.SetSRTPReplayProtectionWindow(8192)
	settings.SetReceiveMTU(1600)
	// Pion checks five times a second; where a request of the other side comes first, its pair is as good.
	var selected atomic.Bool
	settings.SetICEBindingRequestHandler(func(*stun.Message, ice.Candidate, ice.Candidate, *ice.CandidatePair) bool {
		return selected.CompareAndSwap(false, true)
	})
	media := &webrtc.MediaEngine{}
	feedback := []webrtc.RTCPFeedback{{Type: "nack"}}
	register := func(typ webrtc.RTPCodecType, mime string, rate uint32, channels uint16, fmtp string, pt webrtc.PayloadType, fb []webrtc.RTCPFeedback) {
		c := webrtc.RTPCodecCapability{MimeType: mime, ClockRate: rate, Channels: channels, SDPFmtpLine: fmtp, RTCPFeedback: fb}
		if err := media.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: c, PayloadType: pt}, typ); err != nil {
			t.Fatal(err)
		}
	}
	register(webrtc.RTPCodecTypeAudio, webrtc.MimeTypeOpus, 48000, 2, "minptime=10;useinbandfec=1", 111, feedback)
	register(webrtc.RTPCodecTypeVideo, webrtc.MimeTypeVP8, 90000, 0, "", 96, append(feedback, webrtc.RTCPFeedback{Type: "nack", Parameter: "pli"}))
	for uri, typ := range map[string]webrtc.RTPCodecType{uriAudioLevel: webrtc.RTPCodecTypeAudio, uriOrientation: webrtc.RTPCodecTypeVideo} {
		if err := media.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, typ); err != nil {
			t.Fatal(err)
		}
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithSettingEngine(settings), webrtc.WithInterceptorRegistry(interceptors(t)))
	g.pc, err = api.NewPeerConnection(webrtc.Configuration{BundlePolicy: webrtc.BundlePolicyMaxBundle})
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	g.pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		switch s {
		case webrtc.PeerConnectionStateConnected:
			once.Do(func() { close(g.connected) }) // it may have been interrupted
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			g.over.Store(true)
		}
	})
	t.Cleanup(func() {
		_ = g.pc.GracefulClose()
		_ = mux.Close()
		_ = conn.Close()
		g.http.CloseIdleConnections()
	})
	return g
}

// interceptors ask for what is missing, answer such wishes, and report what came. What a publisher reports is its own affair.
func interceptors(t *testing.T) *interceptor.Registry {
	t.Helper()
	registry := &interceptor.Registry{}
	generator, err := nack.NewGeneratorInterceptor(nack.GeneratorInterval(20*time.Millisecond), nack.GeneratorSize(4096), nack.WithGeneratorLoggerFactory(silent{}))
	if err != nil {
		t.Fatal(err)
	}
	responder, err := nack.NewResponderInterceptor()
	if err != nil {
		t.Fatal(err)
	}
	receiver, err := report.NewReceiverInterceptor()
	if err != nil {
		t.Fatal(err)
	}
	registry.Add(generator)
	registry.Add(responder)
	registry.Add(receiver)
	return registry
}

// negotiate posts the offer and applies the answer. It returns when the request was sent.
func (g *guest) negotiate(ctx context.Context, t *testing.T, path string) (posted time.Duration) {
	t.Helper()
	offer, err := g.pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(g.pc)
	if err := g.pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	posted = clock()
	res, body := g.request(ctx, t, http.MethodPost, path, "application/sdp", g.pc.LocalDescription().SDP)
	if res.StatusCode != http.StatusCreated {
		t.Fatalf("POST %s: %s: %s", path, res.Status, body)
	}
	g.url = res.Header.Get("Location")
	if g.url == "" || res.Header.Get("ETag") == "" || res.Header.Get("Content-Type") != "application/sdp" {
		t.Fatalf("POST %s: headers %v", path, res.Header)
	}
	if err := g.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: string(body)}); err != nil {
		t.Fatal(err)
	}
	return posted
}

func (g *guest) request(ctx context.Context, t *testing.T, method, path, typ, body string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, g.base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+g.token)
	if typ != "" {
		req.Header.Set("Content-Type", typ)
	}
	res, err := g.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, b
}

// waitConnected returns when media may flow.
func (g *guest) waitConnected(t *testing.T) {
	t.Helper()
	select {
	case <-g.connected:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s%s was not connected within 20 s", g.base, g.url)
	}
}

// leave ends the session as WHIP and WHEP have it.
func (g *guest) leave(t *testing.T) {
	t.Helper()
	if res, body := g.request(context.Background(), t, http.MethodDelete, g.url, "", ""); res.StatusCode != http.StatusOK {
		t.Errorf("DELETE %s: %s: %s", g.url, res.Status, body)
	}
}

// extensionID returns the number that was agreed on for a header extension, 0 for none.
func extensionID(params webrtc.RTPParameters, uri string) uint8 {
	for _, e := range params.HeaderExtensions {
		if e.URI == uri {
			return uint8(e.ID)
		}
	}
	return 0
}

// enlarge makes a socket hold what comes in a burst; beyond the system's limit where this process may.
func enlarge(c *net.UDPConn) {
	const size = 8 << 20
	_ = c.SetReadBuffer(size)
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size) })
}

// silent drops pion's logs.
type silent struct{}

func (silent) NewLogger(string) logging.LeveledLogger { return silent{} }
func (silent) Trace(string)                           {}
func (silent) Tracef(string, ...any)                  {}
func (silent) Debug(string)                           {}
func (silent) Debugf(string, ...any)                  {}
func (silent) Info(string)                            {}
func (silent) Infof(string, ...any)                   {}
func (silent) Warn(string)                            {}
func (silent) Warnf(string, ...any)                   {}
func (silent) Error(string)                           {}
func (silent) Errorf(string, ...any)                  {}
