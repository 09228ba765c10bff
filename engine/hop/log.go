package hop

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// pionLog hands what pion's modules log to slog, at debug level: their lines name addresses.
type pionLog struct {
	log *slog.Logger
}

func (p pionLog) NewLogger(scope string) logging.LeveledLogger {
	return pionLog{log: p.log.With("module", scope)}
}

func (p pionLog) Trace(string)          {}
func (p pionLog) Tracef(string, ...any) {}
func (p pionLog) Debug(string)          {}
func (p pionLog) Debugf(string, ...any) {}
func (p pionLog) Info(m string)         { p.line("info", m) }
func (p pionLog) Warn(m string)         { p.line("warn", m) }
func (p pionLog) Error(m string)        { p.line("error", m) }

func (p pionLog) Infof(format string, args ...any)  { p.linef("info", format, args) }
func (p pionLog) Warnf(format string, args ...any)  { p.linef("warn", format, args) }
func (p pionLog) Errorf(format string, args ...any) { p.linef("error", format, args) }

func (p pionLog) line(level, m string) {
	p.log.Debug("connectivity", "level", level, "text", m)
}

func (p pionLog) linef(level, format string, args []any) {
	if p.log.Enabled(context.Background(), slog.LevelDebug) {
		p.line(level, fmt.Sprintf(format, args...))
	}
}
