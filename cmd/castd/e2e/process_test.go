package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what should happen at once on a machine that is not loaded.
const patience = 20 * time.Second

// event is a line of --json.
type event map[string]any

func (e event) text(key string) string { s, _ := e[key].(string); return s }
func (e event) number(key string) float64 {
	n, ok := e[key].(float64)
	if !ok {
		return -1
	}
	return n
}

// is matches events by their kind and further pairs of keys and texts.
func is(kind string, pairs ...string) func(event) bool {
	return func(e event) bool {
		if e.text("event") != kind {
			return false
		}
		for i := 0; i < len(pairs); i += 2 {
			if e.text(pairs[i]) != pairs[i+1] {
				return false
			}
		}
		return true
	}
}

// process is a castd that runs.
type process struct {
	t    *testing.T
	name string
	dir  string // data folder
	cmd  *exec.Cmd
	in   io.WriteCloser
	done chan struct{} // closed when it has ended and all its output is read

	mu     sync.Mutex // guards what follows
	events []event
	raw    bytes.Buffer // standard output that is no event
	errors bytes.Buffer
	news   chan struct{} // closed and made anew with each line
}

// folder makes a data folder whose path is short enough for a socket.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "castd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// free are the flags of a peer that is alone on its ports.
func free(dir string) []string {
	return []string{
		"--data-dir", dir, "--listen", "/ip4/127.0.0.1/tcp/0", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1",
		"--media-port", "0", "--no-mdns", "--json",
	}
}

// launch starts a peer on a data folder of its own; command is start, listen or publish with its arguments.
func launch(t *testing.T, name string, command ...string) *process {
	t.Helper()
	dir := folder(t)
	return spawn(t, name, dir, append(command, free(dir)...)...)
}

// spawn starts castd with the arguments. Whatever still runs when the test ends is killed.
func spawn(t *testing.T, name, dir string, args ...string) *process {
	t.Helper()
	return spawnBy(t, name, dir, nil, args...)
}

// spawnBy starts castd by another program, which becomes castd.
func spawnBy(t *testing.T, name, dir string, by []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, dir: dir, done: make(chan struct{}), news: make(chan struct{})}
	line := append(append(slices.Clone(by), binary()), args...)
	p.cmd = exec.Command(line[0], line[1:]...)
	p.cmd.Env = environment()
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	readers.Go(func() { p.read(out, true) })
	readers.Go(func() { p.read(errs, false) })
	go func() {
		readers.Wait()
		_ = p.cmd.Wait() // the exit code is asked for by exit
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("%s: castd %s\n%s\n%s", name, strings.Join(args, " "), p.transcript(), p.stderr())
		}
	})
	return p
}

// environment is that of the test without what would configure castd.
func environment() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "CASTD_") {
			env = append(env, e)
		}
	}
	return env
}

func (p *process) read(r io.Reader, stdout bool) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			p.line(line, stdout)
		}
		if err != nil {
			return
		}
	}
}

func (p *process) line(line []byte, stdout bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var e event
	switch {
	case json.Unmarshal(line, &e) == nil && e["event"] != nil:
		p.events = append(p.events, e)
	case stdout:
		p.raw.Write(line)
	default:
		p.errors.Write(line)
	}
	close(p.news)
	p.news = make(chan struct{})
}

func (p *process) stderr() string { p.mu.Lock(); defer p.mu.Unlock(); return p.errors.String() }
func (p *process) stdout() string { p.mu.Lock(); defer p.mu.Unlock(); return p.raw.String() }

func (p *process) transcript() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	for _, e := range p.events {
		line, _ := json.Marshal(e)
		b.Write(append(line, '\n'))
	}
	return b.String()
}

// seen returns the events so far that match.
func (p *process) seen(match func(event) bool) []event {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []event
	for _, e := range p.events {
		if match(e) {
			found = append(found, e)
		}
	}
	return found
}

// wait returns the nth event that matches, n counted from 1, as soon as there is one.
func (p *process) wait(what string, n int, match func(event) bool) event {
	p.t.Helper()
	limit := time.After(patience)
	for {
		p.mu.Lock()
		news := p.news
		p.mu.Unlock()
		if found := p.seen(match); len(found) >= n {
			return found[n-1]
		}
		select {
		case <-news:
		case <-p.done:
			if found := p.seen(match); len(found) >= n {
				return found[n-1]
			}
			p.t.Fatalf("%s ended without %s", p.name, what)
		case <-limit:
			p.t.Fatalf("%s: no %s after %v", p.name, what, patience)
		}
	}
}

func (p *process) ready() event { p.t.Helper(); return p.wait("ready line", 1, is("ready")) }

// address returns a multiaddr of the peer.
func (p *process) address() string {
	p.t.Helper()
	addrs, _ := p.ready()["addrs"].([]any)
	if len(addrs) == 0 {
		p.t.Fatalf("%s has no address", p.name)
	}
	s, _ := addrs[0].(string)
	return s
}

// exit waits for the end and returns the exit code; -1 if it was killed.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(3 * patience):
		p.t.Fatalf("%s does not end", p.name)
	}
	return p.cmd.ProcessState.ExitCode()
}

// stop asks the peer to end, and returns how long that took.
func (p *process) stop() (code int, took time.Duration) {
	p.t.Helper()
	begin := time.Now()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
	return p.exit(), time.Since(begin)
}

// kill ends the peer as a crash would.
func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	<-p.done
}

// castd runs a command to its end and returns what it wrote.
func castd(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	p := spawn(t, args[0], "", args...)
	p.in.Close()
	code = p.exit()
	return p.transcript() + p.stdout(), p.stderr(), code
}

// origin starts the owner's peer of the room lobby.
func origin(t *testing.T, flags ...string) *process {
	t.Helper()
	p := launch(t, "origin", append([]string{"start", "--room", "lobby", "--http", "127.0.0.1:0"}, flags...)...)
	p.ready()
	return p
}

// audience starts a listener that begins with the given peer, and waits until it has a parent.
func audience(t *testing.T, name string, first *process, flags ...string) *process {
	t.Helper()
	p := launch(t, name, append([]string{"listen", "lobby", "--bootstrap", first.address()}, flags...)...)
	p.wait("parent", 1, is("joined"))
	return p
}

func inTemp(t *testing.T, name string) string { t.Helper(); return filepath.Join(t.TempDir(), name) }

// record runs castd record.
func record(t *testing.T, want int, dir string, args ...string) string {
	t.Helper()
	out, errs, code := castd(t, append([]string{"record"}, append(args, "--data-dir", dir)...)...)
	if code != want {
		t.Fatalf("record %v: exit code %d: %s%s", args, code, out, errs)
	}
	return out + errs
}
