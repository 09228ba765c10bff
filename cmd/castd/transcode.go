package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/node"
)

// conversion makes with ffmpeg what rooms carry of a file that castd cannot send as it is. What ffmpeg writes comes through a pipe and
// is read no faster than it is sent, so that no temporary file is needed.
type conversion struct {
	ctx     context.Context // of the command
	program string
	bad     *node.UnplayableError
	loop    bool
}

// conversionEnd bounds how long ffmpeg may take to end when nobody wants any more of what it makes.
const conversionEnd = time.Second

// converted returns the file as ffmpeg makes it.
func (f mediaFile) converted(ctx context.Context, bad *node.UnplayableError, loop bool) (mediaFile, error) {
	program, err := exec.LookPath("ffmpeg")
	if err != nil {
		return f, fmt.Errorf("--transcode needs ffmpeg, which is not installed here: install the package ffmpeg, or convert %s elsewhere with  %s",
			f.name, bad.Command())
	}
	f.convert = &conversion{ctx: ctx, program: program, bad: bad, loop: loop}
	return f, nil
}

// arguments of ffmpeg, which writes Matroska to its standard output.
func (c *conversion) arguments(f *mediaFile) []string {
	args := []string{"-nostdin", "-hide_banner", "-v", "error"}
	input := "file:" + f.name
	if f.in != nil {
		input = "pipe:0"
	} else if c.loop {
		args = append(args, "-stream_loop", "-1")
	}
	options, _ := c.bad.Conversion()
	args = append(append(args, "-i", input), options...)
	return append(args, "-f", "matroska", "-flush_packets", "1", "-cluster_time_limit", "500", "pipe:1")
}

// start runs ffmpeg. Reading what it makes ends with an error if it failed; Close ends it.
func (c *conversion) start(f *mediaFile) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(c.ctx)
	cmd := exec.CommandContext(ctx, c.program, c.arguments(f)...)
	cmd.WaitDelay = conversionEnd
	if f.in != nil {
		cmd.Stdin = f.in
	}
	r := &convertedReader{name: f.name, cmd: cmd, ctx: c.ctx, cancel: cancel}
	cmd.Stderr = &r.complaint
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("ffmpeg cannot be run: %w", err)
	}
	r.out = out
	return r, nil
}

// convertedReader reads what ffmpeg writes.
type convertedReader struct {
	name      string
	cmd       *exec.Cmd
	ctx       context.Context // of the command that reads
	cancel    context.CancelFunc
	out       io.Reader
	complaint lastLine
	once      sync.Once
	result    error
}

func (r *convertedReader) Read(b []byte) (int, error) {
	n, err := r.out.Read(b)
	if n > 0 || err == nil {
		return n, nil
	}
	if failed := r.wait(); failed != nil {
		return 0, failed
	}
	return 0, io.EOF
}

// wait waits for the end of ffmpeg and says why it failed; nil if it did not, or if nobody wants any more of it.
func (r *convertedReader) wait() error {
	r.once.Do(func() {
		err := r.cmd.Wait()
		var exit *exec.ExitError
		switch {
		case err == nil, r.ctx.Err() != nil:
		case errors.As(err, &exit) && r.complaint.String() != "":
			r.result = engine.NewUserError(engine.CodeBadMedia, fmt.Sprintf("ffmpeg could not convert %s: %s", r.name, r.complaint.String()))
		default:
			r.result = engine.NewUserError(engine.CodeBadMedia, fmt.Sprintf("ffmpeg could not convert %s: %v", r.name, err))
		}
	})
	return r.result
}

// Close ends ffmpeg, and waits for that. A failure has been told by Read, or nobody cares.
func (r *convertedReader) Close() error {
	r.cancel()
	_ = r.wait()
	return nil
}

// maxLine bounds what is kept of a line, in octets.
const maxLine = 500

// lastLine is a writer that keeps the last line which is not empty, for one goroutine; String is for after the last Write.
type lastLine struct{ last, open []byte }

func (l *lastLine) Write(b []byte) (int, error) {
	for _, c := range b {
		switch {
		case c == '\n' || c == '\r':
			if len(bytes.TrimSpace(l.open)) > 0 {
				l.last = append(l.last[:0], l.open...)
			}
			l.open = l.open[:0]
		case len(l.open) < maxLine:
			l.open = append(l.open, c)
		}
	}
	return len(b), nil
}

func (l *lastLine) String() string {
	line := l.last
	if len(bytes.TrimSpace(l.open)) > 0 {
		line = l.open
	}
	return strings.ToValidUTF8(string(bytes.TrimSpace(line)), "?")
}
