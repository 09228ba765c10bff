package node

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// TestOwnersListener: who is refused at the data folder's socket is hung up on, and others get in after him.
func TestOwnersListener(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	inner, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	asked := 0
	l := &ownersListener{Listener: inner, log: slog.New(slog.NewTextHandler(&out, nil)), refuse: func(net.Conn) bool { asked++; return asked <= 2 }}
	var conns []net.Conn
	for range 3 {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	c.Close()
	for i, c := range conns {
		if got, err := io.ReadAll(c); string(got) != []string{"", "", "x"}[i] || err != nil {
			t.Errorf("connection %d got %q, %v", i, got, err)
		}
	}
	if n := strings.Count(out.String(), "refused"); n != 1 {
		t.Errorf("it is logged %d times", n)
	}
	inner.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("at the end: %v", err)
	}
}
