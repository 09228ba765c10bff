//go:build linux

package guest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/udp"
	"github.com/castd/castd/engine/wire"
)

// The benchmarks of this file measure what a viewer costs: a second process serves, this one watches over the loopback.
//
//	go test ./engine/guest -run '^$' -bench Viewers -benchtime 1x
//
// The server is this package, or a stock forwarder: pion's TrackLocalStaticRTP with its default codecs and interceptors. CASTD_LOAD
// in the environment makes the test binary that server; CASTD_PROFILE names a file for its CPU profile.

func TestMain(m *testing.M) {
	if kind := os.Getenv("CASTD_LOAD"); kind != "" {
		serveLoad(kind)
		return
	}
	os.Exit(m.Run())
}

// usage is what the server has spent.
type usage struct {
	CPU     time.Duration
	Packets uint64
	RSS     uint64 // octets
	Threads int    // goroutines
}

// loadServer answers offers, and feeds all viewers with the packets of one load.
type loadServer struct {
	offer func(sdp string) (string, error)
	write func(video bool, n int, payload []byte, marker bool)
	sent  func() uint64
}

func serveLoad(kind string) {
	which, load, _ := strings.Cut(kind, ",")
	var s *loadServer
	if which == "stock" {
		s = stockServer(load)
	} else {
		s = guestServer(load)
	}
	var flowing atomic.Bool
	http.HandleFunc("POST /offer", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		answer, err := s.offer(string(b))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, answer)
	})
	http.HandleFunc("POST /flow", func(http.ResponseWriter, *http.Request) { flowing.Store(true) })
	http.HandleFunc("POST /profile", func(http.ResponseWriter, *http.Request) {
		if name := os.Getenv("CASTD_PROFILE"); name != "" {
			f, err := os.Create(name)
			if err == nil {
				_ = pprof.StartCPUProfile(f)
			}
		}
	})
	http.HandleFunc("GET /usage", func(w http.ResponseWriter, _ *http.Request) {
		var u syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		_ = json.NewEncoder(w).Encode(usage{
			CPU: time.Duration(u.Utime.Nano() + u.Stime.Nano()), Packets: s.sent(), RSS: resident(), Threads: runtime.NumGoroutine(),
		})
	})
	http.HandleFunc("POST /end", func(http.ResponseWriter, *http.Request) {
		pprof.StopCPUProfile()
		go func() { time.Sleep(50 * ms); os.Exit(0) }()
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println(l.Addr())
	go func() { _ = http.Serve(l, nil) }() //nolint:gosec // for one benchmark
	payload := make([]byte, 1200)
	tick := time.NewTicker(20 * ms)
	every := 1
	if load == "video" {
		tick.Reset(33333 * time.Microsecond)
		every = 6
	}
	n := 0
	for range tick.C {
		if !flowing.Load() {
			continue
		}
		if load == "audio" {
			s.write(false, n, payload[:100], true)
			n++
			continue
		}
		// 1.5 Mbit/s, 30 pictures/s, 190 packets/s: five packets of 1,000 octets and a shorter one, and every third time one more.
		k := every
		if n%3 == 0 {
			k++
		}
		for i := range k {
			size := 1000
			if i == k-1 {
				size = 900
			}
			if n == 0 && i == 0 {
				payload[0] = 'K'
			} else {
				payload[0] = 'D'
			}
			s.write(true, n, payload[:size], i == k-1)
		}
		n++
	}
}

func resident() uint64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for scan := bufio.NewScanner(f); scan.Scan(); {
		var kb uint64
		if n, _ := fmt.Sscanf(scan.Text(), "VmRSS: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	return 0
}

func guestServer(load string) *loadServer {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		panic(err)
	}
	port, err := udp.On(conn)
	if err != nil {
		panic(err)
	}
	service, err := New(Config{Mux: port, Loopback: true})
	if err != nil {
		panic(err)
	}
	room := newFakeRoom()
	codec := engine.StreamConfig{Label: kindAudio, Kind: wire.KindAudio, Codec: codecOpus, ClockRate: 48000, Channels: 2}
	if load == "video" {
		codec = engine.StreamConfig{Label: kindVideo, Kind: wire.KindVideo, Codec: codecVP8, ClockRate: 90000}
	}
	pub, err := room.Publish(context.Background(), engine.SlotConfig{Streams: []engine.StreamConfig{codec}})
	if err != nil {
		panic(err)
	}
	seq := int64(0)
	return &loadServer{
		offer: func(text string) (string, error) {
			s, err := service.Watch(context.Background(), room, text, engine.GuestOptions{})
			if err != nil {
				return "", err
			}
			return s.Answer(), nil
		},
		write: func(video bool, n int, payload []byte, marker bool) {
			seq++
			label, rate := kindAudio, 960
			if video {
				label, rate = kindVideo, 3000
			}
			_ = pub.Write(label, &engine.MediaPacket{Sequence: seq, Timestamp: uint32(n * rate), Marker: marker, Payload: payload, Level: wire.LevelUnknown})
		},
		sent: func() uint64 { return service.Stats().PacketsOut },
	}
}

func stockServer(load string) *loadServer {
	media := &webrtc.MediaEngine{}
	registry := &interceptor.Registry{}
	if err := media.RegisterDefaultCodecs(); err != nil {
		panic(err)
	}
	if err := webrtc.RegisterDefaultInterceptors(media, registry); err != nil {
		panic(err)
	}
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() && ip.To4() != nil })
	settings.LoggerFactory = quiet()
	api := webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(settings))
	capability := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}
	if load == "video" {
		capability = webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}
	}
	track, err := webrtc.NewTrackLocalStaticRTP(capability, "t", "s")
	if err != nil {
		panic(err)
	}
	var viewers, packets atomic.Uint64
	var mu sync.Mutex
	seq := uint16(0)
	return &loadServer{
		offer: func(text string) (string, error) {
			mu.Lock()
			defer mu.Unlock()
			pc, err := api.NewPeerConnection(webrtc.Configuration{})
			if err != nil {
				return "", err
			}
			sender, err := pc.AddTrack(track)
			if err != nil {
				return "", err
			}
			go func() {
				buf := make([]byte, 1500)
				for {
					if _, _, err := sender.Read(buf); err != nil {
						return
					}
				}
			}()
			if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: text}); err != nil {
				return "", err
			}
			gathered := webrtc.GatheringCompletePromise(pc)
			answer, err := pc.CreateAnswer(nil)
			if err != nil {
				return "", err
			}
			if err := pc.SetLocalDescription(answer); err != nil {
				return "", err
			}
			<-gathered
			viewers.Add(1)
			return pc.LocalDescription().SDP, nil
		},
		write: func(video bool, n int, payload []byte, marker bool) {
			seq++
			rate := 960
			if video {
				rate = 3000
			}
			_ = track.WriteRTP(&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: seq, Timestamp: uint32(n * rate), Marker: marker}, Payload: payload})
			packets.Add(viewers.Load())
		},
		sent: packets.Load,
	}
}

func BenchmarkViewers(b *testing.B) {
	for _, load := range []struct {
		name string
		kind string
		n    int
	}{{"audio100", "audio", 100}, {"audio200", "audio", 200}, {"video50", "video", 50}} {
		for _, server := range []string{"guest", "stock"} {
			b.Run(load.name+"/"+server, func(b *testing.B) { measureLoad(b, server+","+load.kind, load.kind, load.n) })
		}
	}
}

// measureLoad reports the server's CPU time per packet sent, of an idle viewer a second, and its memory.
func measureLoad(b *testing.B, server, kind string, viewers int) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "CASTD_LOAD="+server)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	url := "http://" + strings.TrimSpace(line)
	post := func(path, body string) string {
		r, err := http.Post(url+path, "application/sdp", strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != http.StatusOK {
			b.Fatal(r.Status, err, string(text))
		}
		return string(text)
	}
	use := func() (u usage) {
		r, err := http.Get(url + "/usage")
		if err != nil {
			b.Fatal(err)
		}
		defer r.Body.Close()
		if err := json.NewDecoder(r.Body).Decode(&u); err != nil {
			b.Fatal(err)
		}
		return u
	}
	defer func() { post("/end", ""); _ = cmd.Wait() }()
	empty := use()
	var received, connected atomic.Int64
	var pcs []*webrtc.PeerConnection
	defer func() {
		for _, pc := range pcs {
			_ = pc.Close()
		}
	}()
	for range viewers {
		pc := loadViewer(b, kind, &received, &connected)
		pcs = append(pcs, pc)
		offer, err := pc.CreateOffer(nil)
		if err != nil {
			b.Fatal(err)
		}
		gathered := webrtc.GatheringCompletePromise(pc)
		if err := pc.SetLocalDescription(offer); err != nil {
			b.Fatal(err)
		}
		<-gathered
		if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: post("/offer", pc.LocalDescription().SDP)}); err != nil {
			b.Fatal(err)
		}
	}
	for range 1000 {
		if connected.Load() == int64(viewers) {
			break
		}
		time.Sleep(20 * ms)
	}
	time.Sleep(2 * time.Second)
	idle := use()
	time.Sleep(4 * time.Second)
	rested := use()
	post("/flow", "")
	time.Sleep(time.Second)
	post("/profile", "")
	before, got := use(), received.Load()
	b.ResetTimer()
	time.Sleep(5 * time.Second)
	b.StopTimer()
	after := use()
	b.ReportMetric(float64((rested.CPU-idle.CPU).Microseconds())/1000/4/float64(viewers), "idle-ms/s")
	b.ReportMetric(float64(rested.Threads-empty.Threads)/float64(viewers), "goroutines")
	got = received.Load() - got
	if sent := after.Packets - before.Packets; sent > 0 {
		b.ReportMetric(float64((after.CPU-before.CPU).Nanoseconds())/1000/float64(sent), "us/packet")
		b.ReportMetric(100*float64(got)/float64(sent), "%arrived")
	}
	b.ReportMetric(float64(after.RSS)/(1<<20), "MiB")
	b.ReportMetric(float64(after.RSS-empty.RSS)/1024/float64(viewers), "KiB/viewer")
}

func loadViewer(b *testing.B, kind string, received, connected *atomic.Int64) *webrtc.PeerConnection {
	media := &webrtc.MediaEngine{}
	if err := media.RegisterDefaultCodecs(); err != nil {
		b.Fatal(err)
	}
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() && ip.To4() != nil })
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	settings.LoggerFactory = quiet()
	api := webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithSettingEngine(settings), webrtc.WithInterceptorRegistry(&interceptor.Registry{}))
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := pc.AddTransceiverFromKind(webrtc.NewRTPCodecType(kind), webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		b.Fatal(err)
	}
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			connected.Add(1)
		}
	})
	pc.OnTrack(func(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		buf := make([]byte, 1500)
		for {
			if _, _, err := t.Read(buf); err != nil {
				return
			}
			received.Add(1)
		}
	})
	return pc
}
