//go:build linux

package plugins

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/plugins/sdk"
	"github.com/castd/castd/plugins/sdk/protocol"
)

// debugged is a plugin that its author has started.
type debugged struct {
	line  string // that it has printed
	cmd   *exec.Cmd
	ended chan error
}

func debug(t *testing.T, name string) *debugged {
	t.Helper()
	d := &debugged{cmd: exec.Command(programFile(t, name), "attach"), ended: make(chan error, 1)}
	d.cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	d.cmd.Stderr = os.Stderr
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := bufio.NewReader(out)
	d.line, err = read.ReadString('\n')
	go func() {
		_, _ = read.WriteTo(new(lockedBuffer)) // what it prints later
		d.ended <- d.cmd.Wait()
	}()
	t.Cleanup(func() { _ = d.cmd.Process.Kill() })
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// attachTo is a host that attaches to what has printed the line.
func attachTo(t *testing.T, line string, set ...string) *testHost {
	t.Helper()
	a, err := ParseAttached(line, Change{Set: set}, true)
	if err != nil {
		t.Fatal(err)
	}
	h := newTestHost(t)
	h.attached = a
	h.start()
	return h
}

func (h *testHost) end() {
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	h.Close(ctx)
}

// TestAttach: a plugin that its author has started is fed as any other, may stand still, lives on when castd leaves, and can be attached to
// again, by one castd at a time.
func TestAttach(t *testing.T) {
	t.Parallel()
	d := debug(t, "guest")
	pid := " pid " + strconv.Itoa(d.cmd.Process.Pid) + " "
	first := attachTo(t, d.line, "do=try")
	if s := first.running("guest"); s.PID != 0 || len(s.Confinement) > 0 || s.Hint != "" {
		t.Errorf("status %+v", s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go first.service.media.play(ctx)
	if text := first.said("guest", "packet 1 "); !strings.Contains(text, pid) || !strings.Contains(text, "\nput: <nil>\n") {
		t.Errorf("it says\n%s", text)
	}

	second := attachTo(t, d.line)
	if s := second.wait("guest", StateFailed, func(s Status) bool { return s.State == StateFailed }); !strings.Contains(s.Problem, "another castd is attached") {
		t.Errorf("while one is attached another is told: %s", s.Problem)
	}

	// At a breakpoint, for longer than others may be silent.
	if err := d.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	first.wait("guest", StateRunning, func(s Status) bool {
		if s.State != StateRunning {
			t.Fatalf("at a breakpoint it is %s: %s", s.State, s.Problem)
		}
		return time.Since(began) > 3*healthLimit
	})
	if err := d.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	first.said("guest", "gap ")
	first.end()
	if text := first.said("guest", "stopped"); !strings.Contains(text, "\nleft lobby ") {
		t.Errorf("it did not leave the room:\n%s", text)
	}

	third := attachTo(t, d.line, "do=try")
	if text := third.said("guest", "attend lobby"); !strings.Contains(text, pid) || !strings.Contains(text, "\nput: <nil>\n") {
		t.Errorf("attached to again it says\n%s", text)
	}

	// castd leaves one that stands still, and it goes on.
	if err := d.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	short, stop := context.WithTimeout(t.Context(), time.Second)
	defer stop()
	third.Close(short)
	if err := d.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	fourth := attachTo(t, d.line)
	fourth.said("guest", "attend lobby")
	select {
	case err := <-d.ended:
		t.Fatalf("it has ended: %v", err)
	default:
	}

	// Its author ends it.
	if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := <-d.ended; err != nil {
		t.Errorf("interrupted it ends with %v", err)
	}
	if s := fourth.wait("guest", StateFailed, func(s Status) bool { return s.State == StateFailed }); !strings.Contains(s.Problem, "is gone: start it again") || s.Restarts > 1 {
		t.Errorf("when it has ended castd says %q, after %d ends", s.Problem, s.Restarts)
	}
	a, err := sdk.ParseAttachment([]byte(d.line))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(a.Socket)); !os.IsNotExist(err) {
		t.Errorf("its folder is still there: %v", err)
	}
	fifth := attachTo(t, d.line)
	if s := fifth.wait("guest", StateFailed, func(s Status) bool { return s.State == StateFailed }); !strings.Contains(s.Problem, "is there at") {
		t.Errorf("when there is nothing castd says %q", s.Problem)
	}
}

// TestAttachRefuses: what cannot be attached to is named, with what to do.
func TestAttachRefuses(t *testing.T) {
	t.Parallel()
	line := func(socket string, protocols ...int) string {
		text, err := json.Marshal(&sdk.Attachment{Socket: socket, Description: sdk.Description{Name: "guest", Version: "1.0.0", Protocols: protocols}})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for text, says := range map[string]string{
		"":                                       "pass on all of it",
		"/tmp/socket":                            "pass on all of it",
		"{}":                                     "names no socket",
		line("relative", 1):                      "names no socket",
		line("/tmp/a\x00b", 1):                   "names no socket",
		line("/tmp/socket"):                      "protocols",
		line("/tmp/socket", 7, 8):                "protocol",
		strings.Repeat(" x", 1<<16):              "octets",
		`{"socket":"/x","description":{"name":`:  "pass on all of it",
		line("/tmp/socket", 1) + " and the rest": "pass on all of it",
	} {
		if _, err := ParseAttached(text, Change{}, true); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.60q: %v, which says nothing of %q", text, err, says)
		}
	}

	listen := func(path string) net.Listener {
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return l
	}
	private := func() string {
		dir, err := os.MkdirTemp("", "castd-attach-test-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		return filepath.Join(dir, "socket")
	}
	stale := private()
	listen(stale).(*net.UnixListener).SetUnlinkOnClose(false)
	if l, err := net.Listen("unix", stale+"2"); err != nil {
		t.Fatal(err)
	} else {
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		_ = l.Close()
	}
	file := private()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open := private()
	listen(open)
	if err := os.Chmod(filepath.Dir(open), 0o755); err != nil {
		t.Fatal(err)
	}
	rude := private()
	go func(l net.Listener) {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("220 mail.example.com\r\n"))
			_ = c.Close()
		}
	}(listen(rude))
	cases := map[string]string{
		private(): "start it again", stale + "2": "start it again", file: "is no socket", open: "can be opened by others", rude: "does not greet castd",
	}
	if os.Geteuid() == 0 {
		other := private()
		listen(other)
		if err := os.Chown(filepath.Dir(other), 65534, 65534); err != nil {
			t.Fatal(err)
		}
		cases[other] = "another user's"
	}
	for socket, says := range cases {
		h := attachTo(t, line(socket, protocol.Version))
		if s := h.wait("guest", StateFailed, func(s Status) bool { return s.State == StateFailed }); !strings.Contains(s.Problem, says) {
			t.Errorf("castd says %q, and nothing of %q", s.Problem, says)
		}
		h.end()
	}
}

// TestAttachIsNoMatterOfFiles: nothing that plugins.lock may hold makes castd attach.
func TestAttachIsNoMatterOfFiles(t *testing.T) {
	list, err := parseLock([]byte(`{"version":1,"plugins":[{"name":"guest","version":"1.0.0","protocols":[1],"sha256":"` + strings.Repeat("0a", 32) +
		`","enabled":true,"attached":{"socket":"/tmp/socket"},"Attached":{"Socket":"/tmp/socket"}}]}`))
	if err == nil && (len(list) != 1 || list[0].attached != nil) {
		t.Errorf("read %+v", list)
	}
}

// TestAttachedMayStandStill: a plugin at a breakpoint takes nothing of a room for as long as it likes, and is not stuck.
func TestAttachedMayStandStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := testAttendance(&kitRoom{})
		a.service.patient = true
		ctx, cancel := context.WithCancel(t.Context())
		end := make(chan error, 1)
		go func() { end <- a.run(ctx, ctx, &fakeStream{takes: 3}) }()
		for range 10 * int(stuckTime/time.Second) {
			a.tell(&protocol.Event{Event: "something", Json: []byte("{}")})
			time.Sleep(time.Second)
		}
		select {
		case err := <-end:
			t.Fatalf("it ended with %v", err)
		default:
		}
		cancel()
		<-end
	})
}
