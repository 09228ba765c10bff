package guest

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/rtp"
	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/udp"
)

// TestSharedPort runs a publisher and viewers over one real UDP port on the loopback.
func TestSharedPort(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Skip("no loopback:", err)
	}
	mux, err := udp.On(conn)
	if err != nil {
		t.Fatal(err)
	}
	defer mux.Close()
	service, err := New(Config{Mux: mux, Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	room := newFakeRoom()

	client := func() *webrtc.PeerConnection {
		var settings webrtc.SettingEngine
		settings.SetIncludeLoopbackCandidate(true)
		settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
		settings.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() && ip.To4() != nil })
		settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
		settings.SetICEBindingRequestHandler(func(*stun.Message, ice.Candidate, ice.Candidate, *ice.CandidatePair) bool { return true })
		settings.LoggerFactory = quiet()
		var media webrtc.MediaEngine
		if err := media.RegisterDefaultCodecs(); err != nil {
			t.Fatal(err)
		}
		pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(&media), webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = pc.GracefulClose() })
		return pc
	}
	negotiate := func(pc *webrtc.PeerConnection, post func(offer string) (engine.GuestSession, error)) {
		t.Helper()
		offer, err := pc.CreateOffer(nil)
		if err != nil {
			t.Fatal(err)
		}
		gathered := webrtc.GatheringCompletePromise(pc)
		if err := pc.SetLocalDescription(offer); err != nil {
			t.Fatal(err)
		}
		<-gathered
		session, err := post(pc.LocalDescription().SDP)
		if err != nil {
			t.Fatal(err)
		}
		if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: session.Answer()}); err != nil {
			t.Fatal(err)
		}
	}

	source := client()
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}, "v", "s")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source.AddTrack(track); err != nil {
		t.Fatal(err)
	}
	negotiate(source, func(offer string) (engine.GuestSession, error) {
		return service.Publish(t.Context(), room, offer, engine.GuestOptions{})
	})
	stop := make(chan struct{})
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		ticker := time.NewTicker(10 * ms)
		defer ticker.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-ticker.C:
				p := &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(i), Timestamp: uint32(i) * 900, Marker: true}, Payload: []byte(fmt.Sprint("K", i))}
				_ = track.WriteRTP(p)
			}
		}
	}()
	defer func() { close(stop); <-sent }()
	for range 3 {
		viewer := client()
		if _, err := viewer.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			t.Fatal(err)
		}
		first := make(chan time.Time, 1)
		viewer.OnTrack(func(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
			if _, _, err := t.ReadRTP(); err == nil {
				first <- time.Now()
			}
		})
		var posted time.Time
		negotiate(viewer, func(offer string) (engine.GuestSession, error) {
			posted = time.Now()
			return service.Watch(t.Context(), room, offer, engine.GuestOptions{})
		})
		select {
		case at := <-first:
			t.Logf("first picture %v after the request", at.Sub(posted))
		case <-time.After(20 * time.Second):
			t.Fatal("no picture")
		}
	}
}
