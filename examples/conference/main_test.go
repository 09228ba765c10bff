package main

import (
	"bufio"
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/node"
	"github.com/castd/castd/mixer/tonetest"
)

// guest is somebody who takes part.
type guest struct {
	call engine.Call
	ear  *tonetest.Ear

	mu    sync.Mutex
	chat  []string
	codes []string
}

func (g *guest) news(n *engine.CallNews) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n.Code != "" {
		g.codes = append(g.codes, n.Code)
	}
	for _, m := range n.Chat {
		g.chat = append(g.chat, m.Text)
	}
}

// until waits for something that comes in its own time.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain for " + what)
		}
	}
}

func (g *guest) reads(t *testing.T, text string) {
	t.Helper()
	until(t, text, func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return slices.ContainsFunc(g.chat, func(s string) bool { return strings.Contains(s, text) })
	})
}

// TestShow builds and runs the host and calls it twice: each is greeted by chime and by name, and who raises a hand gets the microphone, the
// second when the first has had his turn.
func TestShow(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "conference")
	if out, err := exec.Command("go", "build", "-tags", "nolibopusfile", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(program, "-data-dir", filepath.Join(dir, "host"), "-http", "127.0.0.1:0", "-no-mdns", "-turn", "2s")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-read
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(errs.String())
		}
	})
	link := ""
	lines := bufio.NewScanner(out)
	for link == "" && lines.Scan() {
		if l, ok := strings.CutPrefix(lines.Text(), "call: castd://"); ok {
			link = "castd://" + l
		}
	}
	go func() {
		defer close(read)
		for lines.Scan() {
			t.Log(lines.Text())
		}
	}()
	if link == "" {
		t.Fatal("no link")
	}

	o := node.DefaultOptions()
	o.DataDir, o.HTTP, o.NoMDNS = filepath.Join(dir, "guests"), "off", true
	n, err := node.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(context.Background())
	room, err := n.Open(t.Context(), link, node.RoomOptions{Wait: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	call := func(id, name string) *guest {
		g := &guest{}
		if g.ear, err = tonetest.NewEar(); err != nil {
			t.Fatal(err)
		}
		g.call, err = room.Call(t.Context(), engine.SeatConfig{
			Participant: id, Name: name, News: g.news, Hear: func(p *engine.MediaPacket) { g.ear.Hear(p.Payload) },
		})
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	ann := call("aaaaaaaaaaaaaaaa", "Ann")
	defer ann.call.Close()
	ann.reads(t, "Welcome, Ann!")
	until(t, "the chime", func() bool { return ann.ear.Level(880) > -50 })
	bob := call("bbbbbbbbbbbbbbbb", "Bob")
	defer bob.call.Close()
	bob.reads(t, "Welcome, Bob!")
	ann.call.Raise(true)
	bob.reads(t, "Ann has the microphone")
	bob.call.Raise(true)
	ann.reads(t, "Ann, thank you.")
	ann.reads(t, "Bob has the microphone")
}
