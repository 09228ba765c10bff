package container

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/castd/castd/engine/wire"
)

// Limits of what is read, in octets.
const (
	MaxFrame  = 16 << 20 // of one frame; also of one block with all its laced frames
	maxHeader = 1 << 20  // of a header element, or an Ogg header packet
)

// Track is one elementary stream of a file.
type Track struct {
	ID        int       // as in Frame.Track
	Kind      wire.Kind // audio or video; other tracks are left out
	Codec     string    // "opus", "vp8", "vp9", "h264", "av1", or a name of another codec: see Title
	ClockRate uint32    // Hz, of RTP timestamps: 48000 for Opus, 90000 for video
	Channels  uint32
	Width     int // pixels
	Height    int
	Private   []byte        // Matroska's CodecPrivate: OpusHead, AVC or AV1 decoder configuration
	PreSkip   int           // samples of 48 kHz that an Opus decoder drops at the start
	Reordered bool          // H264 whose frames are, or may be, in another order than their times (B-frames)
	Duration  time.Duration // 0 where the file does not tell it at its beginning
}

// Frame is one coded frame.
type Frame struct {
	Track       int
	Time        time.Duration // from the start of the file; may begin above zero, and a little below
	Duration    time.Duration // 0 where the file does not tell it
	Data        []byte        // owned by the receiver
	Key         bool
	Discardable bool // no other frame needs it; false where the file does not tell it
}

// Demuxer reads a file from its beginning to its end.
type Demuxer interface {
	// Tracks returns the tracks. They are complete after Open and do not change.
	Tracks() []Track
	// Next returns the next frame in file order, io.EOF at a clean end, a *FormatError where the file is cut or damaged, or the
	// reader's own error. It goes on returning the same error.
	Next() (*Frame, error)
}

// FormatError says what is wrong with a file, and where.
type FormatError struct {
	Offset int64 // octets from the start of the file; negative if it concerns the file as a whole
	What   string
}

func (e *FormatError) Error() string {
	if e.Offset < 0 {
		return e.What
	}
	return fmt.Sprintf("at byte %d: %s", e.Offset, e.What)
}

// Open recognizes the container by its first octets and reads up to where the tracks are known. A container that castd does
// not read gives a *ForeignError; if r is an io.Seeker it may then have been sought in.
func Open(r io.Reader) (Demuxer, error) {
	s := &source{r: bufio.NewReaderSize(r, 64<<10), raw: r}
	s.seeker, _ = r.(io.Seeker)
	head, err := s.r.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read media: %w", err)
	}
	switch {
	case len(head) == 0:
		return nil, &FormatError{Offset: -1, What: "the file is empty"}
	case bytes.HasPrefix(head, []byte("OggS")):
		return openOgg(s)
	case bytes.HasPrefix(head, []byte{0x1a, 0x45, 0xdf, 0xa3}):
		return openMatroska(s)
	case bytes.HasPrefix(head, []byte("DKIF")):
		return openIVF(s)
	}
	if head, err = s.r.Peek(sniffLength); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read media: %w", err)
	}
	begin := describe(head)
	if foreign := recognize(s, bytes.Clone(head)); foreign != nil {
		return nil, foreign
	}
	return nil, &ForeignError{Begins: begin}
}

// describe names what a file begins with, for people.
func describe(head []byte) string {
	head = head[:min(len(head), 8)]
	for _, c := range head {
		if c < ' ' || c > '~' {
			return fmt.Sprintf("the octets % x", head)
		}
	}
	return fmt.Sprintf("%q", head)
}
