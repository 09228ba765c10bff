package guest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/castd/castd/engine"
)

// filmer takes part in a call with video.
type filmer struct {
	*bench
	name    string
	pc      *webrtc.PeerConnection
	session engine.GuestSession
	data    *webrtc.DataChannel
	sender  *webrtc.RTPSender
	tracks  []*webrtc.TrackLocalStaticRTP // encodings of his camera
	numbers []uint16
	pad     int // octets that pictures have besides
	rtcp    chan rtcp.Packet

	mu       sync.Mutex // guards all following fields
	sections []sectionMessage
	you      string
	codes    []string
	seen     map[string][]arrival // by a=mid
	forgot   map[string]bool      // but for the last one
}

// callTo connects somebody with a camera of so many encodings, and so many sections for others.
func (b *bench) callTo(name string, encodings, sections int) *filmer {
	b.Helper()
	f := &filmer{bench: b, name: name, pc: b.client("opus", "vp8"), seen: map[string][]arrival{}, forgot: map[string]bool{}, rtcp: make(chan rtcp.Packet, 10000), numbers: make([]uint16, max(1, encodings))}
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	voice, err := webrtc.NewTrackLocalStaticRTP(clientCodecs()["opus"].RTPCodecCapability, "voice", name)
	must(err)
	_, err = f.pc.AddTransceiverFromTrack(voice)
	must(err)
	for i := range encodings {
		var options []func(*webrtc.TrackLocalStaticRTP)
		if encodings > 1 {
			options = append(options, webrtc.WithRTPStreamID(fmt.Sprint("r", i)))
		}
		track, err := webrtc.NewTrackLocalStaticRTP(clientCodecs()["vp8"].RTPCodecCapability, "camera", name, options...)
		must(err)
		f.tracks = append(f.tracks, track)
		if i > 0 {
			must(f.sender.AddEncoding(track))
			continue
		}
		t, err := f.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		must(err)
		f.sender = t.Sender()
	}
	for range sections {
		_, err := f.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
		must(err)
	}
	f.data, err = f.pc.CreateDataChannel(channelLabel, nil)
	must(err)
	f.data.OnMessage(f.told)
	f.pc.OnTrack(f.watchTrack)
	f.session, err = b.service.Call(b.Context(), b.room, b.offer(f.pc), engine.GuestOptions{Participant: name, Name: name})
	must(err)
	b.accept(f.pc, f.session.Answer())
	if f.sender != nil {
		go f.readReports()
	}
	time.Sleep(2 * time.Second)
	if state := f.pc.ConnectionState(); state != webrtc.PeerConnectionStateConnected {
		b.Fatalf("%s is %v", name, state)
	}
	return f
}

func (f *filmer) readReports() {
	for {
		packets, _, err := f.sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			f.rtcp <- p
		}
	}
}

func (f *filmer) told(m webrtc.DataChannelMessage) {
	var s struct {
		Type, You, Code string
		Sections        []sectionMessage
	}
	if json.Unmarshal(m.Data, &s) != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.Type == "state" {
		f.you, f.sections = s.You, s.Sections
	} else if s.Type == "notice" {
		f.codes = append(f.codes, s.Code)
	}
}

func (f *filmer) watchTrack(t *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
	mid := ""
	for _, tr := range f.pc.GetTransceivers() {
		if tr.Receiver() == r {
			mid = tr.Mid()
		}
	}
	for {
		p, _, err := t.ReadRTP()
		if err != nil {
			return
		}
		if t.Kind() == webrtc.RTPCodecTypeAudio {
			continue
		}
		f.mu.Lock()
		f.seen[mid] = append(f.seen[mid], arrival{kindVideo, time.Now(), p})
		f.mu.Unlock()
	}
}

// film sends pictures of one packet for a while, the first a key frame, and then one every so many: "Kann0" says whose, and of which
// encoding.
func film(d time.Duration, keyEvery int, all ...*filmer) {
	for i := range int(d / (40 * ms)) {
		for _, f := range all {
			for j := range f.tracks {
				f.picture(j, keyEvery > 0 && i%keyEvery == 0)
			}
		}
		time.Sleep(40 * ms)
	}
}

// picture sends one.
func (f *filmer) picture(encoding int, key bool) {
	f.Helper()
	kind := "D"
	if key {
		kind = "K"
	}
	f.numbers[encoding]++
	p := &rtp.Packet{
		Header:  rtp.Header{Version: 2, SequenceNumber: f.numbers[encoding], Timestamp: uint32(f.numbers[encoding]) * 3600, Marker: true},
		Payload: append([]byte(fmt.Sprint(kind, f.name, encoding)), make([]byte, f.pad)...),
	}
	if len(f.tracks) > 1 {
		for _, e := range f.sender.GetParameters().HeaderExtensions {
			if e.URI == uriRID {
				_ = p.SetExtension(uint8(e.ID), []byte(f.tracks[encoding].RID()))
			}
		}
	}
	if err := f.tracks[encoding].WriteRTP(p); err != nil {
		f.Fatal(err)
	}
}

// carries waits until all is quiet and returns who is in each video section, "-" for nobody, by name.
func (f *filmer) carries(all ...*filmer) (list []string) {
	time.Sleep(50 * ms)
	synctest.Wait()
	names := map[string]string{"": "-"}
	for _, o := range all {
		o.mu.Lock()
		names[o.you] = o.name
		o.mu.Unlock()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sections {
		if s.Kind == kindVideo {
			list = append(list, names[s.Carries])
		}
	}
	return list
}

// pictures returns what came in the n-th section of video for others, each kind of picture once in a row, and forgets it. Numbers and times must go on.
func (f *filmer) pictures(n int) (list []string) {
	f.Helper()
	time.Sleep(50 * ms)
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	mid := ""
	at := 0
	for _, s := range f.sections {
		if s.Kind == kindVideo {
			if at == n {
				mid = s.MID
			}
			at++
		}
	}
	steady(f.T, f.seen[mid])
	for i, p := range f.seen[mid] {
		if of := strings.TrimRight(string(p.Payload[1:]), "\x00"); len(list) == 0 || list[len(list)-1] != of {
			if p.Payload[0] != 'K' && (i > 0 || !f.forgot[mid]) {
				f.Fatalf("%s begins with %s", of, p.Payload)
			}
			list = append(list, of)
		}
	}
	if k := len(f.seen[mid]); k > 0 {
		f.seen[mid], f.forgot[mid] = f.seen[mid][k-1:], true // from which numbers go on
	}
	return list
}

// notices returns the codes of what he was told, and mids his sections.
func (f *filmer) notices() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.codes)
}

func (f *filmer) mids() (list []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sections {
		list = append(list, s.MID)
	}
	return list
}

// id returns what he is called in the call.
func (f *filmer) id() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.you
}

func (f *filmer) say(message string) {
	f.Helper()
	if err := f.data.SendText(message); err != nil {
		f.Fatal(err)
	}
	time.Sleep(100 * ms)
	synctest.Wait()
}

// TestCallVideo: three participants see each other, each picture by a fixed section; who speaks is never himself there, and comes first; wishes
// pin, close and open sections; and who leaves is gone.
func TestCallVideo(t *testing.T) {
	bubble(t, func(b *bench) {
		ann, bob, eve := b.callTo("ann", 1, 2), b.callTo("bob", 1, 1), b.callTo("eve", 1, 1)
		all := []*filmer{ann, bob, eve}
		b.room.say(-1)
		film(200*ms, 10, ann) // whose camera is live before the others
		film(200*ms, 10, ann, bob)
		film(2*time.Second, 10, all...)
		want := func(what string, f *filmer, sections ...string) {
			t.Helper()
			if got := f.carries(all...); !slices.Equal(got, sections) {
				t.Fatalf("%s: %s is told %v, want %v", what, f.name, got, sections)
			}
		}
		want("at first", ann, "bob", "eve")
		want("at first", bob, "ann")
		want("at first", eve, "ann")
		if got := ann.pictures(0); !slices.Equal(got, []string{"bob0"}) {
			t.Fatalf("ann sees %v", got)
		}
		if got := ann.pictures(1); !slices.Equal(got, []string{"eve0"}) {
			t.Fatalf("ann sees %v", got)
		}
		b.room.say(2)
		film(4*time.Second, 100, all...)
		want("eve speaks", ann, "bob", "eve")
		want("eve speaks", bob, "eve")
		want("eve speaks", eve, "ann")
		if got := bob.pictures(0); !slices.Equal(got, []string{"ann0", "eve0"}) {
			t.Fatalf("bob sees %v", got)
		}
		mids := ann.mids()
		ann.say(fmt.Sprintf(`{"type":"want","sections":[{"mid":%q,"participant":%q},{"mid":"nine"},{"mid":%q,"participant":"nobody"},{"mid":%q,"participant":%q}]}`,
			mids[1], eve.id(), mids[2], mids[2], ann.id()))
		film(time.Second, 10, all...)
		want("eve pinned", ann, "eve", "bob")
		if codes := ann.notices(); !slices.Equal(codes, []string{"no_such_section", engine.CodeNoParticipant, engine.CodeNoParticipant}) {
			t.Fatal(codes)
		}
		ann.say(fmt.Sprintf(`{"type":"want","sections":[{"mid":%q,"closed":true}]}`, mids[2]))
		film(time.Second, 10, all...)
		want("closed", ann, "eve", "-")
		ann.pictures(1)
		film(time.Second, 10, all...)
		if got := ann.pictures(1); len(got) != 1 { // the last one before
			t.Fatalf("in a closed section ann sees %v", got)
		}
		ann.say(fmt.Sprintf(`{"type":"want","sections":[{"mid":%q}]}`, mids[2]))
		bob.say(`{"type":"camera","on":false}`)
		film(time.Second, 10, all...)
		want("bob's camera is off", ann, "eve", "-")
		bob.say(`{"type":"camera","on":true}`)
		film(2*time.Second, 10, all...)
		want("bob's camera is on", ann, "eve", "bob")
		// Silence ends the slot too, and so does leaving.
		film(2*cameraSilence, 10, ann, eve)
		want("bob sends nothing", ann, "eve", "-")
		_ = eve.session.Close()
		film(time.Second, 10, ann, bob)
		want("eve has left", ann, "bob", "-")
	})
}

// TestCallVideoWaits: nobody sees who was not let in, nor does he see anybody.
func TestCallVideoWaits(t *testing.T) {
	bubble(t, func(b *bench) {
		ann, bob := b.callTo("ann", 1, 1), b.callTo("bob", 1, 1)
		inside := &engine.CallState{Participants: []engine.CallParticipant{{Participant: b.room.calls[0].config.Participant}, {Participant: b.room.calls[1].config.Participant, Waiting: true}}}
		outside := *inside
		outside.Waiting = engine.WaitingHost
		b.room.calls[0].config.Tell(inside)
		b.room.calls[1].config.Tell(&outside)
		film(2*time.Second, 10, ann, bob)
		if a, o := ann.carries(ann, bob), bob.carries(ann, bob); a[0] != "-" || o[0] != "-" {
			t.Fatalf("ann sees %v, bob %v", a, o)
		}
		if all := b.room.Streams(); len(all) != 1 {
			t.Fatalf("%d streams", len(all))
		}
		b.room.say(-1)
		film(2*time.Second, 10, ann, bob)
		if a, o := ann.carries(ann, bob), bob.carries(ann, bob); a[0] != "bob" || o[0] != "ann" {
			t.Fatalf("ann sees %v, bob %v", a, o)
		}
	})
}

// TestCallSimulcast: of the encodings of a camera each section gets the one that is wanted there, without a hole or a jump; what does not come
// is done without.
func TestCallSimulcast(t *testing.T) {
	bubble(t, func(b *bench) {
		ann, bob := b.callTo("ann", 3, 1), b.callTo("bob", 0, 1)
		if got := ann.session.Answer(); !strings.Contains(got, "a=simulcast:recv r0;r1;r2\r\n") {
			t.Fatal(got)
		}
		b.room.say(-1)
		sizes := map[int]int{0: 1000, 1: 300, 2: 100}
		send := func(d time.Duration, encodings ...int) {
			for i := range int(d / (40 * ms)) {
				for _, j := range encodings {
					ann.pad = sizes[j]
					ann.picture(j, i%10 == 0)
				}
				time.Sleep(40 * ms)
			}
		}
		send(4*time.Second, 0, 1, 2)
		if n := len(b.room.Streams()); n != 3 {
			t.Fatalf("%d streams", n)
		}
		got := bob.pictures(0)
		if got[len(got)-1] != "ann0" {
			t.Fatalf("bob sees %v", got)
		}
		// The sizes of these pictures are not known; a line that loses much shows which is the smallest.
		mid := bob.mids()[1]
		bob.mu.Lock()
		ssrc := bob.seen[mid][0].SSRC
		bob.mu.Unlock()
		for range 12 {
			report := &rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{SSRC: ssrc, FractionLost: 200}}}
			if err := bob.pc.WriteRTCP([]rtcp.Packet{report}); err != nil {
				t.Fatal(err)
			}
			send(time.Second, 0, 1, 2)
		}
		if got := bob.pictures(0); got[len(got)-1] == "ann0" {
			t.Fatalf("bob sees %v", got)
		}
		send(4*time.Second, 2)
		if got := bob.pictures(0); got[len(got)-1] != "ann2" {
			t.Fatalf("bob sees %v", got)
		}
		send(4*time.Second, 0)
		if got := bob.pictures(0); got[len(got)-1] != "ann0" {
			t.Fatalf("bob sees %v", got)
		}
	})
}

// TestAudienceSeesWhatComes: who watches a conference sees the largest encoding of a camera that comes.
func TestAudienceSeesWhatComes(t *testing.T) {
	bubble(t, func(b *bench) {
		b.room.mode = "conference"
		ann := b.callTo("ann", 3, 0)
		b.room.say(-1)
		send := func(d time.Duration, encodings ...int) {
			for i := range int(d / (40 * ms)) {
				for _, j := range encodings {
					ann.picture(j, i%10 == 0)
				}
				time.Sleep(40 * ms)
			}
		}
		send(time.Second, 0, 1, 2)
		v := b.watch(engine.GuestOptions{}, "vp8", "opus")
		last := func() string {
			got := v.take(kindVideo)
			steady(b.T, got)
			if len(got) == 0 {
				return ""
			}
			return string(got[len(got)-1].Payload[1:])
		}
		send(4*time.Second, 0, 1, 2)
		if got := last(); got != "ann0" {
			t.Fatal(got)
		}
		send(6*time.Second, 1, 2)
		if got := last(); got != "ann1" {
			t.Fatal(got)
		}
		send(6*time.Second, 0, 1, 2)
		if got := last(); got != "ann0" {
			t.Fatal(got)
		}
	})
}

// TestCallVideoRepair: what is lost of a camera is asked for, key frames too, and reported; what a viewer asks for comes again.
func TestCallVideoRepair(t *testing.T) {
	bubble(t, func(b *bench) {
		ann, bob := b.callTo("ann", 1, 1), b.callTo("bob", 0, 1)
		b.room.say(-1)
		film(time.Second, 10, ann)
		ann.numbers[0] += 2 // are lost
		film(time.Second, 0, ann)
		counts := map[string]int{}
		for len(ann.rtcp) > 0 {
			switch p := (<-ann.rtcp).(type) {
			case *rtcp.TransportLayerNack:
				for _, n := range p.Nacks {
					counts["nack"] += len(n.PacketList())
				}
			default:
				counts[fmt.Sprintf("%T", p)]++
			}
		}
		if counts["nack"] < 2 || counts["*rtcp.PictureLossIndication"] == 0 || counts["*rtcp.ReceiverReport"]+counts["*rtcp.SenderReport"] == 0 {
			t.Fatal(counts)
		}
		before := b.service.Stats().Retransmitted
		refreshed := func() int {
			b.room.mu.Lock()
			defer b.room.mu.Unlock()
			return b.room.refresh
		}
		bob.mu.Lock()
		seen := bob.seen[bob.sections[1].MID]
		bob.mu.Unlock()
		last, refresh := seen[len(seen)-1], refreshed()
		for _, p := range []rtcp.Packet{
			&rtcp.TransportLayerNack{MediaSSRC: last.SSRC, Nacks: []rtcp.NackPair{{PacketID: last.SequenceNumber}}},
			&rtcp.PictureLossIndication{MediaSSRC: last.SSRC},
		} {
			if err := bob.pc.WriteRTCP([]rtcp.Packet{p}); err != nil {
				t.Fatal(err)
			}
		}
		film(200*ms, 0, ann)
		synctest.Wait()
		if n := b.service.Stats().Retransmitted - before; n != 1 || refreshed() != refresh+1 {
			t.Fatalf("%d retransmitted, %d refreshed", n, refreshed()-refresh)
		}
	})
}

// TestCallCameraRefused: who may not send video is told so, and hears and is heard all the same.
func TestCallCameraRefused(t *testing.T) {
	bubble(t, func(b *bench) {
		b.room.refuse = engine.NewUserError(engine.CodeNotAllowed, "You may not send video.")
		ann := b.callTo("ann", 1, 1)
		b.room.say(-1)
		film(time.Second, 10, ann)
		if codes := ann.notices(); !slices.Equal(codes, []string{engine.CodeNotAllowed}) {
			t.Fatal(codes)
		}
		select {
		case <-ann.session.Done():
			t.Fatal(ann.session.Err())
		default:
		}
		b.room.refuse = nil
		film(2*cameraRetry, 10, ann)
		if all := b.room.Streams(); len(all) != 1 || !all[0].Live || all[0].Slot != cameraSlot {
			t.Fatalf("%+v", all)
		}
	})
}

// TestCallVideoOffer: which sections of a call are taken for what, and how they are answered.
func TestCallVideoOffer(t *testing.T) {
	base, video, _ := strings.Cut(browserOffer, "m=video")
	video, _, _ = strings.Cut("m=video"+video, "m=application")
	video = strings.ReplaceAll(strings.ReplaceAll(video, "a=mid:1\n", "a=mid:MID\n"), "a=sendrecv", "a=DIRECTION")
	offer := func(directions ...string) string {
		text := base
		for i, d := range directions {
			text += strings.NewReplacer("MID", fmt.Sprint(i+1), "DIRECTION", d).Replace(video)
		}
		bundle := "a=group:BUNDLE 0"
		for i := range directions {
			bundle += fmt.Sprint(" ", i+1)
		}
		return crlf(strings.Replace(text, "a=group:BUNDLE 0 1 2", bundle, 1))
	}
	uses := func(directions ...string) string {
		o, err := parseOffer(offer(directions...), calling)
		if err != nil {
			return err.Error()
		}
		var list []string
		for _, s := range o.sections[1:] {
			switch {
			case !s.accepted:
				list = append(list, "-")
			case s.use == filming:
				list = append(list, "camera")
			default:
				list = append(list, "slot")
			}
		}
		return strings.Join(list, " ")
	}
	for in, want := range map[string]string{
		"sendrecv":                            "camera",
		"sendonly recvonly recvonly":          "camera slot slot",
		"recvonly sendonly sendonly sendrecv": "slot camera - slot",
		"inactive recvonly":                   "- slot",
	} {
		if got := uses(strings.Fields(in)...); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	strange := strings.NewReplacer("VP8/", "XP8/", "VP9/", "XP9/", "H264/", "X264/", "AV1/", "XV1/").Replace(offer("sendonly"))
	if o, err := parseOffer(strange, calling); err != nil || o.camera() != nil {
		t.Errorf("a camera in unknown codecs: %v", err)
	}
	many := strings.Replace(offer("sendonly"), "a=sendonly", "a=sendonly\r\na=rid:a send\r\na=rid:b send\r\na=rid:c send\r\na=rid:d send\r\na=simulcast:send a;b;c;d", 1)
	if o, err := parseOffer(many, calling); err != nil || !slices.Equal(o.camera().encodings, []string{"a", "b", "c"}) {
		t.Errorf("four encodings: %v", err)
	}
	if got := uses(strings.Fields(strings.Repeat("recvonly ", maxSlots+3))...); got != strings.TrimSpace(strings.Repeat("slot ", maxSlots)+"- - -") {
		t.Error(got)
	}
	if got := uses(strings.Fields(strings.Repeat("recvonly ", maxSections+maxSlots))...); !strings.Contains(got, "media sections") {
		t.Error(got)
	}
}
