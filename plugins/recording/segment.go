package recording

import (
	"errors"
	"time"

	"github.com/castd/castd/engine/container"
)

// segment is a file that is being written. Times are from its beginning.
type segment struct {
	info   Segment
	file   *spoolFile
	origin int64 // of this machine's clock, in microseconds since 1970
	ogg    *container.OggWriter
	mkv    *container.MatroskaWriter
	last   time.Duration // end of what was written
	own    bool          // it is of one track
	place  int           // in the manifest
}

// openOgg begins a file of one flow of sound.
func openOgg(f *spoolFile, t container.Track, serial uint32) (*segment, error) {
	w, err := container.NewOggWriter(f, int(t.Channels), t.PreSkip, serial)
	if err != nil {
		return nil, err
	}
	return &segment{file: f, ogg: w}, nil
}

// openMatroska begins a file of tracks that may become more.
func openMatroska(f *spoolFile, all []container.Track) (*segment, error) {
	w, err := container.NewGrowingMatroska(f, f.rewrite, all)
	if err != nil {
		return nil, err
	}
	return &segment{file: f, mkv: w}, nil
}

// add adds a track; it reports false where the file has no room for it.
func (s *segment) add(t container.Track) (bool, error) {
	if s.mkv == nil {
		return false, nil
	}
	err := s.mkv.AddTrack(t)
	if errors.Is(err, container.ErrTracks) {
		return false, nil
	}
	return err == nil, err
}

// write writes a frame that lasts until end.
func (s *segment) write(f *container.Frame, end time.Duration) error {
	var err error
	if s.ogg != nil {
		err = s.ogg.WritePacket(f.Data, f.Time)
	} else {
		err = s.mkv.WriteFrame(f)
	}
	if err == nil {
		s.last = max(s.last, end)
	}
	return err
}

// close ends the file.
func (s *segment) close() error {
	var err error
	if s.ogg != nil {
		err = s.ogg.Close()
	} else {
		err = s.mkv.Close()
	}
	s.file.close()
	return err
}
