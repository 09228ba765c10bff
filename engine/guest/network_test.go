package guest

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/transport/v5"
	"github.com/pion/transport/v5/vnet"
	"github.com/pion/webrtc/v4"

	"github.com/castd/castd/engine"
)

const (
	serverIP = "10.0.0.1"
	remote   = "10.0.0.2:50000"
)

// bench is a Service and a network that guests reach it over. It lives in a synctest bubble.
type bench struct {
	*testing.T
	service *Service
	room    *fakeRoom
	router  *vnet.Router
	guests  byte
	stopped bool
}

// bubble runs f with a bench on a network with 5 ms each way.
func bubble(t *testing.T, f func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		router, err := vnet.NewRouter(&vnet.RouterConfig{CIDR: "10.0.0.0/16", MinDelay: 5 * time.Millisecond, LoggerFactory: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{T: t, room: newFakeRoom(), router: router}
		if b.service, err = New(Config{Net: b.net(serverIP)}); err != nil {
			t.Fatal(err)
		}
		if err := router.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := b.service.Close(); err != nil {
				t.Error(err)
			}
			b.stop()
		}()
		f(b)
	})
}

// stop ends the network.
func (b *bench) stop() {
	if b.stopped {
		return
	}
	b.stopped = true
	if err := b.router.Stop(); err != nil {
		b.Error(err)
	}
}

func quiet() logging.LoggerFactory {
	f := logging.NewDefaultLoggerFactory()
	f.DefaultLogLevel = logging.LogLevelDisabled
	return f
}

func (b *bench) net(ip string) transport.Net {
	b.Helper()
	n, err := vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{ip}})
	if err != nil {
		b.Fatal(err)
	}
	if err := b.router.AddNet(n); err != nil {
		b.Fatal(err)
	}
	return n
}

// opus, red and so on are what test clients offer, with payload types unlike pion's and castd's own.
func clientCodecs() map[string]webrtc.RTPCodecParameters {
	video := []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"}, {Type: "transport-cc"}, {Type: "goog-remb"}}
	audio := []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "transport-cc"}}
	make := func(mime string, rate uint32, channels uint16, fmtp string, pt webrtc.PayloadType, fb []webrtc.RTCPFeedback) webrtc.RTPCodecParameters {
		return webrtc.RTPCodecParameters{
			RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: mime, ClockRate: rate, Channels: channels, SDPFmtpLine: fmtp, RTCPFeedback: fb},
			PayloadType:        pt,
		}
	}
	return map[string]webrtc.RTPCodecParameters{
		"opus": make("audio/opus", 48000, 2, "minptime=10;useinbandfec=1", 109, audio),
		"red":  make("audio/red", 48000, 2, "109/109", 62, audio),
		"vp8":  make("video/VP8", 90000, 0, "", 120, video),
		"vp9":  make("video/VP9", 90000, 0, "profile-id=0", 121, video),
		"h264": make("video/H264", 90000, 0, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f", 97, video),
		"av1":  make("video/AV1", 90000, 0, "", 99, video),
	}
}

// client makes a connection of a guest that offers the codecs in this order.
func (b *bench) client(codecs ...string) *webrtc.PeerConnection {
	b.Helper()
	b.guests++
	var media webrtc.MediaEngine
	kinds := map[webrtc.RTPCodecType]bool{}
	for _, name := range codecs {
		c := clientCodecs()[name]
		kind := webrtc.NewRTPCodecType(strings.Split(c.MimeType, "/")[0])
		kinds[kind] = true
		if err := media.RegisterCodec(c, kind); err != nil {
			b.Fatal(err)
		}
	}
	for _, uri := range []string{uriLevel, uriMID, uriTransportCC} {
		_ = media.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, webrtc.RTPCodecTypeAudio)
	}
	for _, uri := range []string{uriMID, uriRID, uriOrientation, uriDependency, uriTransportCC} {
		_ = media.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, webrtc.RTPCodecTypeVideo)
	}
	var settings webrtc.SettingEngine
	settings.SetNet(b.net(fmt.Sprintf("10.0.1.%d", b.guests)))
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.LoggerFactory = quiet()
	api := webrtc.NewAPI(webrtc.WithMediaEngine(&media), webrtc.WithSettingEngine(settings), webrtc.WithInterceptorRegistry(&interceptor.Registry{}))
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = pc.GracefulClose() })
	return pc
}

// offer returns the client's complete offer.
func (b *bench) offer(pc *webrtc.PeerConnection) string {
	b.Helper()
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		b.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		b.Fatal(err)
	}
	<-gathered
	return pc.LocalDescription().SDP
}

func (b *bench) accept(pc *webrtc.PeerConnection, answer string) {
	b.Helper()
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		b.Fatalf("%v\n%s", err, answer)
	}
}

// source is a guest that publishes.
type testSource struct {
	*bench
	pc      *webrtc.PeerConnection
	session engine.GuestSession
	tracks  map[string]*webrtc.TrackLocalStaticRTP
	senders map[string]*webrtc.RTPSender
	rtcp    chan rtcp.Packet
	sent    int
}

// publish connects a guest that sends the first audio and the first video codec named.
func (b *bench) publish(o engine.GuestOptions, codecs ...string) *testSource {
	b.Helper()
	s := b.source(codecs...)
	var err error
	if s.session, err = b.service.Publish(b.Context(), b.room, b.offer(s.pc), o); err != nil {
		b.Fatal(err)
	}
	b.accept(s.pc, s.session.Answer())
	time.Sleep(2 * time.Second)
	if state := s.pc.ConnectionState(); state != webrtc.PeerConnectionStateConnected {
		b.Fatalf("publisher is %v", state)
	}
	return s
}

func (b *bench) source(codecs ...string) *testSource {
	b.Helper()
	s := &testSource{
		bench: b, pc: b.client(codecs...), tracks: map[string]*webrtc.TrackLocalStaticRTP{}, senders: map[string]*webrtc.RTPSender{},
		rtcp: make(chan rtcp.Packet, 1000),
	}
	for _, name := range codecs {
		c := clientCodecs()[name]
		kind := strings.Split(c.MimeType, "/")[0]
		if s.tracks[kind] != nil {
			continue
		}
		track, err := webrtc.NewTrackLocalStaticRTP(c.RTPCodecCapability, kind, "test")
		if err != nil {
			b.Fatal(err)
		}
		sender, err := s.pc.AddTrack(track)
		if err != nil {
			b.Fatal(err)
		}
		s.tracks[kind], s.senders[kind] = track, sender
		go func() {
			for {
				packets, _, err := sender.ReadRTCP()
				if err != nil {
					return
				}
				for _, p := range packets {
					select {
					case s.rtcp <- p:
					default:
					}
				}
			}
		}()
	}
	return s
}

// extension returns the id that was negotiated.
func (s *testSource) extension(kind, uri string) uint8 {
	for _, e := range s.senders[kind].GetParameters().HeaderExtensions {
		if e.URI == uri {
			return uint8(e.ID)
		}
	}
	return 0
}

func (s *testSource) write(kind string, p *rtp.Packet) {
	s.Helper()
	p.Version = 2
	if err := s.tracks[kind].WriteRTP(p); err != nil {
		s.Fatal(err)
	}
}

// viewer is a guest that watches.
type viewer struct {
	*bench
	pc      *webrtc.PeerConnection
	session engine.GuestSession
	ssrc    map[string]webrtc.SSRC
	exts    map[string]map[string]uint8
	packets chan arrival
	reports chan *rtcp.SenderReport
}

type arrival struct {
	kind string
	at   time.Time
	*rtp.Packet
}

func (b *bench) watch(o engine.GuestOptions, codecs ...string) *viewer {
	b.Helper()
	v := b.viewer(codecs...)
	var err error
	if v.session, err = b.service.Watch(b.Context(), b.room, b.offer(v.pc), o); err != nil {
		b.Fatal(err)
	}
	b.accept(v.pc, v.session.Answer())
	return v
}

func (b *bench) viewer(codecs ...string) *viewer {
	b.Helper()
	v := &viewer{
		bench: b, pc: b.client(codecs...), packets: make(chan arrival, 20000), reports: make(chan *rtcp.SenderReport, 1000),
		ssrc: map[string]webrtc.SSRC{}, exts: map[string]map[string]uint8{},
	}
	kinds := map[string]bool{}
	for _, name := range codecs {
		kinds[strings.Split(clientCodecs()[name].MimeType, "/")[0]] = true
	}
	for _, kind := range []string{kindAudio, kindVideo} {
		if !kinds[kind] {
			continue
		}
		t, err := v.pc.AddTransceiverFromKind(webrtc.NewRTPCodecType(kind), webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
		if err != nil {
			b.Fatal(err)
		}
		go func() {
			for {
				packets, _, err := t.Receiver().ReadRTCP()
				if err != nil {
					return
				}
				for _, p := range packets {
					if r, ok := p.(*rtcp.SenderReport); ok {
						v.reports <- r
					}
				}
			}
		}()
	}
	v.pc.OnTrack(func(t *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
		for {
			p, _, err := t.ReadRTP()
			if err != nil {
				return
			}
			v.packets <- arrival{t.Kind().String(), time.Now(), p}
		}
	})
	return v
}

// take waits until nothing more comes, and returns the packets of the kind.
func (v *viewer) take(kind string) []arrival {
	time.Sleep(300 * time.Millisecond)
	synctest.Wait()
	var list []arrival
	for {
		select {
		case p := <-v.packets:
			if p.kind == kind {
				list = append(list, p)
			}
		default:
			return list
		}
	}
}

func (v *viewer) extension(kind webrtc.RTPCodecType, uri string) uint8 {
	for _, t := range v.pc.GetTransceivers() {
		if t.Kind() != kind {
			continue
		}
		for _, e := range t.Receiver().GetParameters().HeaderExtensions {
			if e.URI == uri {
				return uint8(e.ID)
			}
		}
	}
	return 0
}
