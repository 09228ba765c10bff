package plugins

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// head keeps the beginning of what is written to it. It is safe for concurrent use.
type head struct {
	max int
	mu  sync.Mutex
	b   []byte
}

func (h *head) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.b = append(h.b, b[:min(len(b), h.max-len(h.b))]...)
	return len(b), nil
}

func (h *head) bytes() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return bytes.Clone(h.b)
}

// tail keeps the last lines of what is written to it. It is safe for concurrent use.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailSize = 4 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	if n := len(t.b) - tailSize; n > 0 {
		t.b = append(t.b[:0], t.b[n:]...)
	}
	return len(b), nil
}

// text returns the last line that says something: of a panic the line with its reason.
func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := ""
	for line := range strings.Lines(string(t.b)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			return line
		}
		if line != "" {
			last = line
		}
	}
	if e, ok := parseLogLine([]byte(last)); ok {
		return e.message
	}
	return last
}

// quote is text for the end of a sentence.
func (t *tail) quote() string {
	s := t.text()
	if s == "" {
		return ""
	}
	return fmt.Sprintf("; it says %.160q", strings.ToValidUTF8(s, "?"))
}

// launcherError returns what kept the launcher (confine_linux.go) from executing the program.
func (t *tail) launcherError() error {
	if rest, ok := strings.CutPrefix(t.text(), launcherPrefix); ok {
		number, text, _ := strings.Cut(rest, " ")
		if n, err := strconv.Atoi(number); err == nil && n > 0 {
			return syscall.Errno(n)
		}
		return errors.New(text)
	}
	return nil
}

// launcherPrefix begins what the launcher prints when it fails: then an errno, 0 if it is none, and text.
const launcherPrefix = "castd launcher: "

// logLine is a line that a plugin printed on standard error.
type logLine struct {
	level   slog.Level
	message string
	attrs   []any
}

// parseLogLine reads what log/slog and hclog print as JSON.
func parseLogLine(b []byte) (logLine, bool) {
	if len(b) == 0 || b[0] != '{' {
		return logLine{}, false
	}
	var fields map[string]any
	if json.Unmarshal(b, &fields) != nil {
		return logLine{}, false
	}
	text := func(keys ...string) string {
		for _, k := range keys {
			if s, ok := fields[k].(string); ok {
				delete(fields, k)
				return s
			}
		}
		return ""
	}
	l := logLine{message: text("msg", "@message", "message")}
	switch strings.ToLower(text("level", "@level")) {
	case "trace", "debug":
		l.level = slog.LevelDebug
	case "warn", "warning":
		l.level = slog.LevelWarn
	case "error", "fatal":
		l.level = slog.LevelError
	}
	text("time", "@timestamp", "timestamp")
	for k, v := range fields {
		if len(l.attrs) < 2*maxAttrs {
			l.attrs = append(l.attrs, k, v)
		}
	}
	return l, l.message != ""
}

// Limits of what a plugin writes into castd's log.
const (
	maxAttrs    = 16
	maxLogLine  = 4 << 10
	logsASecond = 50
)

// logWriter writes lines of a plugin's output into castd's log, so many a second.
type logWriter struct {
	log   *slog.Logger
	level slog.Level // of lines that are no JSON

	mu      sync.Mutex
	partial []byte
	second  time.Time
	lines   int
}

func (w *logWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(b)
	for {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		w.partial = append(w.partial, line[:min(len(line), maxLogLine-len(w.partial))]...)
		if !whole {
			return n, nil
		}
		w.line(bytes.TrimSpace(w.partial), time.Now())
		w.partial, b = w.partial[:0], rest
	}
}

func (w *logWriter) line(b []byte, now time.Time) {
	if len(b) == 0 {
		return
	}
	if now.Sub(w.second) >= time.Second {
		if w.lines > logsASecond {
			w.log.Warn("the plugin prints too much", "dropped", w.lines-logsASecond)
		}
		w.second, w.lines = now, 0
	}
	if w.lines++; w.lines > logsASecond {
		return
	}
	if l, ok := parseLogLine(b); ok {
		w.log.Log(context.Background(), l.level, "plugin: "+l.message, l.attrs...)
		return
	}
	w.log.Log(context.Background(), w.level, "plugin: "+strings.ToValidUTF8(string(b), "?"))
}
