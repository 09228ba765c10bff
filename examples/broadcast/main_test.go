package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/container"
	"github.com/castd/castd/engine/node"
)

// song writes an Ogg Opus file of packets of 20 ms, each of which holds the song's mark and its own number.
func song(t *testing.T, path string, mark byte, packets int) {
	t.Helper()
	var b bytes.Buffer
	w, err := container.NewOggWriter(&b, 2, 312, uint32(mark))
	if err != nil {
		t.Fatal(err)
	}
	for i := range packets {
		if err := w.WritePacket([]byte{0xfc, mark, byte(i)}, time.Duration(i)*20*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestStation builds and runs the station and listens to it: the songs follow each other without a gap, what is no song is passed
// over, and after the last the first comes again.
func TestStation(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	folder, dir := t.TempDir(), t.TempDir()
	program := filepath.Join(dir, "broadcast")
	if out, err := exec.Command("go", "build", "-tags", "nolibopusfile", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	song(t, filepath.Join(folder, "1.ogg"), 'a', 60)
	if err := os.WriteFile(filepath.Join(folder, "2.ogg"), []byte("This is no song."), 0o600); err != nil {
		t.Fatal(err)
	}
	song(t, filepath.Join(folder, "3.opus"), 'b', 40)

	cmd := exec.Command(program, "-data-dir", filepath.Join(dir, "station"), "-http", "127.0.0.1:0", "-no-mdns", folder)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	var links []string
	lines := bufio.NewScanner(out)
	for len(links) < 2 && lines.Scan() {
		if link, ok := strings.CutPrefix(lines.Text(), "listen: "); ok {
			links = append(links, link)
		}
	}
	if len(links) < 2 || !strings.HasPrefix(links[0], "castd://") || !strings.Contains(links[1], "/r/radio#token=") {
		t.Fatalf("links %q", links)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()

	heard := listen(t, links[0], 5*time.Second)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the station ended with %v", err)
	}
	if !strings.Contains(errs.String(), "skipped: the file is no media file") {
		t.Errorf("it said %q", errs.String())
	}
	check(t, heard)
}

// listen returns the packets of the room for a time.
func listen(t *testing.T, link string, d time.Duration) []*container.Frame {
	t.Helper()
	o := node.DefaultOptions()
	o.DataDir, o.HTTP, o.NoMDNS, o.MediaPort = t.TempDir(), node.NoHTTP, true, 0
	o.Listen = []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}
	n, err := node.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(context.Background())
	room, err := n.Open(t.Context(), link, node.RoomOptions{Listen: true})
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := room.Record(t.Context(), &file, node.RecordOptions{Format: node.FormatOgg, For: d}); err != nil {
		t.Fatal(err)
	}
	r, err := container.Open(&file)
	if err != nil {
		t.Fatal(err)
	}
	var frames []*container.Frame
	for {
		f, err := r.Next()
		if err != nil {
			return frames
		}
		frames = append(frames, f)
	}
}

// check follows the programme from the first packet that was heard.
func check(t *testing.T, heard []*container.Frame) {
	t.Helper()
	if len(heard) < 120 {
		t.Fatalf("%d packets were heard, which is less than one round", len(heard))
	}
	after := func(mark, number byte) (byte, byte) {
		switch {
		case mark == 'a' && number == 59:
			return 'b', 0
		case mark == 'b' && number == 39:
			return 'a', 0
		}
		return mark, number + 1
	}
	for i, f := range heard[1:] {
		before := heard[i]
		if len(f.Data) != 3 || codec.OpusDuration(f.Data) != 20*time.Millisecond {
			t.Fatalf("packet %d is % x", i+1, f.Data)
		}
		if mark, number := after(before.Data[1], before.Data[2]); f.Data[1] != mark || f.Data[2] != number {
			t.Fatalf("packet %d of song %c comes after packet %d of song %c", f.Data[2], f.Data[1], before.Data[2], before.Data[1])
		}
		if d := f.Time - before.Time; d != 20*time.Millisecond {
			t.Fatalf("packet %d comes %v after the one before", i+1, d)
		}
	}
}
