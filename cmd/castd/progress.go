package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/node"
)

// statusLine is the last line of a terminal, rewritten as things go on. What else is written to the terminal goes through over, so
// that it stands above. It is safe for concurrent use; a nil statusLine shows nothing.
type statusLine struct {
	mu   sync.Mutex // one write at a time
	w    io.Writer
	text string
}

const (
	clearLine = "\r\x1b[K"
	lineWidth = 79 // columns: a line that wraps cannot be rewritten
)

// statusLine returns the line of standard error; nil where that is no terminal, or where a program reads. From then on what the
// command writes and logs stands above it.
func (a *app) statusLine() *statusLine {
	if a.json || !isTerminal(a.err) {
		return nil
	}
	l := &statusLine{w: a.err}
	a.err = l.over(a.err)
	if isTerminal(a.out) {
		a.out = l.over(a.out)
	}
	a.log = a.logger(a.err)
	return l
}

// show rewrites the line.
func (l *statusLine) show(text string) {
	if l == nil {
		return
	}
	if runes := []rune(text); len(runes) > lineWidth {
		text = string(runes[:lineWidth])
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if text != l.text {
		l.text = text
		_, _ = io.WriteString(l.w, clearLine+text) // a terminal that has gone shows nothing
	}
}

// end leaves the line as it is and begins another.
func (l *statusLine) end() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.text != "" {
		l.text = ""
		_, _ = io.WriteString(l.w, "\n")
	}
}

// over returns a writer to the same terminal that writes above the line.
func (l *statusLine) over(w io.Writer) io.Writer { return &aboveLine{l, w} }

type aboveLine struct {
	line *statusLine
	w    io.Writer
}

func (o *aboveLine) Write(b []byte) (int, error) {
	l := o.line
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.text == "" {
		return o.w.Write(b)
	}
	_, _ = io.WriteString(l.w, clearLine)
	n, err := o.w.Write(b)
	_, _ = io.WriteString(l.w, l.text)
	return n, err
}

// sending makes the line of publish. It belongs to the goroutine that tells the progress.
type sending struct {
	last  node.Progress
	at    time.Time
	rate  float64 // bits per second
	known bool
}

func (s *sending) text(p node.Progress, now time.Time) string {
	switch {
	case p.State == node.StateWaiting:
		return "waiting for a first receiver"
	case p.State == node.StateDraining:
		return clock(p.Sent) + " sent; receivers may still ask for what they miss"
	}
	if passed := now.Sub(s.at); !s.at.IsZero() && passed >= rateEvery {
		s.rate, s.known = float64(p.Bytes-s.last.Bytes)*8/passed.Seconds(), true
	}
	if s.at.IsZero() || now.Sub(s.at) >= rateEvery {
		s.last, s.at = p, now
	}
	text := clock(p.Sent)
	if p.Total > 0 {
		text += " of " + clock(p.Total)
	}
	if s.known {
		text += "  " + formatRate(uint64(s.rate)) + "bit/s"
	}
	text += "  " + count(p.Receivers, "receiver")
	return text + fmt.Sprintf("  %.1f %% lost", 100*p.Loss)
}

// rateEvery is over how much time at least a bit rate is taken.
const rateEvery = 900 * time.Millisecond

// receiving gathers the line of listen from events. It is safe for concurrent use.
type receiving struct {
	begin time.Time

	mu      sync.Mutex // guards what follows
	live    map[string]bool
	lost    map[string]uint64 // packets, by stream
	bytes   map[string]uint64
	written uint64
	file    bool // written is what counts
}

func newReceiving(begin time.Time, file bool) *receiving {
	return &receiving{begin: begin, live: make(map[string]bool), lost: make(map[string]uint64), bytes: make(map[string]uint64), file: file}
}

// event takes an event, and reports whether that was all it was wanted for.
func (r *receiving) event(ev *engine.Event) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch ev.Event {
	case "stream":
		delete(r.live, ev.Stream)
		if ev.State != "ended" {
			r.live[ev.Stream] = true
		}
	case "stats":
		if ev.Stream != "" {
			r.lost[ev.Stream], r.bytes[ev.Stream] = deref(ev.Lost), deref(ev.Bytes)
		}
		return true
	}
	return false
}

// Write counts what is written to a file.
func (r *receiving) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written += uint64(len(b))
	return len(b), nil
}

func (r *receiving) text(now time.Time) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	octets, lost := r.written, uint64(0)
	for stream, n := range r.bytes {
		lost += r.lost[stream]
		if !r.file {
			octets += n
		}
	}
	return fmt.Sprintf("%s  %s  %s  %d lost", clock(now.Sub(r.begin)), formatSize(octets), count(len(r.live), "stream"), lost)
}

// refreshEvery is how often the line of listen is rewritten.
const refreshEvery = 500 * time.Millisecond

// follow rewrites the line until stop is called, which waits.
func (r *receiving) follow(l *statusLine) (stop func()) {
	if l == nil {
		return func() {}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(refreshEvery)
		defer t.Stop()
		for {
			select {
			case now := <-t.C:
				l.show(r.text(now))
			case <-end:
				l.show(r.text(time.Now()))
				l.end()
				return
			}
		}
	}()
	return func() { close(end); <-ended }
}

// clock writes a time as 1:02:03 or 2:03.
func clock(d time.Duration) string {
	s := int64(d / time.Second)
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// count writes a number of things, in the plural where there are not one.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// formatSize writes octets as 1.2 MB.
func formatSize(n uint64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%d kB", n/1e3)
}
