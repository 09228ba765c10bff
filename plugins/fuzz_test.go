package plugins

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func FuzzLock(f *testing.F) {
	sum := strings.Repeat("0a", 32)
	f.Add([]byte(`{"version":1,"plugins":[{"name":"who","version":"1.0.0","protocols":[1],"sha256":"` + sum + `","enabled":true,"permissions":["rooms"],"granted":["rooms"],"settings":{"a":1}}]}`))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := parseLock(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(lockFile{lockVersion, list})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseLock(again); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		for i := range list {
			p := &list[i]
			_, _ = p.configuration()
			p.HideSecrets()
			_ = p.SettingsShown()
			_ = compatible(p.Name, p.Version, p.Protocols)
		}
	})
}

// FuzzOutput feeds what a plugin prints on standard error to what reads it.
func FuzzOutput(f *testing.F) {
	f.Add([]byte(`{"time":"x","level":"WARN","msg":"hello","a":[1]}`+"\npanic: no\n"), uint8(3))
	f.Add([]byte(launcherPrefix+"13 permission denied"), uint8(1))
	f.Fuzz(func(t *testing.T, text []byte, cut uint8) {
		var lines strings.Builder
		w := &logWriter{log: slog.New(slog.NewTextHandler(&lines, nil))}
		last := &tail{}
		for len(text) > 0 {
			n := min(len(text), int(cut)+1)
			_, _ = w.Write(text[:n])
			_, _ = last.Write(text[:n])
			text = text[n:]
		}
		if len(w.partial) > maxLogLine || len(last.b) > tailSize || strings.ContainsAny(last.quote(), "\n\x1b") {
			t.Fatalf("%d octets of a line, %d at the end, %q", len(w.partial), len(last.b), last.quote())
		}
		_ = last.launcherError()
		if n := strings.Count(lines.String(), "\n"); n > (logsASecond+2)*int(1+time.Since(w.second)/time.Second) {
			t.Fatalf("%d lines", n)
		}
	})
}
