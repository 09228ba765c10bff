package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
)

// attachArg is the argument with which an author starts his program himself, to have castd attach to it.
const attachArg = "attach"

// Attachment is what a program that was started with the argument "attach" prints as one line of JSON: all that castd plugin run --attach
// needs to attach to it. There is no process id in it, so that nothing can be signalled that has become another's.
type Attachment struct {
	// Socket is the path of the Unix socket at which it serves, in a folder that nobody but its user can open.
	Socket      string      `json:"socket"`
	Description Description `json:"description"`
}

// ParseAttachment reads and checks the line. Its errors are for people.
func ParseAttachment(text []byte) (*Attachment, error) {
	if len(text) > maxDescription {
		return nil, fmt.Errorf("it has more than %d octets", maxDescription)
	}
	var a Attachment
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, fmt.Errorf("it is not the JSON that is wanted (%w)", err)
	}
	if !filepath.IsAbs(a.Socket) || strings.ContainsRune(a.Socket, 0) {
		return nil, errors.New("it names no socket")
	}
	return &a, a.Description.check()
}

// serveAttached serves whichever castd attaches, one after the other, until the process is interrupted.
func serveAttached(p Plugin, d Description) error {
	if runtime.GOOS == "windows" {
		return errors.New("castd can attach to a plugin where there are Unix sockets only, and not on Windows")
	}
	dir, err := os.MkdirTemp("", "castd-attach-") // with permissions 0700
	if err != nil {
		return fmt.Errorf("make room for a socket: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := os.Setenv(goplugin.EnvUnixSocketDir, dir); err != nil {
		return fmt.Errorf("make room for a socket: %w", err)
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s := newServer(p, d)
	s.attached = true
	ready, ended := make(chan *goplugin.ReattachConfig, 1), make(chan struct{})
	c := serveConfig(s, os.Stderr)
	c.Logger = hclog.NewNullLogger() // it takes the end of the socket for an error
	c.Test = &goplugin.ServeTestConfig{Context: ctx, ReattachConfigCh: ready, CloseCh: ended}
	go goplugin.Serve(c)
	select {
	case r := <-ready:
		text, err := json.Marshal(&Attachment{Socket: r.Addr.String(), Description: d})
		if err != nil {
			return fmt.Errorf("encode description: %w", err)
		}
		fmt.Fprintf(os.Stderr, "%s waits for castd: type castd plugin run --attach 'LINE' elsewhere, with the line that follows\n", d.Name)
		fmt.Println(strings.ReplaceAll(string(text), "'", `\u0027`)) // a shell's quotes go around it
		<-ended
		return nil
	case <-ended:
		return fmt.Errorf("no socket can be opened in %s: set TMPDIR to a folder with a short path", dir)
	}
}
