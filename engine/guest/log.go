package guest

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/pion/logging"
)

// pionLog gives pion a logger. What it says names addresses and is about matters that pion has handled, so all of it is
// logged at the debug level.
type pionLog struct {
	log   *slog.Logger
	scope string
}

func (p *pionLog) NewLogger(scope string) logging.LeveledLogger {
	return &pionLog{log: p.log, scope: scope}
}

func (p *pionLog) write(msg string) {
	if strings.Contains(msg, "Pwd") { // pion tells ICE passwords
		return
	}
	p.log.LogAttrs(context.Background(), slog.LevelDebug, "webrtc", slog.String("scope", p.scope), slog.String("message", msg))
}

func (p *pionLog) writef(format string, args ...any) {
	if p.log.Enabled(context.Background(), slog.LevelDebug) {
		p.write(fmt.Sprintf(format, args...))
	}
}

// Trace messages come for every packet and are left out.
func (p *pionLog) Trace(string)          {}
func (p *pionLog) Tracef(string, ...any) {}

func (p *pionLog) Debug(msg string)                  { p.write(msg) }
func (p *pionLog) Debugf(format string, args ...any) { p.writef(format, args...) }
func (p *pionLog) Info(msg string)                   { p.write(msg) }
func (p *pionLog) Infof(format string, args ...any)  { p.writef(format, args...) }
func (p *pionLog) Warn(msg string)                   { p.write(msg) }
func (p *pionLog) Warnf(format string, args ...any)  { p.writef(format, args...) }
func (p *pionLog) Error(msg string)                  { p.write(msg) }
func (p *pionLog) Errorf(format string, args ...any) { p.writef(format, args...) }
