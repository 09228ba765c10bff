package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/castd/castd/engine/container"
	"github.com/castd/castd/engine/node"
)

// mediaFile is what publish sends: a file that is opened once or again and again, standard input, the clip of --demo, or what ffmpeg
// makes of a file.
type mediaFile struct {
	name    string
	in      io.Reader // standard input, where the name on the command line is "-"
	data    []byte    // the clip
	convert *conversion
	length  time.Duration // where only the end of the file tells it; 0 unknown
}

func (a *app) mediaFile(name string) mediaFile {
	if name == "-" {
		return mediaFile{name: "standard input", in: a.in}
	}
	return mediaFile{name: name}
}

// check finds what is wrong before a peer is started for the file. What it reads of standard input is read again by open. A read that
// blocks when ctx ends is left behind.
func (f *mediaFile) check(ctx context.Context, loop bool) error {
	if f.in != nil && loop {
		return usagef("standard input cannot be sent again: give --loop a file")
	}
	if loop {
		if _, err := f.size(); err != nil {
			return err
		}
	}
	r, err := f.open()
	if err != nil {
		return err
	}
	checked := make(chan error, 1)
	var begin bytes.Buffer
	var length time.Duration
	go func() {
		defer r.Close()
		if f.in == nil {
			err := node.CheckFile(r, f.name)
			if seekable, ok := r.(io.ReadSeeker); ok && err == nil {
				length = container.OggLength(seekable)
			}
			checked <- err
			return
		}
		checked <- node.CheckFile(io.TeeReader(r, &begin), "")
	}()
	select {
	case err := <-checked:
		if f.in != nil {
			f.in = io.MultiReader(&begin, f.in)
		}
		f.length = length
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (f *mediaFile) open() (io.ReadCloser, error) {
	switch {
	case f.convert != nil:
		return f.convert.start(f)
	case f.in != nil:
		return io.NopCloser(f.in), nil
	case f.data != nil:
		return io.NopCloser(bytes.NewReader(f.data)), nil
	}
	r, err := os.Open(f.name)
	if err == nil {
		if info, e := r.Stat(); e == nil && info.IsDir() {
			r.Close()
			return nil, fmt.Errorf("%s is a folder: name a media file in it", f.name)
		}
		return r, nil
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return nil, fmt.Errorf("%s cannot be read: %w", f.name, err)
}

// size returns the length in octets of a file that can be read again.
func (f *mediaFile) size() (int64, error) {
	if f.data != nil {
		return int64(len(f.data)), nil
	}
	info, err := os.Stat(f.name)
	if err != nil {
		return 0, fmt.Errorf("%s cannot be read: %w", f.name, err)
	}
	if !info.Mode().IsRegular() || info.Size() == 0 {
		return 0, usagef("%s cannot be sent again: --loop wants a plain file that is not empty", f.name)
	}
	return info.Size(), nil
}
