package container

import (
	"bufio"
	"bytes"
	"io"
	"time"
)

// oggTail is how much of the end of an Ogg file is looked at: a page has at most 65,307 octets.
const oggTail = 128 << 10

// OggLength returns how long an Ogg Opus file plays, from its last page; 0 for other files, and where that cannot be told, as of a chain
// of streams. It leaves r anywhere.
func OggLength(r io.ReadSeeker) time.Duration {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return 0
	}
	s := &source{r: bufio.NewReader(r)}
	if head, err := s.r.Peek(4); err != nil || string(head) != "OggS" {
		return 0
	}
	d, err := openOgg(s)
	if err != nil {
		return 0
	}
	o := d.(*oggReader)
	size, err := r.Seek(0, io.SeekEnd)
	if err != nil {
		return 0
	}
	if _, err := r.Seek(max(0, size-oggTail), io.SeekStart); err != nil {
		return 0
	}
	tail, err := io.ReadAll(io.LimitReader(r, oggTail))
	if err != nil {
		return 0
	}
	for end := len(tail); ; {
		at := bytes.LastIndex(tail[:end], []byte("OggS"))
		if at < 0 {
			return 0
		}
		page := &oggReader{s: &source{r: bufio.NewReader(bytes.NewReader(tail[at:]))}, table: o.table}
		p, err := page.readPage()
		if err == nil && p.granule != noGranule {
			if p.serial != o.serial || p.granule < int64(o.track.PreSkip) || p.granule > maxPosition {
				return 0
			}
			return duration(p.granule - int64(o.track.PreSkip))
		}
		end = at
	}
}
