package plugins

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/castd/castd/plugins/sdk/protocol"
)

// Times and limits of a launch.
const (
	startTime     = 15 * time.Second // until the handshake
	configureTime = 15 * time.Second
	// maxMemory is the resident memory at which a plugin is ended, and fenceMemory what its data may not exceed in any case.
	maxMemory   = 512 << 20
	fenceMemory = 4 << 30
)

// process is a running plugin.
type process struct {
	child   *child           // nil: castd has attached to it, and neither knows its process id nor ends it
	client  *goplugin.Client // nil where child is
	conn    *grpc.ClientConn
	base    protocol.PluginClient
	service *hostService
	runDir  string
	sockets string
	errors  *tail
	gone    chan struct{} // where child is nil: closed when the connection has ended
	free    func()        // and lets others attach
}

// launchSpec says what to launch.
type launchSpec struct {
	plugin  Installed
	program string // its path
	folder  string // its own
	runDir  string // where private copies go
	epoch   uint64
	castd   string        // version
	limit   time.Duration // for the handshake
	// For the conformance kit: other values than what is true; 0 for the truth.
	parent, version int
	shared          bool // as where the system lets castd make no namespaces
	log             *slog.Logger
	service         *hostService
}

// plugged hands the connection out.
type plugged struct {
	goplugin.NetRPCUnsupportedPlugin
}

func (plugged) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error {
	return errors.New("plugins: this is the host")
}

func (plugged) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return c, nil
}

// launch executes a copy of the program whose checksum is as pinned, and configures it. Errors are for people.
func launch(ctx context.Context, l *launchSpec) (_ *process, err error) {
	name := l.plugin.Name
	p := &process{service: l.service, errors: &tail{}}
	defer func() {
		if err != nil {
			p.kill()
		}
	}()
	if err := p.rooms(l); err != nil {
		return nil, err
	}
	program, args, err := l.prepare(p.runDir)
	if err != nil {
		return nil, &permanentError{err}
	}
	if err := p.service.listen(filepath.Join(p.sockets, "host")); err != nil {
		return nil, err
	}
	temporary := filepath.Join(p.runDir, "tmp")
	if err := errors.Join(os.MkdirAll(l.folder, 0o700), os.Mkdir(temporary, 0o700)); err != nil {
		return nil, fmt.Errorf("make folders of %s: %w", name, err)
	}
	granted := grants(l.plugin.Granted)
	out := &head{max: 200}
	logs := &logWriter{log: l.log.With("plugin", name), level: slog.LevelInfo}
	p.child = &child{
		program: program, args: args, dir: l.folder, sockets: p.sockets, shared: l.shared, stdout: out, stderr: p.errors,
		confinement: confinement{
			Read: []string{p.runDir}, Write: []string{l.folder, temporary, p.sockets},
			Files: granted[permissionFiles], Network: granted[permissionNetwork], Memory: fenceMemory,
		},
	}
	p.client = goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  goplugin.HandshakeConfig{MagicCookieKey: protocol.CookieKey, MagicCookieValue: protocol.CookieValue},
		VersionedPlugins: map[int]goplugin.PluginSet{cmp.Or(l.version, protocol.Version): {"castd": plugged{}}},
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC}, AutoMTLS: !l.plugin.NoMTLS, SkipHostEnv: true,
		StartTimeout: l.limit, Stderr: logs, SyncStdout: logs, SyncStderr: logs, Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Off}),
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: p.sockets},
		GRPCDialOptions:  dialOptions(),
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, _ string) (runner.Runner, error) {
			p.child.env = append(append(environment(l.folder, temporary), cmd.Env...), protocol.EnvHostSocket+"="+p.service.path,
				protocol.EnvHostToken+"="+p.service.token, fmt.Sprintf("%s=%d", protocol.EnvParent, cmp.Or(l.parent, os.Getpid())))
			if l.plugin.own != nil {
				return p.child, nil
			}
			// The copy is checked now that nobody else writes to it. A SecureConfig is for one check: its hash goes on from where it was.
			sum, err := hex.DecodeString(l.plugin.SHA256)
			if err != nil {
				return nil, fmt.Errorf("read checksum: %w", err)
			}
			pinned := goplugin.SecureConfig{Checksum: sum, Hash: sha256.New()}
			if same, err := pinned.Check(program); err != nil {
				return nil, err
			} else if !same {
				return nil, goplugin.ErrChecksumsDoNotMatch
			}
			return p.child, nil
		},
	})
	if err := p.connect(ctx, l.limit); err != nil {
		return nil, startError(l, p, out, err)
	}
	return p, p.configure(ctx, l)
}

// dialOptions are of the connection to a plugin.
func dialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(protocol.Codec{}), grpc.MaxCallRecvMsgSize(protocol.MaxMessage), grpc.MaxCallSendMsgSize(protocol.MaxMessage)),
		grpc.WithInitialWindowSize(1 << 20), grpc.WithInitialConnWindowSize(1 << 20),
	}
}

// prepare returns what is to be executed: a copy in runDir, or castd itself for what is its own.
func (l *launchSpec) prepare(runDir string) (program string, args []string, err error) {
	if o := l.plugin.own; o != nil {
		program, err = o.program()
		return program, []string{o.Arg}, err
	}
	program = filepath.Join(runDir, filePrefix+l.plugin.Name)
	return program, nil, l.copy(program)
}

// rooms makes the folders of a launch: one for the copy, and one for sockets, whose paths may not be long.
func (p *process) rooms(l *launchSpec) error {
	if err := os.MkdirAll(l.runDir, 0o700); err != nil {
		return fmt.Errorf("make room for %s: %w", l.plugin.Name, err)
	}
	var err error
	if p.runDir, err = os.MkdirTemp(l.runDir, l.plugin.Name+"-"); err != nil {
		return fmt.Errorf("make room for %s: %w", l.plugin.Name, err)
	}
	// go-plugin and the plugin add 50 octets, and 107 are all that a socket's path may have.
	if p.sockets = filepath.Join(p.runDir, "s"); len(p.sockets) <= 56 {
		err = os.Mkdir(p.sockets, 0o700)
	} else {
		p.sockets, err = os.MkdirTemp("", "castd-")
	}
	if err != nil {
		return fmt.Errorf("make room for the sockets of %s: %w", l.plugin.Name, err)
	}
	return nil
}

// copy makes the copy that is executed.
func (l *launchSpec) copy(to string) error {
	if err := compatible(l.plugin.Name, l.plugin.Version, l.plugin.Protocols); err != nil {
		return err
	}
	if err := checkInstalled(&l.plugin, l.program); err != nil {
		return err
	}
	sum, err := copyProgram(l.program, to)
	if err == nil && sum != l.plugin.SHA256 {
		err = wrongSum(&l.plugin, sum)
	}
	return err
}

// connect starts the process and waits for its handshake.
func (p *process) connect(ctx context.Context, limit time.Duration) error {
	type result struct {
		raw any
		err error
	}
	done := make(chan result, 1)
	go func() {
		c, err := p.client.Client()
		if err != nil {
			done <- result{nil, err}
			return
		}
		raw, err := c.Dispense("castd")
		done <- result{raw, err}
	}()
	ctx, cancel := context.WithTimeout(ctx, limit+time.Second)
	defer cancel()
	select {
	case r := <-done:
		if r.err != nil {
			return r.err
		}
		p.conn = r.raw.(*grpc.ClientConn)
		p.base = protocol.NewPluginClient(p.conn)
		return nil
	case <-ctx.Done():
		p.child.kill()
		<-done
		return context.Cause(ctx)
	}
}

// endedAtOnce is in the sentence of a plugin that ended before its handshake.
const endedAtOnce = "ended at once"

// startError makes a sentence of why a plugin has not started.
func startError(l *launchSpec, p *process, out *head, err error) error {
	name, text := l.plugin.Name, err.Error()
	p.child.heard()
	printed := strings.TrimSpace(string(out.bytes()))
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, goplugin.ErrChecksumsDoNotMatch):
		return &permanentError{wrongSum(&l.plugin, "another one ")}
	case errors.Is(err, errElsewhere):
		return &permanentError{badPlugin("the plugin %s wants to be called at %s, which is no socket in the folder PLUGIN_UNIX_SOCKET_DIR: its author has to change that", name, quote([]byte(printed)))}
	case p.child.id() == 0:
		return cannotStart("the plugin "+name, err)
	case p.errors.launcherError() != nil:
		return &permanentError{cannotStart("the plugin "+name, p.errors.launcherError())}
	case strings.HasPrefix(text, "incompatible API version"):
		return &permanentError{badPlugin("the plugin %s speaks another version of the protocol than the %d of this castd: install the version of the plugin that fits, or a newer castd", name, protocol.Version)}
	case strings.HasPrefix(text, "unsupported plugin protocol"):
		return &permanentError{badPlugin("the plugin %s speaks net/rpc, and castd gRPC only: it must be built with castd's SDK, or serve gRPC", name)}
	case strings.HasPrefix(text, "Unrecognized remote plugin message") && printed != "", strings.HasPrefix(text, "error parsing core protocol version"):
		return &permanentError{badPlugin("the plugin %s printed %s on standard output, where only its handshake may be: it should print on standard error", name, quote([]byte(printed)))}
	case strings.HasPrefix(text, "timeout while waiting"), errors.Is(err, context.DeadlineExceeded):
		return badPlugin("the plugin %s did not answer within %v of its start: see its log, or try it with castd plugin run%s", name, l.limit, p.errors.quote())
	case strings.HasPrefix(text, "plugin exited before"), strings.HasPrefix(text, "Unrecognized remote plugin message"):
		return badPlugin("the plugin %s "+endedAtOnce+" with %s%s", name, p.child.ending(), p.errors.quote())
	}
	return badPlugin("the plugin %s did not start: %s%s", name, text, p.errors.quote())
}

// configure asks the process who it is, and tells it what it needs to know.
func (p *process) configure(ctx context.Context, l *launchSpec) error {
	name := l.plugin.Name
	if p.child != nil { // else it may stand at a breakpoint
		limited, cancel := context.WithTimeout(ctx, configureTime)
		defer cancel()
		ctx = limited
	}
	d, err := p.base.Describe(ctx, &protocol.DescribeRequest{})
	if err != nil {
		return badPlugin("the plugin %s does not say what it is (%s): its author can find out why with castd plugin test PATH%s", name, callError(err), p.errors.quote())
	}
	if d.Name != name {
		return &permanentError{badPlugin("the plugin %s says now that it is %.40q: install it again with castd plugin install PATH", name, d.Name)}
	}
	config, err := l.plugin.configuration()
	if err != nil {
		return &permanentError{err}
	}
	_, err = p.base.Configure(ctx, &protocol.ConfigureRequest{Config: config, Granted: l.plugin.Granted, Folder: l.folder, Castd: l.castd, Epoch: l.epoch})
	switch status.Code(err) {
	case codes.OK:
		return nil
	case codes.InvalidArgument:
		return &permanentError{badPlugin("the plugin %s refuses its configuration: %s; change it with castd plugin enable %s --set KEY=VALUE", name, callError(err), name)}
	}
	return badPlugin("the plugin %s cannot be configured: %s%s", name, callError(err), p.errors.quote())
}

// permanentError is one that trying again does not mend.
type permanentError struct{ error }

func (e *permanentError) Unwrap() error { return e.error }

// callError is what a call said, bounded.
func callError(err error) string {
	s := status.Convert(err)
	text := strings.TrimRight(strings.ToValidUTF8(s.Message(), "?"), ". \n")
	if s.Code() == codes.DeadlineExceeded {
		text = "it did not answer in time"
	}
	if s.Code() == codes.Unimplemented {
		text = "it does not implement castd.plugin.v1.Plugin"
	}
	return fmt.Sprintf("%.300s", strings.ReplaceAll(text, "\n", "; "))
}

// stop asks the plugin to finish, and kills it when ctx ends.
func (p *process) stop(ctx context.Context) {
	defer p.kill() // of what was attached to it is the connection that ends
	request := &protocol.ShutdownRequest{DeadlineMs: 1000}
	if end, ok := ctx.Deadline(); ok {
		request.DeadlineMs = max(1, time.Until(end).Milliseconds())
	}
	if _, err := p.base.Shutdown(ctx, request); err != nil || p.child == nil {
		return
	}
	done := make(chan struct{})
	go func() { // go-plugin's own goodbye
		p.client.Kill()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		p.child.kill()
		<-done
	}
}

// kill ends the process, and removes what was made for it. It may be called again.
func (p *process) kill() {
	p.abort()
	if p.client != nil {
		p.client.Kill() // the process is dead already: it cleans up
	}
	p.service.close()
	if p.free != nil {
		p.free()
	}
	_ = errors.Join(os.RemoveAll(p.runDir), os.RemoveAll(p.sockets)) // what is left is removed by the next start
}

// abort ends the process at once, or the connection to one that castd has not started.
func (p *process) abort() {
	switch {
	case p.child != nil:
		p.child.kill()
	case p.gone != nil:
		_ = p.conn.Close() // it is closed in any case
	}
}

// exited is closed when the process has ended, or the connection to one that castd has not started.
func (p *process) exited() <-chan struct{} {
	if p.child == nil {
		return p.gone
	}
	return p.child.exited
}

// ending says how it has ended.
func (p *process) ending(name string) error {
	if p.child == nil {
		return badPlugin("the plugin %s is gone: start it again, and type castd plugin run --attach with the line that it prints then", name)
	}
	return badPlugin("the plugin %s ended with %s%s", name, p.child.ending(), p.errors.quote())
}

// id returns the process id; 0 of a process that castd has not started.
func (p *process) id() int {
	if p.child == nil {
		return 0
	}
	return p.child.id()
}
