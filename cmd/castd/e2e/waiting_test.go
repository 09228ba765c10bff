//go:build linux

package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/castd/castd/engine/container"
	"github.com/castd/castd/mixer/tonetest"
)

// toneFile writes a file of a tone.
func toneFile(t *testing.T, frequency float64, length time.Duration) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "tone.ogg")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	voice, err := tonetest.NewVoice(frequency, 0.1)
	if err != nil {
		t.Fatal(err)
	}
	defer voice.Close()
	w, err := container.NewOggWriter(f, 1, 312, 1)
	if err != nil {
		t.Fatal(err)
	}
	for at := time.Duration(0); at < length; at += 20 * time.Millisecond {
		payload, _, err := voice.Packet()
		if err := errors.Join(err, w.WritePacket(payload, at)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestWaiting: by command line and API the owner has guests of two peers wait, for a host and for being let in, and changes the room's
// settings.
func TestWaiting(t *testing.T) {
	hub := launch(t, "hub", "start", "--room", "talk", "--mode", "conference", "--http", "127.0.0.1:0")
	first := hub.ready()
	other := launch(t, "other", "start", "--room", "talk", "--http", "127.0.0.1:0", "--bootstrap", hub.address())
	second := other.ready()
	base1, base2 := first.text("http"), second.text("http")
	room := func(want int, args ...string) string {
		t.Helper()
		out, errs, code := castd(t, append(append([]string{"room"}, args...), "--data-dir", hub.dir)...)
		if code != want {
			t.Errorf("castd room %v: exit %d, want %d: %s", args, code, want, errs)
		}
		return out + errs
	}
	post := func(path, body string, want int) {
		t.Helper()
		res, text := newGuest(t, base1, first.text("token")).request(context.Background(), t, http.MethodPost, "/api/v1/rooms/talk/"+path, "application/json", body)
		if res.StatusCode != want {
			t.Errorf("%s: %s: %s", path, res.Status, text)
		}
	}
	settings := func() string {
		t.Helper()
		_, text := newGuest(t, base1, first.text("token")).request(context.Background(), t, http.MethodGet, "/api/v1/rooms/talk", "", "")
		var info struct{ Settings json.RawMessage }
		if err := json.Unmarshal(text, &info); err != nil {
			t.Fatal(err)
		}
		return string(info.Settings)
	}
	room(0, "wait", "talk", "on")
	room(0, "tones", "talk", "off")
	post("moderation", `{"verb":"music"}`, http.StatusNoContent)
	if got := settings(); got != `{"tones":false,"wait":true,"music":true}` {
		t.Errorf("settings %s", got)
	}
	room(0, "music", "talk", "off")
	room(0, "tones", "talk", "on")
	if out := room(2, "wait", "talk", "maybe"); !strings.Contains(out, "on nor off") {
		t.Error(out)
	}

	bob := joinCall(t, base2, guestToken(t, base2, second.text("token"), "talk"), "talk", "Bob", 700)
	bob.until(t, "he waits for the host", func() bool { return bob.state.Waiting == "host" })
	eve := joinCall(t, base1, guestToken(t, base1, first.text("token"), "talk"), "talk", "Eve", 1200)
	eve.until(t, "she waits for the host", func() bool { return eve.state.Waiting == "host" && len(eve.state.Participants) == 2 })
	quiet(t, bob, 1200)
	if level := bob.ear.Power(); level < -50 || level > -25 {
		t.Errorf("who waits hears music at %.1f dB", level)
	}
	if out := room(0, "who", "talk"); strings.Count(out, "waits") != 2 {
		t.Errorf("who is there: %s", out)
	}
	ann := joinCall(t, base1, first.text("token"), "talk", "Ann", 400) // the owner
	bob.until(t, "the host has come", func() bool { return bob.state.Waiting == "" })
	hear(t, ears{"Bob", bob.ear, 700, []float64{400, 1200}}, ears{"Eve", eve.ear, 1200, []float64{400, 700}})

	// Announcements, beside those who talk: to all, and to one.
	file := toneFile(t, 3000, 3*time.Second)
	told := func(frequency float64, hear func(*participant) bool) {
		t.Helper()
		for _, c := range []*participant{ann, bob, eve} {
			if level := c.ear.Loudest(frequency); (level > -30) != hear(c) {
				t.Errorf("%.0f hears an announcement of %.0f at %.1f dB", c.frequency, frequency, level)
			}
			c.ear.Forget()
		}
	}
	room(0, "announce", "talk", file)
	told(3000, func(*participant) bool { return true })
	room(0, "announce", "talk", toneFile(t, 2600, 3*time.Second), "--to", "Bob")
	told(2600, func(c *participant) bool { return c == bob })
	if out := room(3, "announce", "talk", file, "--to", "Nobody"); !strings.Contains(out, "room who") {
		t.Error(out)
	}
	if out := room(1, "announce", "talk", os.Args[0]); !strings.Contains(out, "media") {
		t.Error(out)
	}
	if _, errs, code := castd(t, "room", "announce", "talk", file, "--data-dir", other.dir); code != 1 || !strings.Contains(errs, "grant") {
		t.Errorf("a member announces something: %d, %s", code, errs)
	}

	post("moderation", `{"verb":"knock"}`, http.StatusNoContent)
	time.Sleep(11 * time.Second) // a mixer that is new lets people in whom it does not know
	zoe := joinCall(t, base2, guestToken(t, base2, second.text("token"), "talk"), "talk", "Zoe", 2000)
	zoe.until(t, "she waits to be let in", func() bool { return zoe.state.Waiting == "admission" && len(zoe.state.Participants) == 1 })
	max := joinCall(t, base1, guestToken(t, base1, first.text("token"), "talk"), "talk", "Max", 2600)
	max.until(t, "he waits to be let in", func() bool { return max.state.Waiting == "admission" })
	ann.until(t, "she sees who waits", func() bool { return len(ann.state.Participants) == 5 && ann.state.Knock })
	room(0, "mute", "talk", "Eve") // of four only three would be heard
	post("participants/"+zoe.told().You+":admit", "", http.StatusNoContent)
	zoe.until(t, "she is let in", func() bool { return zoe.state.Waiting == "" })
	room(0, "refuse", "talk", "Max")
	ann.until(t, "he is gone", func() bool { return len(ann.state.Participants) == 4 })
	zoe.ear.Forget()
	hear(t, ears{"Zoe", zoe.ear, 2000, []float64{400, 700}})
	room(0, "unlock", "talk")
}
