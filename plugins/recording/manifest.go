package recording

import (
	"encoding/json"
	"fmt"
	"time"
)

// States of a recording.
const (
	StateRecording = "recording"
	StateEnded     = "ended"
	// StateInterrupted is never written: it is what a manifest that says StateRecording means when nobody records any more.
	StateInterrupted = "interrupted"
)

// Manifest is manifest.json. Times are RFC 3339 with milliseconds; Ms counts from Started.
type Manifest struct {
	Version  int    `json:"version"`
	Room     string `json:"room"`
	Name     string `json:"name"`
	Title    string `json:"title,omitempty"`
	Mode     string `json:"mode"`
	State    string `json:"state"`
	Started  string `json:"started"`
	Ended    string `json:"ended,omitempty"`
	Problem  string `json:"problem,omitempty"` // what keeps it from being written at the moment
	Duration int64  `json:"duration_ms"`
	Bytes    int64  `json:"bytes"`
	// Lost are packets that never came, Dropped those that came too late for their place or while the disk did not keep up.
	Lost     uint64    `json:"lost_packets"`
	Dropped  uint64    `json:"dropped_packets"`
	Segments []Segment `json:"segments"`
	// Tracks are files of one stream each, where they were asked for.
	Tracks   []Segment `json:"tracks,omitempty"`
	Chapters []Chapter `json:"chapters,omitempty"`
	Events   []Event   `json:"events"`
	// MoreEvents were left out, since there were too many.
	MoreEvents uint64 `json:"more_events,omitempty"`
}

// Segment is a file.
type Segment struct {
	File     string  `json:"file"`
	Ms       int64   `json:"ms"`
	Started  string  `json:"started"`
	Duration int64   `json:"duration_ms"`
	Bytes    int64   `json:"bytes"`
	Reason   string  `json:"reason,omitempty"` // why it ended: see the constants
	Tracks   []Track `json:"tracks"`
}

// Reasons why a segment ended.
const (
	ReasonStopped = "stopped"
	ReasonLength  = "length"
	ReasonSize    = "size"
	ReasonTracks  = "tracks" // of another kind of file than fits what came
	ReasonDisk    = "disk"
	ReasonCrash   = "crash"
)

// Track is a track of a file, by its number there.
type Track struct {
	Track       int    `json:"track"`
	Kind        string `json:"kind"`
	Codec       string `json:"codec"`
	Slot        string `json:"slot,omitempty"`
	Label       string `json:"label,omitempty"`
	Participant string `json:"participant,omitempty"`
	Name        string `json:"name,omitempty"`
	Ms          int64  `json:"ms"` // of its first frame
}

// Chapter is a place where something new begins.
type Chapter struct {
	Ms    int64  `json:"ms"`
	Title string `json:"title"`
}

// Event is something that happened: "started", "resumed", "join", "leave", "stream", "gap", "disk", "ended", and in a conference "talking" and
// "hand", whose text is live or ended, "chat" and "title".
type Event struct {
	Ms          int64  `json:"ms"`
	Event       string `json:"event"`
	Participant string `json:"participant,omitempty"`
	Name        string `json:"name,omitempty"`
	Text        string `json:"text,omitempty"`
}

const (
	manifestVersion = 1
	maxEvents       = 20_000
	maxText         = 2 << 10 // octets of an event
	maxChapters     = 1_000
	maxManifest     = 64 << 20
	timeFormat      = "2006-01-02T15:04:05.000Z07:00"
)

// ParseManifest reads a manifest.
func ParseManifest(text []byte) (*Manifest, error) {
	var m Manifest
	if len(text) > maxManifest {
		return nil, fmt.Errorf("a manifest of %d octets", len(text))
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	if m.Version != manifestVersion {
		return nil, fmt.Errorf("a manifest of version %d, and this castd knows %d", m.Version, manifestVersion)
	}
	if _, err := time.Parse(timeFormat, m.Started); err != nil {
		return nil, fmt.Errorf("a manifest that begins at no time: %w", err)
	}
	return &m, nil
}

// crashed notes that files that were being written are not any more.
func (m *Manifest) crashed() {
	for _, list := range [][]Segment{m.Segments, m.Tracks} {
		for i := range list {
			if list[i].Reason == "" {
				list[i].Reason = ReasonCrash
			}
		}
	}
}

// event adds an event.
func (m *Manifest) event(e Event) {
	if len(m.Events) >= maxEvents {
		m.MoreEvents++
		return
	}
	m.Events = append(m.Events, e)
}

func (m *Manifest) chapter(ms int64, title string) {
	if n := len(m.Chapters); n < maxChapters && (n == 0 || m.Chapters[n-1].Title != title) {
		m.Chapters = append(m.Chapters, Chapter{ms, title})
	}
}
