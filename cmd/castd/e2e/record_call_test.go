//go:build linux

package e2e_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/castd/castd/engine/container"
	"github.com/castd/castd/mixer/tonetest"
)

// listenTo returns an ear that has heard a file.
func listenTo(t *testing.T, path string) *tonetest.Ear {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d, err := container.Open(f)
	if err != nil {
		t.Fatal(err)
	}
	ear, err := tonetest.NewEar()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ear.Close)
	for {
		frame, err := d.Next()
		if errors.Is(err, io.EOF) {
			return ear
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		ear.Hear(frame.Data)
	}
}

// TestRecordCall records a conference: the mix, each voice, and who talked when; and all hear that it is recorded, who comes later as well.
func TestRecordCall(t *testing.T) {
	t.Parallel()
	tool(t, "ffmpeg")
	p := launch(t, "peer", "start", "--room", "lobby", "--mode", "conference", "--http", "127.0.0.1:0")
	ready := p.ready()
	base, token := ready.text("http"), ready.text("token")
	ann := joinCall(t, base, token, "lobby", "Ann", 400)
	bob := joinCall(t, base, token, "lobby", "Bob", 1000)
	hear(t, ears{"Ann", ann.ear, 400, []float64{1000}}, ears{"Bob", bob.ear, 1000, []float64{400}})
	// An ear forgets after seconds, and castd record may take as long on a busy machine.
	const first, second = 660, 880 // Hz, of the two tones before the words
	told := func(who *participant) <-chan struct{} {
		heard := make(chan struct{})
		go func() {
			for t.Context().Err() == nil && (who.ear.Loudest(first) < -30 || who.ear.Loudest(second) < -30) {
				time.Sleep(100 * time.Millisecond)
			}
			close(heard)
		}()
		return heard
	}
	wait := func(name string, heard <-chan struct{}) {
		t.Helper()
		select {
		case <-heard:
		case <-time.After(patience):
			t.Fatalf("%s does not hear that it is recorded", name)
		}
	}
	anns, bobs := told(ann), told(bob)
	record(t, 0, p.dir, "start", "--tracks")
	wait("Ann", anns)
	wait("Bob", bobs)
	ann.until(t, "she is told as well", func() bool { return len(ann.state.Recording) == 1 })
	eve := joinCall(t, base, token, "lobby", "Eve", 1500)
	wait("Eve, who comes later,", told(eve))
	hear(t, ears{"Ann", ann.ear, 400, []float64{1000, 1500}})
	length := readManifest(t, p.dir).Segments[0].Duration
	until(t, "two seconds of all three are recorded", func() bool { return readManifest(t, p.dir).Segments[0].Duration > length+3000 })
	record(t, 0, p.dir, "stop")

	m := readManifest(t, p.dir)
	if len(m.Segments) != 1 || m.Segments[0].File != "mix.ogg" {
		t.Errorf("segments %+v", m.Segments)
	}
	mix := listenTo(t, filepath.Join(m.folder, "mix.ogg"))
	for _, f := range []float64{400, 1000, 1500} {
		if level := mix.Level(f); level < -26 {
			t.Errorf("the mix has %.0f Hz at %.1f dB", f, level)
		}
	}
	voices := map[float64]int{}
	for _, f := range m.Tracks {
		path := filepath.Join(m.folder, f.File)
		decodes(t, path)
		ear := listenTo(t, path)
		var tones []float64
		for _, tone := range []float64{400, 1000, 1500} {
			if ear.Loudest(tone) > -40 {
				tones = append(tones, tone)
			}
		}
		if len(tones) == 1 {
			voices[tones[0]]++
		}
	}
	if len(m.Tracks) < 4 || len(voices) != 3 {
		t.Errorf("files of tracks %+v, of which %v are of one voice", m.Tracks, voices)
	}
	var said []string
	for _, e := range m.Events {
		said = append(said, e.text("event")+" "+e.text("name")+" "+e.text("text"))
	}
	all := strings.Join(said, "|")
	for _, want := range []string{"join Eve", "talking Eve live"} {
		if !strings.Contains(all, want) {
			t.Errorf("the events have no %q: %s", want, all)
		}
	}
	validate(t, m)
}
