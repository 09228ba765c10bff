package guest

import (
	"bytes"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

func TestExtender(t *testing.T) {
	var e extender
	base := int64(0)
	for i, c := range []struct {
		seq  uint16
		want int64
	}{{65530, 0}, {65531, 1}, {3, 9}, {65535, 5}, {2, 8}, {4, 10}, {32000, 32006}, {64000, 64006}, {20000, 85542}, {65529, 65535}} {
		n := e.extend(c.seq)
		if i == 0 {
			base = n
		}
		if n-base != c.want {
			t.Fatalf("%d: %d is %d, want %d", i, c.seq, n-base, c.want)
		}
	}
	if base < 1<<16 {
		t.Fatal("numbers may become negative")
	}
}

func TestSourceClock(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	ntp := func(d time.Duration) uint64 { return unixToNTP(int64(d / time.Microsecond)) } // a clock that began in 1970
	var c sourceClock
	if got := c.translate(ntp(10*time.Second), now); got != now.UnixMicro() {
		t.Fatalf("first: %d", got)
	}
	// A report of the other track: delayed on the way, but its time counts.
	if got := c.translate(ntp(10*time.Second+200*ms), now.Add(260*ms)); got != now.Add(200*ms).UnixMicro() {
		t.Fatalf("second: %d", got-now.UnixMicro())
	}
	later := now.Add(time.Minute)
	if got := c.translate(ntp(500*time.Second), later); got != later.UnixMicro() {
		t.Fatalf("after the clock was set: %d", got)
	}
}

func TestNTP(t *testing.T) {
	for _, us := range []int64{0, 1, 999_999, 1_767_225_600_123_456, -1, -1_000_001} {
		if got := ntpToUnix(unixToNTP(us)); got != us {
			t.Fatalf("%d became %d", us, got)
		}
	}
	if unixToNTP(500_000) != ntpEpoch<<32|1<<31 {
		t.Fatalf("%x", unixToNTP(500_000))
	}
}

func TestLipSync(t *testing.T) {
	var l lipSync
	now := time.UnixMicro(1_800_000_000_000_000)
	a, b := slotKey{slot: "a"}, slotKey{slot: "b"}
	if got := l.local(a, 0, now); got != now.UnixMicro() {
		t.Fatal("without a clock the arrival counts")
	}
	const wrong = -3_600_000_000
	if got := l.local(a, now.UnixMicro()+wrong, now); got != now.UnixMicro() {
		t.Fatal("first")
	}
	if got := l.local(a, now.UnixMicro()+wrong-40_000, now.Add(ms)); got != now.UnixMicro()-40_000 {
		t.Fatal("other stream of the slot")
	}
	if got := l.local(b, now.UnixMicro(), now.Add(ms)); got != now.Add(ms).UnixMicro() {
		t.Fatal("other slot")
	}
}

func TestRED(t *testing.T) {
	frame := []byte("opus frame")
	single := appendRED(nil, 111, frame)
	if got, ok := primaryBlock(single); !ok || !bytes.Equal(got, frame) || single[0] != 111 {
		t.Fatalf("%q %v", got, ok)
	}
	double := append([]byte{0x80 | 111, 0x0F, 0x00, 3, 111, 'o', 'l', 'd'}, frame...)
	if got, ok := primaryBlock(double); !ok || !bytes.Equal(got, frame) {
		t.Fatalf("%q %v", got, ok)
	}
	for _, bad := range [][]byte{nil, {111}, {0xEF}, {0xEF, 0, 0}, {0xEF, 0, 3, 255, 111, 1, 2}, {0xEF, 0, 0, 0}} {
		if got, ok := primaryBlock(bad); ok {
			t.Fatalf("%v gave %v", bad, got)
		}
	}
}

func FuzzRED(f *testing.F) {
	f.Add([]byte{0xEF, 0x0F, 0x00, 3, 111, 'o', 'l', 'd', 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		if block, ok := primaryBlock(b); ok && (len(block) == 0 || len(block) >= len(b)) {
			t.Fatalf("%d octets of %d", len(block), len(b))
		}
	})
}

func TestRoomCodec(t *testing.T) {
	for _, c := range []struct {
		kind, encoding string
		rate           uint32
		channels       uint16
		fmtp, want     string
	}{
		{kindAudio, "opus", 48000, 2, "minptime=10;useinbandfec=1;stereo=1", "opus"},
		{kindAudio, "OPUS", 48000, 2, "", "opus"},
		{kindAudio, "opus", 48000, 1, "", ""},
		{kindAudio, "red", 48000, 2, "111/111", "red"},
		{kindAudio, "PCMU", 8000, 1, "", ""},
		{kindAudio, "VP8", 90000, 0, "", ""},
		{kindVideo, "VP8", 90000, 0, "", "vp8"},
		{kindVideo, "VP9", 90000, 0, "", "vp9"},
		{kindVideo, "VP9", 90000, 0, "profile-id=2", "vp9"},
		{kindVideo, "VP9", 90000, 0, "profile-id=1", ""},
		{kindVideo, "H264", 90000, 0, "packetization-mode=1;profile-level-id=42e01f", "h264"},
		{kindVideo, "H264", 90000, 0, "packetization-mode=1; Profile-Level-Id=640C1F", "h264"},
		{kindVideo, "H264", 90000, 0, "packetization-mode=0;profile-level-id=42e01f", ""},
		{kindVideo, "H264", 90000, 0, "packetization-mode=1;profile-level-id=f4001f", ""},
		{kindVideo, "H264", 90000, 0, "packetization-mode=1;profile-level-id=42", ""},
		{kindVideo, "AV1", 90000, 0, "level-idx=5;profile=0;tier=0", "av1"},
		{kindVideo, "AV1", 90000, 0, "profile=1", ""},
		{kindVideo, "H265", 90000, 0, "", ""},
	} {
		got, ok := roomCodec(c.kind, c.encoding, c.rate, c.channels, c.fmtp)
		if ok != (c.want != "") || ok && got != c.want {
			t.Errorf("%+v: %q %v", c, got, ok)
		}
	}
}

func TestChoose(t *testing.T) {
	offered := []codec{
		{name: "h264", pt: 1, fmtp: "packetization-mode=1;profile-level-id=42001f"},
		{name: "h264", pt: 2, fmtp: "packetization-mode=1;profile-level-id=42e01f"},
		{name: "h264", pt: 3, fmtp: "packetization-mode=1;profile-level-id=640c1f"},
		{name: "vp9", pt: 4, fmtp: "profile-id=2"}, {name: "opus", pt: 5}, {name: "red", pt: 6, primary: 5},
	}
	for _, c := range []struct {
		codec, fmtp string
		want        choice
		ok          bool
	}{
		{"h264", "packetization-mode=1;profile-level-id=42e034", choice{pt: 2}, true},
		{"h264", "packetization-mode=1;profile-level-id=64001f", choice{pt: 3}, true},
		{"h264", "packetization-mode=1;profile-level-id=4d001f", choice{pt: 1}, true},
		{"h264", "", choice{pt: 1}, true},
		{"vp9", "", choice{}, false},
		{"vp9", "profile-id=2", choice{pt: 4}, true},
		{"vp8", "", choice{}, false},
		{"opus", "", choice{pt: 5}, true},
		{"red", "5/5", choice{pt: 6}, true},
		{"red", "111/111", choice{pt: 5, unwrap: true}, true},
	} {
		got, ok := choose(offered, &engine.StreamState{Codec: c.codec, Fmtp: c.fmtp})
		if got != c.want || ok != c.ok {
			t.Errorf("%s %s: %+v %v", c.codec, c.fmtp, got, ok)
		}
	}
}

// TestChooseConference: the mix is heard whatever is seen, and the picture stays where it is.
func TestChooseConference(t *testing.T) {
	stream := func(participant, slot string, kind wire.Kind, codec string, started int64) *engine.StreamState {
		return &engine.StreamState{
			ID: wire.NewStreamID("", nil, participant, slot, kind.String()), Participant: participant, Slot: slot, Label: kind.String(), Kind: kind, Codec: codec,
			StartedMs: started, Live: true,
		}
	}
	fits := func(st *engine.StreamState) bool { return st.Codec != "bad" }
	mix := stream("", mixSlot, wire.KindAudio, "opus", 30)
	ann, bob := stream("ann", cameraSlot, wire.KindVideo, "vp8", 10), stream("bob", cameraSlot, wire.KindVideo, "vp8", 20)
	odd := stream("eve", cameraSlot, wire.KindVideo, "bad", 5)
	p := chooseConference([]*engine.StreamState{ann, bob, mix}, wish{}, nil, fits)
	if p.audio != mix || p.video != ann || p.misfit {
		t.Fatalf("%+v", p)
	}
	if p = chooseConference([]*engine.StreamState{bob, mix}, wish{}, p, fits); p.audio != mix || p.video != bob {
		t.Fatalf("%+v", p)
	}
	if p = chooseConference([]*engine.StreamState{ann, bob, mix}, wish{}, p, fits); p.video != bob {
		t.Fatalf("%+v", p)
	}
	if p = chooseConference([]*engine.StreamState{ann, bob, mix}, wish{slot: cameraSlot, participant: "ann"}, nil, fits); p.audio != mix || p.video != ann {
		t.Fatalf("%+v", p)
	}
	if p = chooseConference([]*engine.StreamState{odd, mix}, wish{}, nil, fits); p.audio != mix || p.video != nil || p.misfit {
		t.Fatalf("%+v", p)
	}
	if p = chooseConference([]*engine.StreamState{mix}, wish{}, nil, fits); p.audio != mix || p.video != nil {
		t.Fatalf("%+v", p)
	}
	if p = chooseConference([]*engine.StreamState{ann}, wish{}, nil, fits); p.audio != nil || p.video != ann {
		t.Fatalf("%+v", p)
	}
	if p = chooseConference(nil, wish{}, nil, fits); p != nil {
		t.Fatalf("%+v", p)
	}
}

func TestChoosePlaying(t *testing.T) {
	stream := func(slot string, kind wire.Kind, codec string, started int64, live bool) *engine.StreamState {
		return &engine.StreamState{
			ID: wire.NewStreamID("", nil, "", slot, kind.String()), Slot: slot, Label: kind.String(), Kind: kind, Codec: codec, StartedMs: started, Live: live,
		}
	}
	fits := func(st *engine.StreamState) bool { return st.Codec != "bad" }
	oldA, oldV := stream("old", wire.KindAudio, "opus", 10, true), stream("old", wire.KindVideo, "vp8", 10, true)
	newA, newV := stream("new", wire.KindAudio, "opus", 20, true), stream("new", wire.KindVideo, "bad", 20, true)
	gone := stream("gone", wire.KindAudio, "opus", 1, false)
	misfit := stream("misfit", wire.KindVideo, "bad", 5, true)
	all := []*engine.StreamState{newV, newA, gone, oldV, oldA}
	p := choosePlaying(all, wish{}, nil, fits)
	if p == nil || p.audio != oldA || p.video != oldV || p.misfit {
		t.Fatalf("%+v", p)
	}
	if q := choosePlaying(all, wish{}, &programme{key: keyOf(newA)}, fits); q.audio != newA || q.video != nil || q.misfit {
		t.Fatalf("the slot that plays must go on: %+v", q)
	}
	if q := choosePlaying(all[:3], wish{}, p, fits); q.audio != newA {
		t.Fatalf("the next slot must follow: %+v", q)
	}
	if q := choosePlaying(all, wish{slot: "NEW"}, nil, fits); q.audio != newA {
		t.Fatalf("%+v", q)
	}
	ann := stream("new", wire.KindAudio, "opus", 30, true)
	ann.Participant = "ann"
	if q := choosePlaying(append(slices.Clone(all), ann), wish{slot: "new", participant: "ann"}, nil, fits); q.audio != ann {
		t.Fatalf("the slot of a participant: %+v", q)
	}
	if q := choosePlaying(all, wish{participant: "bob"}, nil, fits); q != nil {
		t.Fatalf("nobody is bob: %+v", q)
	}
	if q := choosePlaying(all, wish{slot: "gone"}, nil, fits); q != nil {
		t.Fatalf("%+v", q)
	}
	if q := choosePlaying([]*engine.StreamState{misfit}, wish{}, nil, fits); q == nil || !q.misfit {
		t.Fatalf("%+v", q)
	}
	if !sameSlot("", "main") || !sameSlot("Main", "") || sameSlot("a", "b") {
		t.Fatal("sameSlot")
	}
}

func TestQueueDropsVideoFirst(t *testing.T) {
	var audio, video atomic.Uint64
	q := newQueue(&audio, &video)
	n := uint64(0)
	push := func(kind wire.Kind, key bool) bool {
		n++
		return q.push(&packet{header: wire.Header{Kind: kind, KeyFrame: key, FrameStart: key, Number: n}}) > 0
	}
	for i := range queueSize - queueReserve {
		if !push(wire.KindVideo, i == 0) {
			t.Fatalf("packet %d", i)
		}
	}
	if push(wire.KindVideo, false) || push(wire.KindVideo, true) || video.Load() != 2 {
		t.Fatal("video must be dropped, also a key frame while there is no room behind it")
	}
	for i := range queueReserve {
		if !push(wire.KindAudio, false) {
			t.Fatalf("audio %d", i)
		}
	}
	if push(wire.KindAudio, false) || audio.Load() != 1 {
		t.Fatal("the queue has no bound")
	}
	var it [1]*packet
	last := uint64(0)
	for range queueSize/2 + 1 {
		if n, _ := q.pop(it[:]); n != 1 || it[0].header.Number <= last {
			t.Fatal("order")
		}
		last = it[0].header.Number
	}
	if push(wire.KindVideo, false) || !push(wire.KindVideo, true) || !push(wire.KindVideo, false) {
		t.Fatal("video must go on at a key frame")
	}
	left := 0
	for n := 1; n > 0; left += n {
		n, _ = q.pop(it[:])
	}
	if left != queueSize/2+1 || q.ring != nil {
		t.Fatalf("%d left", left)
	}
}

func TestLocal(t *testing.T) {
	for remote, want := range map[string]bool{
		"": true, "127.0.0.1:80": true, "[::1]:80": true, "127.9.9.9": true, "[::ffff:127.0.0.1]:3": true, "10.0.0.1:80": false, "nonsense": false,
	} {
		if local(remote) != want {
			t.Errorf("%q", remote)
		}
	}
}
