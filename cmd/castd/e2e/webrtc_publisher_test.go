//go:build linux

package e2e_test

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// The programme: 50 Opus packets a second; 30 pictures a second in bursts of 5 packets, key frames in bursts of 20, unless a test
// wants smaller ones.
const (
	audioEvery  = 20 * time.Millisecond
	audioTicks  = 960
	pictureTime = time.Second / 30
	videoTicks  = 3000
	keyPackets  = 20
	deltaPacket = 5
	// firstAudio and firstVideo are the first timestamps: soon they wrap.
	firstAudio = 0xFFFFFFFF - 100*audioTicks
	firstVideo = 0xFFFFFFFF - 45*videoTicks
	// keyGap is the least time between two key frames, as encoders have one.
	keyGap = 100 * time.Millisecond
)

// publisher is a WHIP client that sends the programme.
type publisher struct {
	*guest
	sent    programme
	keys    time.Duration // between key frames that nobody asked for
	sizes   pictureSizes
	tracks  [2]*webrtc.TrackLocalStaticRTP
	ext     [2]uint8
	wishes  atomic.Int64 // PLI and FIR received
	wanted  atomic.Bool
	senders [2]*webrtc.RTPSender
	late    lateness
	stop    chan struct{}
	done    sync.WaitGroup
}

// lateness collects how late something was.
type lateness struct {
	mu  sync.Mutex
	all []time.Duration
}

func (l *lateness) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, max(0, d))
}

// take returns what was collected and begins anew.
func (l *lateness) take() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all
	l.all = nil
	return all
}

// pictureSizes are the packets of key frames and of other pictures.
type pictureSizes struct{ key, delta int }

// usualPictures make a programme of 1.1 Mbit/s.
var usualPictures = pictureSizes{keyPackets, deltaPacket}

// publish connects to a room by WHIP and sends until finish is called. A key frame comes every keys, or when one is asked for.
func publish(t *testing.T, base, token, room string, keys time.Duration, sizes pictureSizes) *publisher {
	t.Helper()
	p := &publisher{guest: newGuest(t, base, token), keys: keys, sizes: sizes, stop: make(chan struct{})}
	var err error
	for track, c := range []webrtc.RTPCodecCapability{
		{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}, {MimeType: webrtc.MimeTypeVP8, ClockRate: 90000},
	} {
		if p.tracks[track], err = webrtc.NewTrackLocalStaticRTP(c, trackNames[track], "e2e"); err != nil {
			t.Fatal(err)
		}
		transceiver, err := p.pc.AddTransceiverFromTrack(p.tracks[track], webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		if err != nil {
			t.Fatal(err)
		}
		p.senders[track] = transceiver.Sender()
	}
	p.negotiate(context.Background(), t, "/whip/"+room)
	p.waitConnected(t)
	for track, uri := range []string{uriAudioLevel, uriOrientation} {
		if p.ext[track] = extensionID(p.senders[track].GetParameters().RTPParameters, uri); p.ext[track] == 0 {
			t.Fatalf("%s was not accepted", uri)
		}
		go p.readFeedback(p.senders[track])
	}
	start := clock() + audioEvery
	p.done.Go(func() { p.sendAudio(start) })
	p.done.Go(func() { p.sendVideo(start) })
	p.done.Go(func() { p.sendReports(start) })
	return p
}

// finish stops sending and returns when the last packet is out. The session stays.
func (p *publisher) finish() {
	close(p.stop)
	p.done.Wait()
}

func (p *publisher) readFeedback(s *webrtc.RTPSender) {
	for {
		packets, _, err := s.ReadRTCP()
		if err != nil {
			return
		}
		for _, packet := range packets {
			switch packet.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				p.wishes.Add(1)
				p.wanted.Store(true)
			}
		}
	}
}

// pace calls send at a steady rate from start until stop; how late each call was is collected.
func (p *publisher) pace(start, every time.Duration, send func(i int)) {
	runtime.LockOSThread()
	timer := time.NewTimer(time.Until(began.Add(start)))
	defer timer.Stop()
	for i := 0; ; i++ {
		select {
		case <-p.stop:
			return
		case <-timer.C:
		}
		due := start + time.Duration(i)*every
		p.late.add(clock() - due)
		send(i)
		timer.Reset(due + every - clock())
	}
}

// sendAudio begins near the end of the ranges of numbers and timestamps.
func (p *publisher) sendAudio(start time.Duration) {
	p.pace(start, audioEvery, func(i int) {
		s := stamp{track: audioTrack, counter: uint64(i), sent: clock()}
		level := byte(i) | 0x80
		if i%7 == 0 {
			level &= 0x7f
		}
		sent := sentPacket{
			payload: opusPayload(s), timestamp: firstAudio + uint32(i)*audioTicks, marker: i%50 == 0, level: level,
			orientation: -1, at: s.sent, frame: i,
		}
		p.write(audioTrack, uint16(65500+i), &sent, []byte{level})
	})
}

func (p *publisher) sendVideo(start time.Duration) {
	n := 0
	var lastKey time.Duration
	p.pace(start, pictureTime, func(i int) {
		now := clock()
		key := i == 0 || now-lastKey >= p.keys || p.wanted.Load() && now-lastKey >= keyGap
		count := p.sizes.delta
		if key {
			p.wanted.Store(false)
			lastKey, count = now, p.sizes.key
		}
		for k := range count {
			s := stamp{track: videoTrack, counter: uint64(n), sent: clock()}
			sent := sentPacket{
				payload: vp8Payload(s, uint16(i), key, k, count), timestamp: firstVideo + uint32(i)*videoTicks,
				marker: k == count-1, orientation: -1, at: s.sent, frame: i, key: key, start: k == 0,
			}
			var orientation []byte
			if sent.marker { // with the last packet of a frame, as RFC 7742 and 3GPP TS 26.114 have it
				sent.orientation = i % 4
				orientation = []byte{byte(i % 4)}
			}
			p.write(videoTrack, uint16(65300+n), &sent, orientation)
			n++
		}
	})
}

// sendReports tells by sender reports (RFC 3550 section 6.4.1) which timestamp belongs to which time, each half second. They go by
// when packets were due: those who capture late do not play late.
func (p *publisher) sendReports(start time.Duration) {
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-ticker.C:
		}
		now := clock()
		wall := uint64(began.Add(now).UnixNano())
		ntp := (wall/1e9+2208988800)<<32 | (wall%1e9)<<32/1e9
		for track, first := range []uint32{firstAudio, firstVideo} {
			rate := []int64{48000, 90000}[track]
			_ = p.pc.WriteRTCP([]rtcp.Packet{&rtcp.SenderReport{
				SSRC: uint32(p.senders[track].GetParameters().Encodings[0].SSRC), NTPTime: ntp,
				RTPTime: first + uint32(int64(now-start)*rate/int64(time.Second)), PacketCount: uint32(p.sent.count(track)),
			}})
		}
	}
}

// write remembers a packet and sends it.
func (p *publisher) write(track int, sequence uint16, s *sentPacket, extension []byte) {
	packet := &rtp.Packet{
		Header:  rtp.Header{Version: 2, SequenceNumber: sequence, Timestamp: s.timestamp, Marker: s.marker},
		Payload: s.payload,
	}
	if extension != nil {
		_ = packet.SetExtension(p.ext[track], extension) // an octet always fits
	}
	p.sent.add(track, *s)
	_ = p.tracks[track].WriteRTP(packet) // what cannot be sent is missed at the other end
}
