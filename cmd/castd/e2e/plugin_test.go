//go:build linux

package e2e_test

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stranger builds examples/plugin-go as a stranger would, in a module of his own.
func stranger(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(path string) []byte {
		b, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	write("main.go", read("examples/plugin-go/main.go"))
	write("talk.go", read("examples/plugin-go/talk.go"))
	// The versions are castd's, so that nothing has to be downloaded.
	mod := regexp.MustCompile(`(?m)^module .*$`).ReplaceAllString(string(read("go.mod")), "module example.com/who")
	write("go.mod", []byte(mod+"\nrequire github.com/castd/castd v0.0.0\nreplace github.com/castd/castd => "+root+"\n"))
	write("go.sum", read("go.sum"))
	build := exec.Command("go", "build", "-mod=mod", "-o", "castd-plugin-who", ".")
	build.Dir, build.Env = dir, append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the plugin: %v\n%s", err, out)
	}
	return filepath.Join(dir, "castd-plugin-who")
}

// pluginList is what `castd plugin list` tells of the only plugin.
func pluginList(t *testing.T, dir string) event {
	t.Helper()
	out, errs, code := castd(t, "plugin", "list", "--json", "--data-dir", dir)
	var e event
	if code != 0 || json.Unmarshal([]byte(strings.TrimSpace(out)), &e) != nil {
		t.Fatalf("plugin list: exit code %d: %s%s", code, out, errs)
	}
	return e
}

// until waits until something is so.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so: %s", what)
		}
	}
}

// TestPlugin has a plugin write down who speaks in a room, kills it, and kills castd.
func TestPlugin(t *testing.T) {
	t.Parallel()
	program := stranger(t)
	run := func(wantCode int, args ...string) string {
		t.Helper()
		out, errs, code := castd(t, append([]string{"plugin"}, args...)...)
		if code != wantCode {
			t.Fatalf("plugin %v: exit code %d: %s%s", args, code, out, errs)
		}
		return out + errs
	}
	o := origin(t)
	dir := []string{"--data-dir", o.dir}
	if s := run(0, append(dir, "install", program, "--grant", "rooms")...); !strings.Contains(s, "It is running.") || !strings.Contains(s, "--grant audio") {
		t.Errorf("install: %s", s)
	}
	if s := run(2, append(dir, "enable", "who", "--grant", "network")...); !strings.Contains(s, "does not ask for") {
		t.Errorf("enable with too much: %s", s)
	}
	if s := run(3, append(dir, "enable", "nobody")...); !strings.Contains(s, "castd plugin list") {
		t.Errorf("enable of none: %s", s)
	}
	if s := run(0, append(dir, "enable", "who", "--set", "quiet=200")...); !strings.Contains(s, "refuses its configuration: quiet is 200, but should be 0 to 127") {
		t.Errorf("enable with a bad setting: %s", s)
	}
	run(0, append(dir, "enable", "who", "--grant", "audio", "--set", "quiet=")...)
	spawn(t, "publisher", o.dir, "publish", "lobby", "--demo", "--data-dir", o.dir, "--json")
	sent := func() bool {
		packets, _ := pluginList(t, o.dir)["packets"].(float64)
		return packets > 100
	}
	until(t, "the plugin gets sound", sent)
	first := int(pluginList(t, o.dir).number("pid"))
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "it runs again", func() bool {
		e := pluginList(t, o.dir)
		return e.text("state") == "running" && int(e.number("pid")) != first
	})
	until(t, "it gets sound again", sent)
	a := apiOf(t, o)
	if n := a.metric(`castd_plugin_failures_total{plugin="who"}`); n < 1 {
		t.Errorf("castd_plugin_failures_total is %v", n)
	}
	time.Sleep(time.Second) // of sound, for the file
	// It has a command, which nobody can take from castd or give it without being asked.
	who := func(wantCode int, want string, args ...string) {
		t.Helper()
		out, errs, code := castd(t, append(dir, args...)...)
		if code != wantCode || !strings.Contains(out+errs, want) {
			t.Errorf("castd %v: exit code %d: %s%s", args, code, out, errs)
		}
	}
	who(2, `there is no command "who"`, "who", "lobby")
	run(0, append(dir, "enable", "who", "--grant", "command")...)
	until(t, "it gets sound with its command", sent)
	who(0, "WEBVTT lobby", "who", "lobby")
	who(3, "Nothing was written down", "who", "nowhere")
	who(2, "name the room", "who")
	who(3, `the room "--json"`, "who", "--json") // which is the plugin's to understand
	who(0, "who         Writes down who speaks when", "help")
	who(0, "who         Writes down who speaks when", "--help")
	time.Sleep(time.Second)
	run(0, append(dir, "disable", "who")...)
	who(1, "castd plugin enable who", "who", "lobby")
	var text strings.Builder
	files, _ := filepath.Glob(filepath.Join(o.dir, "plugins/state/who/files/lobby_*.vtt"))
	for _, f := range files {
		b, _ := os.ReadFile(f)
		text.Write(b)
	}
	if !regexp.MustCompile(`(?m)^WEBVTT lobby\n\n00:00:0\d\.\d{3} --> 00:00:\d\d\.\d{3}\n<v main of `).MatchString(text.String()) {
		t.Errorf("the files have\n%s", &text)
	}

	run(0, append(dir, "enable", "who")...)
	var pid int
	until(t, "it runs once more", func() bool { pid = int(pluginList(t, o.dir).number("pid")); return pid != 0 })
	o.kill()
	until(t, "the plugin ends with castd", func() bool { return syscall.Kill(pid, 0) != nil })
	if e := pluginList(t, o.dir); e.text("state") != "stopped" {
		t.Errorf("without castd: %v", e)
	}
	if s := run(0, append(dir, "verify")...); !strings.Contains(s, "as it was installed") {
		t.Errorf("verify: %s", s)
	}
	file := filepath.Join(o.dir, "plugins/castd-plugin-who")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if s := run(1, append(dir, "verify")...); !strings.Contains(s, "is not what was installed") {
		t.Errorf("verify: %s", s)
	}
	if s := run(0, append(dir, "list")...); !strings.Contains(s, "is not what was installed") {
		t.Errorf("list: %s", s)
	}
	run(0, append(dir, "remove", "who", "--purge")...)
	if s := run(0, append(dir, "list")...); !strings.Contains(s, "No plugin is installed") {
		t.Errorf("list: %s", s)
	}
}

// TestPluginKit runs the conformance kit against the example.
func TestPluginKit(t *testing.T) {
	t.Parallel()
	out, errs, code := castd(t, "plugin", "test", stranger(t))
	if code != 0 || strings.Count(out, "ok       ") < 10 {
		t.Errorf("exit code %d:\n%s%s", code, out, errs)
	}
}

// TestPluginRun tries the example out.
func TestPluginRun(t *testing.T) {
	t.Parallel()
	p := spawn(t, "run", "", "plugin", "run", stranger(t))
	until(t, "it writes down who speaks", func() bool { return strings.Contains(p.stderr(), "writing down who speaks") })
	if code, took := p.stop(); code != 0 || took > 10*time.Second || !strings.Contains(p.stdout(), "runs in the room test") {
		t.Errorf("exit code %d after %v: %s", code, took, p.stdout())
	}
}

// TestPluginAttach tries out one that its author has started, which castd leaves as it was, twice.
func TestPluginAttach(t *testing.T) {
	t.Parallel()
	program := exec.Command(stranger(t), "attach")
	program.Env = append(os.Environ(), "TMPDIR="+folder(t))
	out, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	defer func() {
		_ = program.Process.Kill()
		<-ended
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	go func() { ended <- program.Wait() }()
	if err != nil {
		t.Fatal(err)
	}
	line = strings.TrimSpace(line)
	for range 2 {
		p := spawn(t, "run", "", "plugin", "run", "--attach", line, "--log-level", "debug")
		until(t, "the plugin runs", func() bool { return strings.Contains(p.stderr(), "plugin runs") })
		if code, took := p.stop(); code != 0 || took > 10*time.Second || !strings.Contains(p.stdout(), "it lives on") {
			t.Errorf("exit code %d after %v: %s", code, took, p.stdout())
		}
	}
	if err := program.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the plugin lives no more: %v", err)
	}
	for _, c := range []struct {
		says string
		args []string
	}{
		{"castd plugin run does", []string{"start", "--attach", line}},
		{"castd plugin run does", []string{"plugin", "install", "--attach", line}},
		{"starts no program", []string{"plugin", "run", "--attach", line, "castd-plugin-who"}},
		{"the PATH of a program", []string{"plugin", "run"}},
		{"pass on all of it", []string{"plugin", "run", "--attach", "/tmp/socket"}},
	} {
		if _, errs, code := castd(t, c.args...); code == 0 || !strings.Contains(errs, c.says) {
			t.Errorf("castd %.60q: exit code %d, and %s", c.args, code, errs)
		}
	}
}
