package plugins

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// child is a process of a plugin. It is made with its upper fields set, and started once.
type child struct {
	program     string
	args        []string
	env         []string
	dir         string // where it runs
	confinement confinement
	// sockets is the folder in which it may listen for castd.
	sockets string
	// shared has it share castd's network whatever it was granted: tests want what happens where there can be no namespaces.
	shared bool
	// stdout and stderr get copies of what it prints; nil for nobody. Who reads from out and err gets it as well.
	stdout, stderr io.Writer

	cmd *exec.Cmd
	// isolated says that it has no network at all.
	isolated bool
	out      *tee // standard output, and error
	err      *tee
	exited   chan struct{} // closed when it has ended, and all that it started
	drained  chan struct{} // closed when that and all output has been read

	mu     sync.Mutex // guards what follows: a process id is not used when it may be another's
	pid    int        // 0: it has not started
	gone   bool
	doomed bool // it was killed, perhaps before it has started
}

// confinement says what a process may do. It crosses to the launcher as JSON.
type confinement struct {
	// Read are folders that it may read and execute from, besides those of the system; Write those that it may write to.
	Read  []string `json:"read,omitempty"`
	Write []string `json:"write,omitempty"`
	// Files lets it read everything, Network lets it make connections.
	Files   bool `json:"files,omitempty"`
	Network bool `json:"network,omitempty"`
	// Memory bounds its data in octets; 0 does not.
	Memory uint64 `json:"memory,omitempty"`
}

// maxFiles bounds the open files of a plugin.
const maxFiles = 1024

// tee is a pipe that is read to its end, and copied to whoever wants it.
type tee struct {
	file *os.File
	copy io.Writer
	once sync.Once
	read chan struct{} // closed when it was read to its end
}

func newTee(file *os.File, copy io.Writer) *tee {
	return &tee{file: file, copy: copy, read: make(chan struct{})}
}

func (t *tee) Read(b []byte) (int, error) {
	n, err := t.file.Read(b)
	if n > 0 && t.copy != nil {
		_, _ = t.copy.Write(b[:n])
	}
	if err != nil {
		t.once.Do(func() { close(t.read) })
	}
	if err != nil && errors.Is(err, os.ErrClosed) {
		err = io.EOF
	}
	return n, err
}

func (t *tee) Close() error { return t.file.Close() }

// start starts the process. Where nobody reads out and err, their output is copied on.
func (c *child) start() error {
	if err := c.launch(); err != nil {
		return err
	}
	c.drained = make(chan struct{})
	go func() {
		defer close(c.drained)
		var both sync.WaitGroup
		both.Go(func() { _, _ = io.Copy(io.Discard, c.out) })
		both.Go(func() { _, _ = io.Copy(io.Discard, c.err) })
		<-c.exited
		both.Wait()
	}()
	return nil
}

// launch starts the process and leaves its output to be read.
func (c *child) launch() error {
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make pipe: %w", err)
	}
	errRead, errWrite, err := os.Pipe()
	if err != nil {
		_, _ = outRead.Close(), outWrite.Close()
		return fmt.Errorf("make pipe: %w", err)
	}
	c.out, c.err = newTee(outRead, c.stdout), newTee(errRead, c.stderr)
	c.exited = make(chan struct{})
	err = c.spawn(outWrite, errWrite)
	_, _ = outWrite.Close(), errWrite.Close()
	if err != nil {
		_, _ = outRead.Close(), errRead.Close()
		return err
	}
	return nil
}

// code returns the exit code, -1 for a signal.
func (c *child) code() int {
	<-c.exited
	if c.cmd.ProcessState == nil {
		return -1
	}
	return c.cmd.ProcessState.ExitCode()
}

// lastWords is how long what a process printed may take to be read after its end.
const lastWords = 500 * time.Millisecond

// ending says how the process ended, when what it printed on standard error has been read.
func (c *child) ending() string {
	<-c.exited
	c.heard()
	return exitText(c.cmd.ProcessState)
}

// heard waits until what a process that has ended printed on standard error has been read.
func (c *child) heard() {
	select {
	case <-c.exited:
	default:
		return
	}
	limit := time.NewTimer(lastWords) // its heir may hold the pipe, where the system cannot end those
	defer limit.Stop()
	select {
	case <-c.err.read:
	case <-limit.C:
	}
}

// What follows is runner.Runner of go-plugin.

func (c *child) Start(context.Context) error     { return c.launch() }
func (c *child) Diagnose(context.Context) string { return "" }
func (c *child) Stdout() io.ReadCloser           { return c.out }
func (c *child) Stderr() io.ReadCloser           { return c.err }
func (c *child) Name() string                    { return c.program }
func (c *child) Kill(context.Context) error      { c.kill(); return nil }
func (c *child) Wait(context.Context) error      { <-c.exited; return nil }

// PluginToHost is asked where to call the plugin, which has printed an address. castd calls at a socket in the plugin's folder and nowhere
// else: it would carry what the plugin gets out to the network, which the plugin may not use.
func (c *child) PluginToHost(network, address string) (string, string, error) {
	if runtime.GOOS == "windows" && network == "tcp" { // go-plugin has no other way there
		if a, err := netip.ParseAddrPort(address); err == nil && a.Addr().IsLoopback() {
			return network, address, nil
		}
		return "", "", errElsewhere
	}
	sockets, err := filepath.EvalSymlinks(c.sockets)
	if err != nil {
		return "", "", fmt.Errorf("find folder of sockets: %w", err)
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(address))
	if err != nil || network != "unix" || dir != sockets && !strings.HasPrefix(dir, sockets+string(filepath.Separator)) {
		return "", "", errElsewhere
	}
	if info, err := os.Lstat(address); err == nil && info.Mode().Type() != fs.ModeSocket {
		return "", "", errElsewhere
	}
	return network, address, nil
}

// errElsewhere says that a plugin wants to be called where it may not listen.
var errElsewhere = errors.New("not a socket in its folder")

func (c *child) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}

func (c *child) ID() string {
	if pid := c.id(); pid > 0 {
		return strconv.Itoa(pid)
	}
	return ""
}

// id returns the process id; 0 where it has not started.
func (c *child) id() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pid
}

// begun notes the process id of a process that has started. It reports false where it is to be killed at once.
func (c *child) begun(pid int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pid = pid
	return !c.doomed
}
