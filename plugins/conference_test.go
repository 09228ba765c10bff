//go:build linux

package plugins

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/node"
	"github.com/castd/castd/mixer/tonetest"
)

// TestConference has a plugin take part in a conference of a real peer: others hear it as loud as each other, and it hears them and not itself.
func TestConference(t *testing.T) {
	h := newTestHost(t)
	o := node.DefaultOptions()
	o.DataDir, o.HTTP, o.NoMDNS, o.MediaPort, o.Listen = t.TempDir(), node.NoHTTP, true, 0, []string{"/ip4/127.0.0.1/tcp/0"}
	n, err := node.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := n.Close(ctx); err != nil {
			t.Log(err)
		}
	}()
	svc := n.Service()
	info, err := svc.AddRoom(t.Context(), engine.RoomSpec{Room: "talk", Create: true, Mode: "conference"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := svc.Find(info.Room)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	ear, err := tonetest.NewEar()
	if err != nil {
		t.Fatal(err)
	}
	defer ear.Close()
	call, err := m.(engine.Caller).Call(t.Context(), engine.SeatConfig{Participant: "aaaaaaaaaaaaaaaa", Name: "Ann", Self: true, Hear: func(p *engine.MediaPacket) {
		mu.Lock()
		defer mu.Unlock()
		ear.Hear(p.Payload)
	}})
	if err != nil {
		t.Fatal(err)
	}
	voice, err := tonetest.NewVoice(400, 0.2)
	if err != nil {
		t.Fatal(err)
	}
	defer voice.Close()
	ctx, stop := context.WithCancel(t.Context())
	var talking sync.WaitGroup
	talking.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := int64(0); ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			payload, level, err := voice.Packet()
			if err != nil {
				t.Error(err)
				return
			}
			call.Write(&engine.MediaPacket{Sequence: n, Timestamp: uint32(n) * 960, Payload: payload, Level: level})
		}
	})
	defer func() {
		stop()
		talking.Wait()
		_ = call.Close()
	}()
	h.install("robot", Change{Grant: []string{"rooms", "audio", "send", "dial"}, Set: []string{"do=talk"}})
	if err := h.Start(svc, func(engine.Event) {}); err != nil {
		t.Fatal(err)
	}
	h.running("robot")
	h.said("robot", "hears ")

	// On a busy machine a second may have holes: one in which all is well is enough.
	var heard, own float64
	level := 0.0
	good := false
	for deadline := time.Now().Add(patience); !good && time.Now().Before(deadline); {
		mu.Lock()
		ear.Forget()
		mu.Unlock()
		time.Sleep(2 * time.Second)
		mu.Lock()
		level = ear.Level(1200)
		self := ear.Level(400)
		mu.Unlock()
		text, _ := os.ReadFile(filepath.Join(h.store.folder("robot"), "log"))
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		if _, err := fmt.Sscanf(lines[len(lines)-1], "hears %f %f", &heard, &own); err != nil {
			continue
		}
		good = level > -26 && level < -14 && self < -50 && heard > -26 && heard < -14 && own < -50
	}
	t.Logf("the plugin is heard at %.1f dB; it hears the other at %.0f dB and itself at %.0f dB", level, heard, own)
	if !good {
		t.Error("they do not hear each other as they should")
	}
	room, err := svc.RoomInfo(m.ID())
	if err != nil || len(room.Participants) != 2 {
		t.Errorf("participants are %+v, %v", room.Participants, err)
	}
	// It also brings in somebody whom it calls, until castd hangs up.
	calls := api(t, h)
	if got := dialled(t, calls.URL, "robot", `{"room":"talk","number":"answer and hang up"}`); got != "ringing 0, answered 0, ended 16" {
		t.Errorf("the call: %q", got)
	}
	resp, err := http.Post(calls.URL+"/plugins/robot:dial", "application/json", strings.NewReader(`{"room":"talk","number":"answer"}`))
	if err != nil {
		t.Fatal(err)
	}
	there := func(n int) {
		t.Helper()
		for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
			room, err := svc.RoomInfo(m.ID())
			if err == nil && len(room.Participants) == n {
				return
			}
			if time.Since(began) > patience {
				t.Fatalf("there are %+v, %v", room.Participants, err)
			}
		}
	}
	there(3)
	for events := json.NewDecoder(resp.Body); ; {
		var e DialEvent
		if err := events.Decode(&e); err != nil {
			t.Fatal(err)
		}
		if e.State == "answered" {
			break
		}
	}
	resp.Body.Close()
	h.said("robot", "castd has hung up")
	there(2)
	if err := h.store.Disable("robot"); err != nil {
		t.Fatal(err)
	}
	if err := h.Reload(); err != nil {
		t.Fatal(err)
	}
	there(1)
}
