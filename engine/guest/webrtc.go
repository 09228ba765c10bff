package guest

import (
	"fmt"
	"net"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"
)

// Timing of a guest's connection.
const (
	// disconnectedAfter and failedAfter bound how long nothing need arrive, keepalives included, before the session ends: a
	// connection counts as disconnected after the first, and as failed when the second has passed on top.
	disconnectedAfter = 3 * time.Second
	failedAfter       = 5 * time.Second
	keepalive         = time.Second
	// connectWithin bounds the time from the answer to the end of the DTLS handshake.
	connectWithin = 20 * time.Second
	// dtlsRetransmission is short, since guests are near and a lost flight otherwise costs a second.
	dtlsRetransmission = 100 * time.Millisecond
	// nackInterval is how often holes of a publisher are asked for.
	nackInterval = 20 * time.Millisecond
	// maxNacks bounds how often one packet is asked for.
	maxNacks = 10
	// replayWindow is how many packets, in numbers, a retransmission may be late.
	replayWindow = 8192
	// receiveMTU is the largest datagram that is read, in octets.
	receiveMTU = 1600
)

// newPeerConnection makes a connection of a guest who sends, that knows exactly the codecs and header extensions of the offer. selectPair reports
// whether the pair of a binding request is to be used at once.
func (s *Service) newPeerConnection(o *offer, selectPair func() bool) (*webrtc.PeerConnection, error) {
	media := &webrtc.MediaEngine{}
	for i := range o.sections {
		if err := registerSection(media, &o.sections[i]); err != nil {
			return nil, err
		}
	}
	registry := &interceptor.Registry{}
	if err := addInterceptors(registry, s.pionLog); err != nil {
		return nil, err
	}
	settings, err := s.settings(o, selectPair)
	if err != nil {
		return nil, err
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(settings))
	return api.NewPeerConnection(webrtc.Configuration{
		Certificates: []webrtc.Certificate{webrtc.CertificateFromX509(s.certificate.Key, s.parsed)}, BundlePolicy: webrtc.BundlePolicyMaxBundle,
	})
}

// srtpProfiles are those that guests may use, the better first: AES-GCM costs a quarter of AES-CM with HMAC-SHA1.
func srtpProfiles() []dtls.SRTPProtectionProfile {
	return []dtls.SRTPProtectionProfile{dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80}
}

func registerSection(media *webrtc.MediaEngine, s *section) error {
	if !s.accepted {
		return nil
	}
	typ := webrtc.NewRTPCodecType(s.kind)
	for _, c := range s.codecs {
		capability := webrtc.RTPCodecCapability{
			MimeType: s.kind + "/" + c.encoding, ClockRate: c.clockRate, Channels: c.channels, SDPFmtpLine: c.fmtp, RTCPFeedback: c.feedback,
		}
		if err := media.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: capability, PayloadType: webrtc.PayloadType(c.pt)}, typ); err != nil {
			return fmt.Errorf("register codec: %w", err)
		}
		if c.rtx == 0 {
			continue
		}
		repair := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeRTX, ClockRate: c.clockRate, SDPFmtpLine: fmt.Sprintf("apt=%d", c.pt)}
		if err := media.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: repair, PayloadType: webrtc.PayloadType(c.rtx)}, typ); err != nil {
			return fmt.Errorf("register codec: %w", err)
		}
	}
	for uri := range s.ext {
		if err := media.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, typ); err != nil {
			return fmt.Errorf("register header extension: %w", err)
		}
	}
	return nil
}

// addInterceptors adds what a receiver needs: it asks for what is missing, reports what came, and tells the sender's
// bandwidth estimator when each packet came.
func addInterceptors(registry *interceptor.Registry, log *pionLog) error {
	generator, err := nack.NewGeneratorInterceptor(nack.GeneratorInterval(nackInterval), nack.GeneratorMaxNacksPerPacket(maxNacks),
		nack.GeneratorSize(1024), nack.WithGeneratorLoggerFactory(log))
	if err != nil {
		return fmt.Errorf("make NACK generator: %w", err)
	}
	reports, err := report.NewReceiverInterceptor(report.WithReceiverLoggerFactory(log))
	if err != nil {
		return fmt.Errorf("make receiver reports: %w", err)
	}
	transport, err := twcc.NewSenderInterceptor(twcc.SendInterval(50*time.Millisecond), twcc.WithLoggerFactory(log))
	if err != nil {
		return fmt.Errorf("make transport feedback: %w", err)
	}
	registry.Add(generator)
	registry.Add(reports)
	registry.Add(transport)
	return nil
}

func (s *Service) settings(o *offer, selectPair func() bool) (webrtc.SettingEngine, error) {
	var e webrtc.SettingEngine
	e.LoggerFactory = s.pionLog
	e.SetICETimeouts(disconnectedAfter, failedAfter, keepalive)
	e.SetHostAcceptanceMinWait(0)
	e.SetSrflxAcceptanceMinWait(0)
	e.SetPrflxAcceptanceMinWait(0)
	e.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	e.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	e.DisableActiveTCP(true)
	e.SetIncludeLoopbackCandidate(s.config.Loopback)
	e.SetRemoteIPFilter(func(ip net.IP) bool { return !ip.IsMulticast() && !ip.IsUnspecified() })
	// The first authenticated request selects the pair: it saves two round trips and pion's check interval.
	e.SetICEBindingRequestHandler(func(*stun.Message, ice.Candidate, ice.Candidate, *ice.CandidatePair) bool { return selectPair() })
	e.SetDTLSInsecureSkipHelloVerify(true)
	e.SetDTLSRetransmissionInterval(dtlsRetransmission)
	e.SetSRTPProtectionProfiles(srtpProfiles()...)
	e.SetSRTPReplayProtectionWindow(replayWindow)
	e.SetSRTCPReplayProtectionWindow(1024)
	e.SetReceiveMTU(receiveMTU)
	if s.config.Mux != nil {
		e.SetICEUDPMux(s.config.Mux)
	}
	if s.config.Net != nil {
		e.SetNet(s.config.Net)
	}
	// Whoever sends media is better the DTLS server, which may send half a round trip earlier.
	role := webrtc.DTLSRoleClient
	if o.setup == "active" {
		role = webrtc.DTLSRoleServer
	}
	if err := e.SetAnsweringDTLSRole(role); err != nil {
		return e, fmt.Errorf("set DTLS role: %w", err)
	}
	return e, nil
}
