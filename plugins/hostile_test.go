//go:build linux

package plugins

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestCalledElsewhere: a plugin without the network could have castd carry a room's sound to wherever it says that it listens.
func TestCalledElsewhere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, name := range []string{fmt.Sprintf("raw-tcp-%d", l.Addr().(*net.TCPAddr).Port), "raw-elsewhere", "raw-linked"} {
		h := newTestHost(t)
		h.install(name, Change{})
		h.start()
		s := h.wait(name, "in trouble", func(s Status) bool { return s.Problem != "" })
		if s.State != StateFailed || !strings.Contains(s.Problem, "PLUGIN_UNIX_SOCKET_DIR") {
			t.Errorf("%s: status %+v", name, s)
		}
	}
	if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("castd called there (%v)", err)
	}
}

// TestDeafPluginIsEnded: who does not serve any more is of no use, although his process lives.
func TestDeafPluginIsEnded(t *testing.T) {
	h := newTestHost(t)
	h.install("raw-deaf", Change{})
	h.start()
	s := h.wait("raw-deaf", "ended", func(s Status) bool { return s.Restarts > 0 && s.Problem != "" })
	if !strings.Contains(s.Problem, "did not answer for") {
		t.Errorf("problem %q", s.Problem)
	}
}

// TestPurgedValuesAreGone: what a plugin kept is forgotten by a running castd as well.
func TestPurgedValuesAreGone(t *testing.T) {
	h := newTestHost(t)
	h.install("keeper", Change{})
	h.start()
	h.running("keeper")
	values := func() *values {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.valuesOf("keeper")
	}
	if err := values().put("key", []byte("value")); err != nil {
		t.Fatal(err)
	}
	for _, step := range []func() error{
		func() error { return h.store.Disable("keeper") }, h.Reload, func() error { return h.store.Remove("keeper", true) }, h.Reload,
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	h.install("keeper", Change{})
	if err := h.Reload(); err != nil {
		t.Fatal(err)
	}
	h.running("keeper")
	if v, found, err := values().get("key"); found || err != nil {
		t.Errorf("it has %q still (%v)", v, err)
	}
}

// TestControlSocket: a plugin runs as castd's user, and could administer castd by its socket.
func TestControlSocket(t *testing.T) {
	h := newTestHost(t)
	path := filepath.Join(filepath.Dir(h.store.dir), "castd.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accept := func() bool {
		t.Helper()
		if err := l.(*net.UnixListener).SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return h.FromPlugin(c)
	}
	h.install("nosy", Change{Set: []string{"do=try"}})
	h.start()
	if !accept() {
		t.Error("a plugin is not recognized")
	}
	own, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if accept() {
		t.Error("this process is taken for a plugin")
	}
}

func TestConfined(t *testing.T) {
	const status = "Name:\tcurl\nNoNewPrivs:\t1\nSeccomp:\t0\n"
	limits := func(data, core, files string) string {
		return "Limit                     Soft Limit           Hard Limit           Units     \n" +
			"Max data size             4294967296           " + data + "           bytes     \nMax core file size        0                    " + core +
			"                    bytes     \nMax open files            1024                 " + files + "                 files     \n"
	}
	for _, tt := range []struct {
		status, limits string
		want           bool
	}{
		{status, limits("4294967296", "0", "1024"), true},
		{status, limits("1000", "0", "3"), true},
		{status, limits("unlimited", "0", "1024"), false},
		{status, limits("4294967296", "unlimited", "1024"), false},
		{status, limits("4294967296", "0", "524288"), false},
		{"Name:\tcurl\nNoNewPrivs:\t0\n", limits("4294967296", "0", "1024"), false},
		{status, "", false},
		{"", "", false},
	} {
		if got := confined(tt.status, tt.limits); got != tt.want {
			t.Errorf("%q: %v", tt.limits, got)
		}
	}
}
