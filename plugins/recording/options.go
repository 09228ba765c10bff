package recording

import (
	"encoding/json"
	"fmt"
	"regexp"
	"time"
)

// Name is the plugin's.
const Name = "recording"

// ManifestName is the file of a recording that says what is in it.
const ManifestName = "manifest.json"

// Options say how a room is recorded. castd keeps them under Key for as long as the room is recorded.
type Options struct {
	// Folder is where, relative to the folder of recordings: NAME/YYYY-MM-DD_HH-MM-SS.
	Folder string `json:"folder"`
	// Tracks asks for a file for each stream besides.
	Tracks bool `json:"tracks,omitempty"`
	// Segment ends a file after this time, SegmentSize at this size in octets, at the next key frame; 0: an hour, 4 GiB.
	Segment     time.Duration `json:"segment,omitempty"`
	SegmentSize int64         `json:"segment_size,omitempty"`
	// Keep deletes ended recordings of the same room that are older, KeepSize the oldest ones of it when all have more octets; 0 does not.
	Keep     time.Duration `json:"keep,omitempty"`
	KeepSize int64         `json:"keep_size,omitempty"`
}

// Defaults and limits of segments.
const (
	defaultSegment     = time.Hour
	defaultSegmentSize = 4 << 30
	minSegment         = 10 * time.Second
	minSegmentSize     = 1 << 20
)

// Key is the name under which castd tells the plugin how to record a room.
func Key(room string) string { return "room." + room }

// FolderTime is the layout of the folder of a recording.
const FolderTime = "2006-01-02_15-04-05"

var (
	folderPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}/[0-9]{4}-[0-9]{2}-[0-9]{2}_[0-9]{2}-[0-9]{2}-[0-9]{2}(-[0-9]{1,3})?$`)
	timePattern   = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}_[0-9]{2}-[0-9]{2}-[0-9]{2}(-[0-9]{1,3})?$`)
)

// ParseOptions reads and checks what castd keeps.
func ParseOptions(text []byte) (Options, error) {
	var o Options
	if err := json.Unmarshal(text, &o); err != nil {
		return o, fmt.Errorf("read what is to be recorded: %w", err)
	}
	return o, o.Check()
}

// Check returns an error for a person who asks for what cannot be.
func (o *Options) Check() error {
	switch {
	case !folderPattern.MatchString(o.Folder):
		return fmt.Errorf("%.80q is no folder of a recording", o.Folder)
	case o.Segment != 0 && o.Segment < minSegment:
		return fmt.Errorf("a segment lasts %v at least", minSegment)
	case o.SegmentSize != 0 && o.SegmentSize < minSegmentSize:
		return fmt.Errorf("a segment has %d octets at least", minSegmentSize)
	case o.Keep < 0 || o.KeepSize < 0:
		return fmt.Errorf("what is kept cannot be negative")
	}
	return nil
}

func (o *Options) withDefaults() Options {
	out := *o
	if out.Segment == 0 {
		out.Segment = defaultSegment
	}
	if out.SegmentSize == 0 {
		out.SegmentSize = defaultSegmentSize
	}
	return out
}
