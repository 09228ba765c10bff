package container

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// source is a file that is read once, with the place that has been reached.
type source struct {
	r      *bufio.Reader
	offset int64
	raw    io.Reader // below r
	seeker io.Seeker // the same, where it may be sought in; only to find an MP4 file's index
}

// errorf returns a FormatError at the place.
func errorf(offset int64, format string, args ...any) error {
	return &FormatError{Offset: offset, What: fmt.Sprintf(format, args...)}
}

// full fills b, which is part of what. It returns io.EOF if the file ends before the first octet.
func (s *source) full(b []byte, what string) error {
	n, err := io.ReadFull(s.r, b)
	s.offset += int64(n)
	switch {
	case err == nil || err == io.EOF:
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errorf(s.offset, "the file is cut inside %s", what)
	}
	return fmt.Errorf("read media: %w", err)
}

// rest is full for what has begun already: the end of the file is an error.
func (s *source) rest(b []byte, what string) error {
	err := s.full(b, what)
	if err == io.EOF {
		return errorf(s.offset, "the file is cut inside %s", what)
	}
	return err
}

// take reads n octets of what into new memory, which grows only with what is really there.
func (s *source) take(n int, what string) ([]byte, error) {
	const step = 64 << 10
	b := make([]byte, 0, min(n, step))
	for len(b) < n {
		from := len(b)
		part := min(n-from, max(step, from)) // at most doubles
		if cap(b)-from < part {
			grown := make([]byte, from, from+part)
			copy(grown, b)
			b = grown
		}
		b = b[:from+part]
		if err := s.rest(b[from:], what); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// skip passes over n octets of what.
func (s *source) skip(n int64, what string) error {
	for n > 0 {
		part := int(min(n, 1<<30))
		done, err := s.r.Discard(part)
		s.offset += int64(done)
		n -= int64(done)
		if errors.Is(err, io.EOF) {
			return errorf(s.offset, "the file is cut inside %s", what)
		}
		if err != nil {
			return fmt.Errorf("read media: %w", err)
		}
	}
	return nil
}
