package recording

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/plugins/sdk"
)

// TestKeepsTogether records two hours in which 1 % is lost, silence is not sent, clocks drift and packets come when they come: sound and
// pictures stay where they belong.
func TestKeepsTogether(t *testing.T) {
	length := 2 * time.Hour
	if testing.Short() {
		length = 10 * time.Minute
	}
	s := newStage(t, Options{Segment: 24 * time.Hour, SegmentSize: 1 << 40}, nil)
	audio, video := s.add(1, codec.Opus, "main"), s.add(2, codec.VP8, "main")
	for _, src := range []*source{audio, video} {
		src.wallOff, src.wallPPM = -90*time.Minute, 40 // their machine's clock is wrong, and fast
	}
	audio.clockPPM, video.clockPPM = 80, -60
	type late struct {
		at time.Time
		p  sdk.Packet
	}
	var way []late // in order of numbers for each stream, as castd delivers
	speaks, lost, sent := true, 0, 0
	last := map[uint32]time.Time{}
	for at := testStart; at.Before(testStart.Add(length)); at = at.Add(20 * time.Millisecond) {
		tick := int(at.Sub(testStart) / (20 * time.Millisecond))
		if s.random.IntN(200) == 0 { // it speaks for four seconds or so, and is silent as long
			speaks = !speaks
		}
		send := func(src *source) {
			s.now = at
			for _, p := range s.make(src, at) {
				// What the record packets say of the clock is a little wrong each second.
				p.WallUs += int64(at.Unix()*7919%4000) - 2000
				when := at.Add(20*time.Millisecond + time.Duration(s.random.IntN(100))*time.Millisecond)
				if when.Before(last[src.track]) {
					when = last[src.track]
				}
				last[src.track] = when
				p.ArrivedUs = when.UnixMicro()
				if sent++; s.random.IntN(100) == 0 {
					lost++
					continue
				}
				way = append(way, late{when, p})
			}
		}
		if speaks || tick%20 == 0 { // DTX: one packet in 400 ms
			send(audio)
		}
		if tick%2 == 0 {
			send(video)
		}
		// What has come by now.
		s.now = at
		b := sdk.Batch{Time: at}
		rest := way[:0]
		for _, l := range way {
			if !l.at.After(at) {
				b.Packets = append(b.Packets, l.p)
			} else {
				rest = append(rest, l)
			}
		}
		way = rest
		s.session.batch(&b)
		if tick%500 == 0 {
			s.settle()
		}
	}
	m := s.finish()
	if len(m.Segments) != 1 || m.Segments[0].File != "room.mkv" {
		t.Fatalf("segments %+v", m.Segments)
	}
	_, all := s.frames("room.mkv")
	// Where sound and pictures are, against when they were made: the difference of the two is what somebody notices.
	var worst, from, to time.Duration
	off := map[wire.Kind]time.Duration{}
	heard, ends := 0, time.Duration(0)
	for _, f := range all {
		if f.kind == wire.KindAudio {
			if f.at < ends-time.Millisecond || f.at > ends+6*time.Millisecond && heard > 0 {
				t.Fatalf("at %v: sound at %v follows what ends at %v", f.made, f.at, ends)
			}
			ends = f.at + f.long
			if f.silence {
				continue
			}
			heard++
		}
		off[f.kind] = f.at - f.made
		if len(off) == 2 {
			d := off[wire.KindVideo] - off[wire.KindAudio]
			worst = max(worst, max(d, -d))
		}
		from, to = min(from, off[f.kind]), max(to, off[f.kind])
	}
	t.Logf("%v: %d of %d packets lost, %d frames of sound, A/V offset at most %v, drift of this machine's clock against the publisher's followed from %v to %v",
		length, lost, sent, heard, worst, from, to)
	if worst > 40*time.Millisecond {
		t.Errorf("sound and pictures are up to %v apart", worst)
	}
	if d := time.Duration(m.Segments[0].Duration)*time.Millisecond - length; d > time.Second || d < -time.Second {
		t.Errorf("the file lasts %v less than %v", -d, length)
	}
	if m.Dropped > uint64(sent/1000) {
		t.Errorf("%d packets had no place", m.Dropped)
	}
}

// TestFiles has streams come and go, and looks what files come of it.
func TestFiles(t *testing.T) {
	s := newStage(t, Options{Tracks: true}, nil)
	s.add(1, codec.Opus, "main")
	s.run(3 * time.Second)
	s.add(2, codec.VP8, "main")
	s.run(3 * time.Second)
	s.add(3, codec.Opus, "second")
	s.add(4, codec.VP8, "second")
	s.run(3 * time.Second)
	s.end(2)
	s.end(1)
	s.run(2 * time.Second)
	m := s.finish()
	var files []string
	for _, g := range m.Segments {
		files = append(files, fmt.Sprintf("%s %s %d", g.File, g.Reason, len(g.Tracks)))
	}
	if got := strings.Join(files, ", "); got != "mix.ogg tracks 1, room-002.mkv stopped 4" {
		t.Errorf("segments %s", got)
	}
	tracks, all := s.frames("room-002.mkv")
	if len(tracks) != 4 {
		t.Errorf("tracks %+v", tracks)
	}
	count := map[int]int{}
	for _, f := range all {
		count[f.track]++
	}
	t.Logf("frames %v, manifest:\n%s", count, s.disk.read(testFolder+"/"+ManifestName))
	for i, least := range []int{290, 70, 240, 120} {
		if count[i+1] < least {
			t.Errorf("track %d has %d frames", i+1, count[i+1])
		}
	}
	// Nothing of the sound is missing between the files.
	_, first := s.frames("mix.ogg")
	heard := map[time.Duration]bool{}
	for _, f := range append(first, all...) {
		if f.kind == wire.KindAudio {
			heard[f.made] = true
		}
	}
	for at := time.Duration(0); at < 9*time.Second; at += 20 * time.Millisecond {
		if !heard[at] {
			t.Fatalf("the sound of %v is missing", at)
		}
	}
	if len(m.Tracks) != 4 || m.Tracks[0].File != "tracks/001-opus.ogg" || m.Tracks[1].File != "tracks/002-vp8.mkv" {
		t.Errorf("files of tracks %+v", m.Tracks)
	}
	for _, g := range m.Tracks {
		if _, all := s.frames(g.File); len(all) < 100 && g.File != "tracks/002-vp8.mkv" {
			t.Errorf("%s has %d frames", g.File, len(all))
		}
	}
}

func TestSegments(t *testing.T) {
	s := newStage(t, Options{Segment: 10 * time.Second}, nil)
	s.add(1, codec.Opus, "main")
	s.add(2, codec.VP8, "main")
	s.run(65 * time.Second)
	m := s.finish()
	if len(m.Segments) < 5 || len(m.Segments) > 6 {
		t.Errorf("%d segments", len(m.Segments))
	}
	heard := map[time.Duration]int{}
	for i, g := range m.Segments {
		_, all := s.frames(g.File)
		key := true
		for _, f := range all {
			if f.kind == wire.KindVideo && key {
				key = false
				if f.made%(2*time.Second) != 0 {
					t.Errorf("%s begins with no key frame", g.File)
				}
			}
			heard[f.made*2+time.Duration(f.kind)]++
		}
		if want := ReasonLength; i < len(m.Segments)-1 && g.Reason != want {
			t.Errorf("%s ended by %q", g.File, g.Reason)
		}
	}
	for at := time.Duration(0); at < 65*time.Second; at += 20 * time.Millisecond {
		if n := heard[at*2+time.Duration(wire.KindAudio)]; n != 1 {
			t.Errorf("the sound of %v is there %d times", at, n)
		}
		if n := heard[at*2+time.Duration(wire.KindVideo)]; at%(40*time.Millisecond) == 0 && n != 1 {
			t.Errorf("the picture of %v is there %d times", at, n)
		}
	}
}

// TestDiskFull fills the disk for five seconds.
func TestDiskFull(t *testing.T) {
	s := newStage(t, Options{}, nil)
	s.add(1, codec.Opus, "main")
	s.add(2, codec.VP8, "main")
	s.run(5 * time.Second)
	s.disk.set(true, nil)
	full := s.now
	for len(s.notices) == 0 && s.now.Sub(full) < 5*time.Second {
		s.run(100 * time.Millisecond)
		s.settle()
	}
	told := s.now.Sub(full)
	s.run(5 * time.Second)
	s.disk.set(false, nil)
	s.run(5 * time.Second)
	m := s.finish()
	t.Logf("told after %v: %q; segments %+v", told, s.notices, m.Segments)
	if told > time.Second || len(s.notices) != 2 || !strings.Contains(s.notices[0], "disk is full") || m.Problem != "" {
		t.Errorf("notices %q, problem %q", s.notices, m.Problem)
	}
	if len(m.Segments) != 2 || m.Segments[0].Reason != ReasonDisk || m.Segments[1].Reason != ReasonStopped || m.Segments[1].Duration < 2000 {
		t.Errorf("segments %+v", m.Segments)
	}
	for _, g := range m.Segments {
		s.frames(g.File)
	}
}

// TestDiskStalls has the disk do nothing for five seconds: nothing is lost, and it is told.
func TestDiskStalls(t *testing.T) {
	s := newStage(t, Options{}, nil)
	s.add(1, codec.Opus, "main")
	s.run(5 * time.Second)
	stuck := make(chan struct{})
	s.disk.set(false, stuck)
	began := s.now
	for s.now.Sub(began) < 5*time.Second {
		s.run(100 * time.Millisecond)
		for s.spool.stalled().IsZero() {
			time.Sleep(time.Millisecond) // the spool's goroutine is on its way to the disk
		}
	}
	if len(s.notices) != 1 || !strings.Contains(s.notices[0], "does not answer") {
		t.Errorf("notices %q", s.notices)
	}
	s.disk.set(false, nil)
	close(stuck)
	s.settle()
	s.run(5 * time.Second)
	m := s.finish()
	_, all := s.frames("mix.ogg")
	if len(m.Segments) != 1 || len(all) != 750 || m.Dropped != 0 {
		t.Errorf("%d frames, manifest %+v", len(all), m)
	}
}

// TestResumes goes on after a crash.
func TestResumes(t *testing.T) {
	s := newStage(t, Options{}, nil)
	s.add(1, codec.Opus, "main")
	s.run(5 * time.Second)
	s.settle()
	before := s.manifest()
	s.now = s.now.Add(2 * time.Second)
	s.begin(Options{}, before)
	s.tell()
	s.run(5 * time.Second)
	m := s.finish()
	if len(m.Segments) != 2 || m.Segments[0].Reason != ReasonCrash || m.Segments[1].File != "mix-002.ogg" || m.Started != before.Started {
		t.Errorf("segments %+v", m.Segments)
	}
	if ms := m.Segments[1].Ms; ms < 6900 || ms > 7100 {
		t.Errorf("it goes on at %d ms", ms)
	}
	text, _ := json.Marshal(m.Events)
	if !strings.Contains(string(text), `"resumed"`) || m.State != StateEnded {
		t.Errorf("events %s", text)
	}
}

// TestSilence has nothing come from a stream that goes on: the file lasts as long all the same.
func TestSilence(t *testing.T) {
	s := newStage(t, Options{}, nil)
	s.add(1, codec.Opus, "main")
	s.run(2 * time.Second)
	s.idle(20 * time.Second)
	if d := s.manifest().Duration; d < 18_000 || d > 21_000 {
		t.Errorf("it lasts %d ms while nothing comes", d)
	}
	s.run(2 * time.Second)
	s.finish()
	_, all := s.frames("mix.ogg")
	for _, f := range all {
		if d := f.at - f.made; !f.silence && (d > 21*time.Millisecond || d < -21*time.Millisecond) {
			t.Fatalf("the sound of %v is at %v", f.made, f.at)
		}
	}
}

func TestEvents(t *testing.T) {
	s := newStage(t, Options{}, nil)
	s.add(1, codec.Opus, "main")
	s.session.batch(&sdk.Batch{Time: s.now, Events: []sdk.Event{
		{Name: "participants", JSON: []byte(`{"participants":[{"participant":"a","name":"Ann"},{"participant":"b"}]}`)},
		{Name: "participants", JSON: []byte(`{"participants":[{"participant":"a","name":"Ann"}]}`)},
		{Name: "talking", JSON: []byte(`{"participant":"a","name":"Ann","state":"live"}`)},
		{Name: "chat", JSON: []byte(`{"participant":"a","message":"hello"}`)},
		{Name: "title", JSON: []byte(`{"title":"Tea"}`)},
		{Name: "stats", JSON: []byte(`{"x":1}`)},
		{Name: "chat", JSON: []byte(`{`)},
	}})
	s.run(2 * time.Second)
	m := s.finish()
	var got []string
	for _, e := range m.Events {
		got = append(got, strings.TrimSpace(strings.Join([]string{e.Event, e.Participant, e.Name, e.Text}, " ")))
	}
	want := "started|stream pmain Nmain main audio opus live|join a Ann|join b|leave b|talking a Ann live|chat a  hello|title   Tea|ended"
	if strings.Join(got, "|") != want || m.Title != "Tea" || len(m.Chapters) != 2 {
		t.Errorf("events %q, chapters %+v", got, m.Chapters)
	}
}

func TestExpired(t *testing.T) {
	now := testStart
	all := []kept{{"2026-01-01_00-00-00", now.Add(-50 * time.Hour), 10}, {"2026-01-03_00-00-00", now.Add(-2 * time.Hour), 10}, {"2026-01-02_00-00-00", now.Add(-26 * time.Hour), 10}}
	for _, tt := range []struct {
		keep time.Duration
		size int64
		want string
	}{{0, 0, ""}, {24 * time.Hour, 0, "2026-01-02_00-00-00 2026-01-01_00-00-00"}, {0, 25, "2026-01-01_00-00-00"}, {48 * time.Hour, 15, "2026-01-02_00-00-00 2026-01-01_00-00-00"}} {
		var got []string
		for _, k := range expired(all, now, tt.keep, tt.size) {
			got = append(got, k.folder)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%v, %d: %q", tt.keep, tt.size, got)
		}
	}
}

func TestOptions(t *testing.T) {
	for text, ok := range map[string]bool{
		`{"folder":"lobby/2026-01-02_03-04-05"}`: true, `{"folder":"lobby/2026-01-02_03-04-05-2","segment":60000000000}`: true, `{"folder":"../2026-01-02_03-04-05"}`: false,
		`{"folder":"lobby/../../etc"}`: false, `{"folder":"lobby/2026-01-02_03-04-05","segment":1}`: false, `{`: false, `{"folder":"lobby/2026-01-02_03-04-05","keep":-1}`: false,
	} {
		if _, err := ParseOptions([]byte(text)); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}
