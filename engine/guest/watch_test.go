package guest

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// slotSource writes straight into the room, without WHIP.
type slotSource struct {
	*bench
	pub    engine.Publication
	seq    map[string]int64
	epoch  time.Time
	rates  map[string]int64
	offset uint32
}

func (b *bench) slot(name string, codecs ...string) *slotSource {
	b.Helper()
	s := &slotSource{bench: b, seq: map[string]int64{}, epoch: time.Now(), rates: map[string]int64{}, offset: uint32(len(name)) * 1_000_000_007}
	c := engine.SlotConfig{Slot: name, Participant: "ann"}
	for _, codec := range codecs {
		stream := engine.StreamConfig{Label: kindVideo, Kind: wire.KindVideo, Codec: codec, ClockRate: 90000}
		if codec == codecOpus || codec == codecRED {
			stream = engine.StreamConfig{Label: kindAudio, Kind: wire.KindAudio, Codec: codec, ClockRate: 48000, Channels: 2, Fmtp: "111/111"}
		}
		s.seq[stream.Label], s.rates[stream.Label] = 1000, int64(stream.ClockRate)
		c.Streams = append(c.Streams, stream)
	}
	var err error
	if s.pub, err = b.room.Publish(b.Context(), c); err != nil {
		b.Fatal(err)
	}
	return s
}

// write sends one packet with the timestamp of now.
func (s *slotSource) write(label string, payload string) {
	s.Helper()
	s.seq[label]++
	timestamp := s.offset + uint32(int64(time.Since(s.epoch))*s.rates[label]/int64(time.Second))
	p := &engine.MediaPacket{Sequence: s.seq[label], Timestamp: timestamp, Marker: true, Payload: []byte(payload), Level: wire.LevelUnknown}
	if err := s.pub.Write(label, p); err != nil {
		s.Fatal(err)
	}
}

// stream writes for so long: audio every 20 ms, video every 40 ms with a key frame every so many.
func (s *slotSource) stream(d time.Duration, keyEvery int) {
	s.Helper()
	for i := range int(d / (20 * time.Millisecond)) {
		if s.rates[kindAudio] != 0 {
			s.write(kindAudio, fmt.Sprint("A", i))
		}
		if s.rates[kindVideo] != 0 && i%2 == 0 {
			kind := "D"
			if keyEvery > 0 && i/2%keyEvery == 0 {
				kind = "K"
			}
			s.write(kindVideo, fmt.Sprint(kind, i/2))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// steady checks that numbers have no holes and timestamps only grow.
func steady(t *testing.T, list []arrival) {
	t.Helper()
	for i := 1; i < len(list); i++ {
		a, b := list[i-1], list[i]
		if b.SequenceNumber != a.SequenceNumber+1 || int32(b.Timestamp-a.Timestamp) <= 0 || a.SSRC != b.SSRC {
			t.Fatalf("%s packet %d: %d %d after %d %d", b.kind, i, b.SequenceNumber, b.Timestamp, a.SequenceNumber, a.Timestamp)
		}
	}
}

func TestLateJoin(t *testing.T) {
	bubble(t, func(b *bench) {
		s := b.slot("main", codecVP8, codecOpus)
		s.stream(3960*ms, 1000) // one group of pictures
		v := b.watch(engine.GuestOptions{Remote: remote}, "vp8", "opus")
		s.stream(2*time.Second, 0)
		got := v.take(kindVideo)
		steady(b.T, got)
		if string(got[0].Payload) != "K0" {
			t.Fatalf("began with %s", got[0].Payload)
		}
		backlog := 0
		for backlog+1 < len(got) && got[backlog+1].at.Sub(got[0].at) < 20*ms {
			backlog++
		}
		if backlog < 95 {
			t.Fatalf("%d packets came at once", backlog)
		}
		if span := got[backlog].Timestamp - got[0].Timestamp; span > 90000/10+2*3600 {
			t.Fatalf("the cached pictures span %d", span)
		}
		live := got[backlog+2:]
		for i := 1; i < len(live); i++ {
			if d := live[i].Timestamp - live[i-1].Timestamp; d != 3600 {
				t.Fatalf("live packet %d is %d after the one before", i, d)
			}
		}
	})
}

// TestOutOfOrderBacklog: what a room delivers late in a backlog is dropped; it is no new backlog.
func TestOutOfOrderBacklog(t *testing.T) {
	st := &engine.StreamState{ID: 1, Codec: codecVP8, Kind: wire.KindVideo}
	track := viewerTrack{kind: wire.KindVideo, codecs: []codec{{name: codecVP8, pt: 96}}, line: newTimeline(90000, 0, 0)}
	for i, c := range []struct {
		number uint64
		key    bool
		want   bool
	}{{9, false, false}, {10, true, true}, {12, false, true}, {11, false, false}, {13, false, true}, {10, true, true}, {11, false, true}} {
		it := &packet{stream: st, backlog: true, liveTime: 99, header: wire.Header{Stream: 1, Number: c.number, Timestamp: uint32(c.number), KeyFrame: c.key, FrameStart: true}}
		if got := track.ready(it); got != c.want {
			t.Fatalf("packet %d: %v", i, got)
		} else if got {
			track.line.place(0, source{stream: 1}, c.number, uint32(c.number), true, 99)
		}
	}
}

// TestPictureAtOnce: with a viewer that selects its pair at once too, as browsers nearly do, the first picture comes within
// the round trips that ICE and DTLS need.
func TestPictureAtOnce(t *testing.T) {
	bubble(t, func(b *bench) {
		s := b.slot("main", codecVP8, codecOpus)
		s.stream(time.Second, 1000)
		begin := time.Now()
		v := b.watch(engine.GuestOptions{}, "vp8", "opus")
		s.stream(time.Second, 0)
		got := v.take(kindVideo)
		if len(got) == 0 || got[0].at.Sub(begin) > 350*ms { // pion's own check interval is 200 ms of it
			t.Fatalf("%d packets; the first after %v", len(got), got[0].at.Sub(begin))
		}
	})
}

func TestRepairAndRefresh(t *testing.T) {
	bubble(t, func(b *bench) {
		s := b.slot("main", codecVP8, codecOpus)
		v := b.watch(engine.GuestOptions{}, "vp8", "opus")
		time.Sleep(time.Second)
		s.stream(time.Second, 1000)
		audio := v.takeBoth()
		steady(b.T, audio[kindAudio])
		steady(b.T, audio[kindVideo])
		for _, kind := range []string{kindAudio, kindVideo} {
			s.stream(200*ms, 0)
			got := v.takeBoth()[kind]
			want := got[len(got)-3]
			v.send(&rtcp.TransportLayerNack{MediaSSRC: want.SSRC, Nacks: rtcp.NackPairsFromSequenceNumbers([]uint16{want.SequenceNumber, 7})})
			time.Sleep(50 * ms)
			// SRTP drops what a receiver has already: that the packet was sent again shows in the counter.
			if n := b.service.Stats().Retransmitted; n == 0 {
				t.Fatalf("%s: nothing was sent again", kind)
			}
			b.service.count.retransmitted.Store(0)
		}
		before := b.room.refresh
		video := audio[kindVideo][0]
		for range 5 {
			v.send(&rtcp.PictureLossIndication{MediaSSRC: video.SSRC})
			time.Sleep(50 * ms)
		}
		if b.room.refresh != before+1 {
			t.Fatalf("%d refreshes", b.room.refresh-before)
		}
		again := v.takeBoth()[kindVideo]
		steady(b.T, again)
		if len(again) < 25 || string(again[0].Payload) != "K0" {
			t.Fatalf("%d packets, first %s", len(again), again[0].Payload)
		}
		v.send(&rtcp.FullIntraRequest{MediaSSRC: video.SSRC, FIR: []rtcp.FIREntry{{SSRC: video.SSRC}}})
		s.stream(200*ms, 0)
		if more := v.takeBoth()[kindVideo]; len(more) < 30 {
			t.Fatalf("%d packets after FIR", len(more))
		} else {
			steady(b.T, append(again, more...))
		}
		// While the publisher sends nothing, the old pictures once more are enough: more of them look like a stream that goes on.
		before = b.room.refresh
		for range 5 {
			v.send(&rtcp.PictureLossIndication{MediaSSRC: video.SSRC})
			time.Sleep(600 * ms)
		}
		if b.room.refresh != before+1 {
			t.Fatalf("%d refreshes while nothing came", b.room.refresh-before)
		}
		s.stream(200*ms, 0)
		v.send(&rtcp.PictureLossIndication{MediaSSRC: video.SSRC})
		time.Sleep(100 * ms)
		if b.room.refresh != before+2 {
			t.Fatalf("%d refreshes when it went on", b.room.refresh-before)
		}
	})
}

func (v *viewer) send(p rtcp.Packet) {
	v.Helper()
	if err := v.pc.WriteRTCP([]rtcp.Packet{p}); err != nil {
		v.Fatal(err)
	}
}

// takeBoth is take for both kinds at once.
func (v *viewer) takeBoth() map[string][]arrival {
	time.Sleep(300 * ms)
	synctest.Wait()
	all := map[string][]arrival{}
	for {
		select {
		case p := <-v.packets:
			all[p.kind] = append(all[p.kind], p)
		default:
			return all
		}
	}
}

// TestNextSlot: when a slot ends the session stays and goes on with the next, on the same SSRC, also in another codec.
func TestNextSlot(t *testing.T) {
	bubble(t, func(b *bench) {
		v := b.watch(engine.GuestOptions{Remote: remote}, "vp8", "h264", "opus")
		time.Sleep(time.Second)
		first := b.slot("first", codecVP8, codecOpus)
		first.stream(400*ms, 100)
		second := b.slot("another", codecH264, codecRED)
		for i := range 20 { // both at once: the first goes on
			first.write(kindVideo, "D")
			first.write(kindAudio, "A")
			second.write(kindVideo, map[bool]string{true: "K", false: "D"}[i == 0])
			second.write(kindAudio, string(appendRED(nil, 111, []byte("second"))))
			time.Sleep(20 * ms)
		}
		if err := first.pub.End(); err != nil {
			t.Fatal(err)
		}
		second.write(kindVideo, "D of a picture whose start the viewer does not have")
		time.Sleep(500 * ms)
		second.write(kindAudio, string(appendRED(nil, 111, []byte("second"))))
		second.write(kindVideo, "D")
		all := v.takeBoth()
		for kind, list := range all {
			steady(b.T, list)
			types := map[uint8]int{}
			for _, p := range list {
				types[p.PayloadType]++
			}
			want := map[string]int{kindAudio: 1, kindVideo: 2}[kind]
			if len(types) != want {
				t.Fatalf("%s payload types %v", kind, types)
			}
			for i := 1; i < len(list); i++ {
				rate := map[string]float64{kindAudio: 48000, kindVideo: 90000}[kind]
				wall := list[i].at.Sub(list[i-1].at)
				media := time.Duration(float64(list[i].Timestamp-list[i-1].Timestamp) / rate * float64(time.Second))
				if d := media - wall; d > 120*ms || d < -120*ms {
					t.Fatalf("%s packet %d: %v of media in %v", kind, i, media, wall)
				}
			}
		}
		if last := all[kindAudio][len(all[kindAudio])-1]; string(last.Payload) != "second" {
			t.Fatalf("a viewer without RED got %q", last.Payload)
		}
	})
}

func TestSlotByName(t *testing.T) {
	bubble(t, func(b *bench) {
		v := b.watch(engine.GuestOptions{Slot: "wanted"}, "opus")
		time.Sleep(time.Second)
		other, wanted := b.slot("other", codecOpus), b.slot("wanted", codecOpus)
		other.write(kindAudio, "other")
		wanted.write(kindAudio, "wanted")
		if got := v.take(kindAudio); len(got) != 1 || string(got[0].Payload) != "wanted" {
			t.Fatalf("%d packets", len(got))
		}
	})
}

func TestNoCommonCodec(t *testing.T) {
	bubble(t, func(b *bench) {
		v := b.watch(engine.GuestOptions{Remote: remote}, "vp8", "opus")
		only := b.watch(engine.GuestOptions{}, "vp8")
		time.Sleep(time.Second)
		s := b.slot("main", codecAV1, codecOpus)
		s.stream(100*ms, 1)
		if got := v.takeBoth(); len(got[kindAudio]) != 5 || len(got[kindVideo]) != 0 {
			t.Fatalf("%d %d", len(got[kindAudio]), len(got[kindVideo]))
		}
		<-only.session.Done()
		var u *engine.UserError
		if !errors.As(only.session.Err(), &u) || u.Code != engine.CodeNoCommonCodec {
			t.Fatal(only.session.Err())
		}
		if st := b.service.Stats(); st.Watching != 1 || b.room.slots != 1 || len(b.room.sinks) != 1 {
			t.Fatalf("%+v", st)
		}
	})
}

// TestLipSyncAtViewer: reports of both streams place what was recorded together at the same time.
func TestLipSyncAtViewer(t *testing.T) {
	bubble(t, func(b *bench) {
		v := b.watch(engine.GuestOptions{}, "vp8", "opus")
		time.Sleep(time.Second)
		s := b.slot("main", codecVP8, codecOpus)
		// The publisher's clock is a day fast.
		for label := range s.rates {
			s.pub.Clock(label, s.offset, s.epoch.Add(24*time.Hour).UnixMicro())
		}
		s.stream(3*time.Second, 30)
		all := v.takeBoth()
		if len(v.reports) < 6 {
			t.Fatalf("%d reports", len(v.reports))
		}
		wall := map[uint32]map[uint32]time.Time{} // by SSRC and timestamp
		close(v.reports)
		for r := range v.reports {
			kind, rate := kindAudio, int64(48000)
			if r.SSRC == all[kindVideo][0].SSRC {
				kind, rate = kindVideo, 90000
			}
			at := time.UnixMicro(ntpToUnix(r.NTPTime))
			if d := time.Since(at); d < 0 || d > 5*time.Second {
				t.Fatalf("a report speaks of %v ago", d)
			}
			for _, p := range all[kind] {
				recorded := at.Add(time.Duration(int64(int32(p.Timestamp-r.RTPTime)) * int64(time.Second) / rate))
				if wall[p.SSRC] == nil {
					wall[p.SSRC] = map[uint32]time.Time{}
				}
				if before, ok := wall[p.SSRC][p.Timestamp]; ok && before.Sub(recorded).Abs() > ms {
					t.Fatalf("%s: reports differ by %v", kind, before.Sub(recorded))
				}
				wall[p.SSRC][p.Timestamp] = recorded
			}
		}
		for i, p := range all[kindVideo] {
			a := all[kindAudio][2*i]
			if d := wall[p.SSRC][p.Timestamp].Sub(wall[a.SSRC][a.Timestamp]).Abs(); d > ms {
				t.Fatalf("frame %d is %v away from its sound", i, d)
			}
		}
	})
}

func TestWrapInSRTPNumbers(t *testing.T) {
	bubble(t, func(b *bench) {
		v := b.watch(engine.GuestOptions{}, "opus")
		time.Sleep(time.Second)
		s := b.slot("main", codecOpus)
		total := 0
		for range 70 {
			for range 1000 {
				s.write(kindAudio, "A")
				time.Sleep(100 * time.Microsecond)
			}
			got := v.take(kindAudio)
			total += len(got)
		}
		if total != 70000 {
			t.Fatalf("%d packets of 70000", total)
		}
	})
}

// TestAppendHeader: what is written reads back, in the form that it needs, and what has no form is left out.
func TestAppendHeader(t *testing.T) {
	for _, c := range []struct {
		name    string
		mixed   bool
		list    [2]extension
		profile uint16
		want    map[uint8]int // lengths by id
	}{
		{"none", false, [2]extension{}, 0, nil},
		{"one octet", false, [2]extension{{1, []byte{7}}, {14, make([]byte, 16)}}, rtp.ExtensionProfileOneByte, map[uint8]int{1: 1, 14: 16}},
		{"second only", true, [2]extension{{}, {3, []byte{7, 8}}}, rtp.ExtensionProfileOneByte, map[uint8]int{3: 2}},
		{"long for a viewer who does not take it", false, [2]extension{{15, make([]byte, 3)}, {3, make([]byte, 17)}}, 0, nil},
		{"two octets", true, [2]extension{{2, []byte{1}}, {3, make([]byte, 17)}}, rtp.ExtensionProfileTwoByte, map[uint8]int{2: 1, 3: 17}},
		{"large id", true, [2]extension{{200, []byte{1}}, {}}, rtp.ExtensionProfileTwoByte, map[uint8]int{200: 1}},
		{"too long", true, [2]extension{{2, make([]byte, 256)}, {}}, 0, nil},
	} {
		b := appendHeader(nil, true, 111, 65535, 1<<31, 9, c.mixed, c.list)
		var h rtp.Header
		n, err := h.Unmarshal(append(b, "payload"...))
		if err != nil || n != len(b) || len(b) > rtpHeaderSize+maxExtensions {
			t.Fatalf("%s: %d of %d octets, %v", c.name, n, len(b), err)
		}
		if !h.Marker || h.PayloadType != 111 || h.SequenceNumber != 65535 || h.Timestamp != 1<<31 || h.SSRC != 9 {
			t.Fatalf("%s: %+v", c.name, h)
		}
		got := map[uint8]int{}
		for _, id := range h.GetExtensionIDs() {
			got[id] = len(h.GetExtension(id))
		}
		if h.Extension != (c.want != nil) || h.Extension && h.ExtensionProfile != c.profile || len(got) != len(c.want) {
			t.Fatalf("%s: %+v %v", c.name, h, got)
		}
		for id, n := range c.want {
			if got[id] != n {
				t.Fatalf("%s: %v", c.name, got)
			}
		}
	}
}
