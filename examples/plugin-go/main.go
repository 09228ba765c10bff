// Command castd-plugin-who writes down who speaks when: for each room a WebVTT file, which players show beside a recording.
//
//	go build -o castd-plugin-who ./examples/plugin-go
//	castd plugin install ./castd-plugin-who --grant rooms,audio,command
//	castd who lobby
//
// In a conference it is told who talks, and needs no more than the permission rooms. In a broadcast nobody says so: it looks at how loud the
// packets are, for which it needs audio. The files are in its own folder, plugins/state/who/files of castd's data folder.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/castd/castd/plugins/sdk"
)

// plugin is a Sink: castd calls Attend for each room.
type plugin struct {
	settings struct {
		Quiet float64 `json:"quiet"`
		Pause string  `json:"pause"`
	}
	pause  time.Duration
	folder string
	cues   atomic.Uint64
}

func main() { sdk.Serve(new(plugin)) }

// Describe implements sdk.Plugin.
func (p *plugin) Describe() sdk.Description {
	return sdk.Description{
		Name: "who", Version: "0.1.0", Summary: "Writes down who speaks when, as WebVTT",
		Permissions: []string{sdk.PermissionRooms, sdk.PermissionAudio, sdk.PermissionCommand},
		Config: map[string]sdk.Setting{
			"quiet": {Type: "number", Default: 50, Help: "sound is speech when it is louder than this many decibels below full scale"},
			"pause": {Type: "duration", Default: "800ms", Help: "a silence that is longer ends what somebody says"},
		},
	}
}

// Configure implements sdk.Configurer.
func (p *plugin) Configure(_ context.Context, c *sdk.Config) error {
	if err := c.Decode(&p.settings); err != nil {
		return err
	}
	if p.settings.Quiet < 0 || p.settings.Quiet > 127 {
		return fmt.Errorf("quiet is %v, but should be 0 to 127", p.settings.Quiet)
	}
	var err error
	if p.pause, err = time.ParseDuration(p.settings.Pause); err != nil || p.pause <= 0 {
		return fmt.Errorf("pause is %q, but should be a duration like 800ms", p.settings.Pause)
	}
	p.folder = c.Folder
	return nil
}

// Metrics implements sdk.Measurer.
func (p *plugin) Metrics(context.Context) []sdk.Metric {
	return []sdk.Metric{{Name: "cues_total", Help: "What was written down.", Value: float64(p.cues.Load())}}
}

// Run implements sdk.Commander: `castd who ROOM` shows what was written down of a room last.
func (p *plugin) Run(_ context.Context, c *sdk.Command) int {
	if len(c.Args) != 1 || c.Args[0] != filepath.Base(c.Args[0]) {
		fmt.Fprintln(c.Err, "castd who ROOM shows who spoke in a room last: name the room")
		return 2
	}
	files, _ := filepath.Glob(filepath.Join(p.folder, c.Args[0]+"_*.vtt")) // a name that is no pattern fits none
	if len(files) == 0 {
		fmt.Fprintf(c.Err, "Nothing was written down of the room %q yet.\n", c.Args[0])
		return 3
	}
	text, err := os.ReadFile(slices.Max(files)) // names have the time in them
	if err == nil {
		_, err = c.Out.Write(text)
	}
	if err != nil {
		fmt.Fprintln(c.Err, err)
		return 1
	}
	return 0
}

// Attend implements sdk.Sink.
func (p *plugin) Attend(_ context.Context, room *sdk.Room) error {
	want := sdk.Want{Audio: sdk.Opus}
	if room.Mode == "conference" {
		want = sdk.Want{Talking: true}
	}
	if err := room.Want(want); err != nil {
		return err
	}
	began := time.Now()
	path := filepath.Join(p.folder, room.Name+"_"+began.UTC().Format("2006-01-02_15-04-05")+".vtt")
	// Cues are appended whole, so that the file can be read at any instant, whatever becomes of this process.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := fmt.Fprintf(file, "WEBVTT %s\n\n", room.Name); err != nil {
		return err
	}
	slog.Info("writing down who speaks", "room", room.Name, "file", path)

	t := newTalk(began, uint8(p.settings.Quiet), p.pause)
	write := func(cues []cue) error {
		for _, c := range cues {
			p.cues.Add(1)
			if _, err := file.WriteString(c.String()); err != nil {
				return err
			}
		}
		return nil
	}
	for {
		batch, err := room.Next()
		if err != nil { // castd has left the room
			return write(t.end(time.Now()))
		}
		if batch.Streams != nil {
			t.streams(batch.Streams)
		}
		for i := range batch.Packets {
			t.packet(&batch.Packets[i])
		}
		for i := range batch.Events {
			t.event(&batch.Events[i])
		}
		if err := write(t.look(batch.Time)); err != nil {
			return err
		}
	}
}
