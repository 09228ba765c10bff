package plugins

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/castd/castd/plugins/sdk"
	"github.com/castd/castd/plugins/sdk/protocol"
)

// Attached is a plugin that its author has started himself, under a debugger perhaps. castd is a guest there: it knows no process id, so
// that it cannot end or signal anybody, asks for no health, and starts nothing again. Such a plugin is neither pinned nor confined, and the
// connection has no mutual TLS, for which the two would have to have met before: it is for one user's own socket, and for
// castd plugin run only.
type Attached struct{ plugin Installed }

// ParseAttached reads the line that the program has printed. The plugin is granted all that it asks for where all is set, else what c says.
// Errors are for people.
func ParseAttached(line string, c Change, all bool) (*Attached, error) {
	a, err := sdk.ParseAttachment([]byte(strings.TrimSpace(line)))
	if err != nil {
		return nil, badRequest("this is not the line that a plugin prints when it is started with the argument attach: %v; pass on all of it, in single quotes", err)
	}
	p := Installed{Description: a.Description, Enabled: true, attached: a}
	if all {
		c.Grant = p.Permissions
	}
	if err := c.apply(&p); err != nil {
		return nil, err
	}
	return &Attached{p}, compatible(p.Name, p.Version, p.Protocols)
}

// Name is the plugin's.
func (a *Attached) Name() string { return a.plugin.Name }

// attachTime is how long a plugin may take to greet.
const attachTime = 15 * time.Second

// attach connects to a plugin that its author has started, and configures it. It is launch for such a one. Errors are for people.
func attach(ctx context.Context, l *launchSpec) (_ *process, err error) {
	name, socket := l.plugin.Name, l.plugin.attached.Socket
	p := &process{service: l.service, errors: &tail{}}
	defer func() {
		if err != nil {
			p.kill()
		}
	}()
	if err := checkSocket(name, socket); err != nil {
		return nil, err
	}
	// A try of our own says why it fails in a way that can be told.
	c, err := callSocket(ctx, socket)
	if err != nil {
		return nil, socketError(name, socket, err)
	}
	_ = c.Close()
	if p.free, err = tryLock(filepath.Join(filepath.Dir(socket), "attached")); errors.Is(err, errTaken) {
		return nil, badPlugin("another castd is attached to the plugin %s: end that one first", name)
	} else if err != nil {
		return nil, fmt.Errorf("attach to %s: %w", name, err)
	}
	if err := p.rooms(l); err != nil {
		return nil, err
	}
	if err := p.service.listen(filepath.Join(p.sockets, "host")); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(l.folder, 0o700); err != nil {
		return nil, fmt.Errorf("make folders of %s: %w", name, err)
	}
	if p.conn, err = grpc.NewClient("passthrough:///"+socket, append(dialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithIdleTimeout(0), grpc.WithContextDialer(callSocket))...); err != nil {
		return nil, fmt.Errorf("attach to %s: %w", name, err)
	}
	p.gone = make(chan struct{})
	if err := greet(ctx, p.conn); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, badPlugin("the plugin %s does not greet castd at its socket %s: if it stands at a breakpoint let it go on, and attach again", name, socket)
	}
	go func() {
		p.conn.WaitForStateChange(context.Background(), connectivity.Ready) // which closing it is, too
		close(p.gone)
	}()
	p.base = protocol.NewPluginClient(p.conn)
	told := metadata.AppendToOutgoingContext(ctx, protocol.HostSocketKey, p.service.path, protocol.TokenKey, p.service.token)
	return p, p.configure(told, l)
}

// greet waits until the connection is there.
func greet(ctx context.Context, c *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(ctx, attachTime)
	defer cancel()
	c.Connect()
	for {
		state := c.GetState()
		switch {
		case state == connectivity.Ready:
			return nil
		case state == connectivity.TransientFailure:
			return errors.New("no answer")
		case !c.WaitForStateChange(ctx, state):
			return ctx.Err()
		}
	}
}

var errOtherUser = errors.New("it is another user's")

// callSocket connects to a Unix socket of the same user.
func callSocket(ctx context.Context, path string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil && !sameUser(c) {
		_ = c.Close()
		return nil, errOtherUser
	}
	return c, err
}

// checkSocket says whether it is a socket in a folder that only this user can open.
func checkSocket(name, socket string) error {
	dir, err := os.Lstat(filepath.Dir(socket))
	if err != nil {
		return socketError(name, socket, err)
	}
	info, err := os.Lstat(socket)
	switch {
	case err != nil:
		return socketError(name, socket, err)
	case !dir.IsDir() || !ownedByUser(dir) || !ownedByUser(info):
		return socketError(name, socket, errOtherUser)
	case dir.Mode().Perm()&0o077 != 0:
		return badPlugin("the folder of %s, the socket of the plugin %s, can be opened by others: castd attaches in one with the permissions 0700 only", socket, name)
	case info.Mode().Type() != fs.ModeSocket:
		return badPlugin("%s is no socket: pass on the line that the plugin %s printed when you started it with the argument attach", socket, name)
	}
	return nil
}

// socketError makes a sentence of why a socket cannot be used.
func socketError(name, socket string, err error) error {
	switch {
	case errors.Is(err, errOtherUser), errors.Is(err, fs.ErrPermission):
		return badPlugin("%s, the socket of the plugin %s, is another user's: start the plugin as the user who runs castd", socket, name)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return badPlugin("no plugin %s is there at %s any more: start it again with the argument attach, and pass on the line that it prints then", name, socket)
	}
	return fmt.Errorf("attach to %s: %w", name, err)
}
