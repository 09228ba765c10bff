package sdk

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/castd/castd/plugins/sdk/protocol"
)

// Plugin is what every plugin implements.
type Plugin interface {
	// Describe says what the plugin is. It may be called at any time, also before Configure.
	Describe() Description
}

// Configurer is a Plugin with something to set up. All plugins that talk to castd by a Host need it.
type Configurer interface {
	// Configure is called once, before anything else but Describe; under a debugger each time that castd attaches. An error is shown to the
	// operator: it should say what to write instead.
	Configure(ctx context.Context, c *Config) error
}

// Sink is a Plugin that gets media and events of rooms.
type Sink interface {
	// Attend is called for each room that the plugin may see, on a goroutine of its own, and should return when room.Next fails. Whoever
	// returns nil before is not asked again about this room; after an error he is, some time later.
	Attend(ctx context.Context, room *Room) error
}

// Source is a Plugin that brings media into rooms: by Host.Publish, and Room.Send in Attend.
type Source interface {
	Sink
	// Sends says so.
	Sends()
}

// HealthChecker is a Plugin that can tell whether it is well.
type HealthChecker interface {
	// Health returns what is wrong, as a sentence for the operator, or nil. It is called four times a second and should return at once:
	// who does not answer for 1.2 s is ended and started again.
	Health(ctx context.Context) error
}

// Measurer is a Plugin with figures to show.
type Measurer interface {
	// Metrics returns them. They appear in castd's /metrics with the prefix castd_plugin_ and the plugin's name
	// as a label, but for names that castd itself uses there, like up and memory_bytes.
	Metrics(ctx context.Context) []Metric
}

// Metric is a figure of a plugin: a gauge, or a counter where its name ends with _total.
type Metric struct {
	Name  string // lower-case letters, digits and underscores
	Help  string
	Value float64
}

// Stopper is a Plugin with something to finish.
type Stopper interface {
	// Stop is called last, when all calls of Attend have returned. The context has a deadline, after which the process is killed.
	Stop(ctx context.Context) error
}

// Config is what a plugin is started with.
type Config struct {
	// Raw is the JSON object that the operator set, checked against Description.Config and with its defaults.
	Raw []byte
	// Granted lists the permissions that he gave.
	Granted []string
	// Folder is the plugin's own. It is there again at the next start.
	Folder string
	// Castd is the version of castd.
	Castd string
	// Epoch counts the starts of the plugin by the running castd, from 0.
	Epoch uint64
	// Host is what the plugin may ask of castd.
	Host *Host
}

// Decode sets v, a pointer to a struct with json tags, from the configuration.
func (c *Config) Decode(v any) error {
	if len(c.Raw) == 0 {
		return nil
	}
	return json.Unmarshal(c.Raw, v)
}

// describe completes what the author said.
func describe(p Plugin) Description {
	d := p.Describe()
	d.Protocols = []int{protocol.Version}
	d.Capabilities = nil
	if _, ok := p.(Sink); ok {
		d.Capabilities = append(d.Capabilities, CapabilitySink)
	}
	if _, ok := p.(Source); ok {
		d.Capabilities = append(d.Capabilities, CapabilitySource)
	}
	if _, ok := p.(Policy); ok {
		d.Capabilities = append(d.Capabilities, CapabilityPolicy)
	}
	if _, ok := p.(Endpoint); ok {
		d.Capabilities = append(d.Capabilities, CapabilityEndpoint)
	}
	if _, ok := p.(Commander); ok {
		d.Capabilities = append(d.Capabilities, CapabilityCommand)
	}
	return d
}

// parentPoll is how often a plugin looks whether castd is still there, where the system does not end it by itself.
const parentPoll = time.Second

// Serve runs a plugin, and ends the process.
func Serve(p Plugin) {
	d := describe(p)
	if err := d.check(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[0], err)
		os.Exit(1)
	}
	if len(os.Args) == 2 && os.Args[1] == "describe" {
		text, err := json.MarshalIndent(&d, "", "  ")
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[0], err)
			os.Exit(1)
		}
		fmt.Println(string(text))
		os.Exit(0)
	}
	cookie := os.Getenv(protocol.CookieKey) == protocol.CookieValue
	if len(os.Args) == 2 && os.Args[1] == attachArg && !cookie {
		if err := serveAttached(p, d); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[0], err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if !cookie {
		fmt.Fprintf(os.Stderr, "%s is a plugin of castd, which starts it: type castd plugin install %s, or castd plugin run %s to try it out\n",
			d.Name, os.Args[0], os.Args[0])
		os.Exit(1)
	}
	// go-plugin replaces os.Stderr by a pipe to castd, which is lost when the process crashes.
	stderr := os.Stderr
	slog.SetDefault(slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: slog.LevelDebug})))
	go dieWithParent()
	goplugin.Serve(serveConfig(newServer(p, d), stderr))
	os.Exit(0)
}

// serveConfig has go-plugin serve s, and log to stderr.
func serveConfig(s *server, stderr io.Writer) *goplugin.ServeConfig {
	return &goplugin.ServeConfig{
		HandshakeConfig: goplugin.HandshakeConfig{
			ProtocolVersion: protocol.Version, MagicCookieKey: protocol.CookieKey, MagicCookieValue: protocol.CookieValue,
		},
		VersionedPlugins: map[int]goplugin.PluginSet{protocol.Version: {"castd": &served{server: s}}},
		GRPCServer: func(o []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(o, grpc.ForceServerCodecV2(protocol.Codec{}), grpc.MaxRecvMsgSize(protocol.MaxMessage),
				grpc.InitialWindowSize(1<<20), grpc.InitialConnWindowSize(1<<20))...)
		},
		Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: stderr, JSONFormat: true}),
	}
}

// dieWithParent ends the process when castd is gone.
func dieWithParent() {
	parent, err := strconv.Atoi(os.Getenv(protocol.EnvParent))
	if err != nil {
		return // run by somebody else's host
	}
	for os.Getppid() == parent {
		time.Sleep(parentPoll)
	}
	os.Exit(1)
}

// served puts a server into go-plugin's.
type served struct {
	goplugin.NetRPCUnsupportedPlugin
	server *server
}

func (s *served) GRPCServer(_ *goplugin.GRPCBroker, g *grpc.Server) error {
	protocol.RegisterPluginServer(g, s.server)
	if s.server.sink != nil {
		protocol.RegisterRoomsServer(g, s.server)
	}
	if p, ok := s.server.plugin.(Policy); ok {
		protocol.RegisterPolicyServer(g, policyServer{plugin: p})
	}
	if e, ok := s.server.plugin.(Endpoint); ok {
		protocol.RegisterEndpointServer(g, endpointServer{plugin: e})
	}
	if c, ok := s.server.plugin.(Commander); ok {
		protocol.RegisterCommandsServer(g, commandServer{plugin: c})
	}
	return nil
}

func (s *served) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, status.Error(codes.Unimplemented, "this is a plugin")
}

// server is a Plugin as castd sees it.
type server struct {
	protocol.UnimplementedPluginServer
	protocol.UnimplementedRoomsServer
	plugin      Plugin
	sink        Sink // nil where it is none
	description Description
	attached    bool // castd did not start it, and may attach again after it has detached
	configured  atomic.Bool
	host        atomic.Pointer[Host]
	rooms       atomic.Pointer[sync.WaitGroup] // calls of Attend, for the castd that has configured it
}

func newServer(p Plugin, d Description) *server {
	s := &server{plugin: p, description: d}
	s.sink, _ = p.(Sink)
	s.rooms.Store(new(sync.WaitGroup))
	return s
}

// Describe implements protocol.PluginServer.
func (s *server) Describe(context.Context, *protocol.DescribeRequest) (*protocol.DescribeResponse, error) {
	d := &s.description
	return &protocol.DescribeResponse{Name: d.Name, Version: d.Version, Capabilities: d.Capabilities, Permissions: d.Permissions}, nil
}

// Configure implements protocol.PluginServer.
func (s *server) Configure(ctx context.Context, r *protocol.ConfigureRequest) (*protocol.ConfigureResponse, error) {
	socket, token := os.Getenv(protocol.EnvHostSocket), os.Getenv(protocol.EnvHostToken)
	if s.attached {
		md, _ := metadata.FromIncomingContext(ctx)
		socket, token = strings.Join(md.Get(protocol.HostSocketKey), ""), strings.Join(md.Get(protocol.TokenKey), "")
		s.rooms.Store(new(sync.WaitGroup)) // calls for an earlier castd may still stand at a breakpoint
	} else if s.configured.Swap(true) {
		return nil, status.Error(codes.FailedPrecondition, "configured already")
	}
	host, err := newHost(socket, token)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	if old := s.host.Swap(host); old != nil {
		_ = old.Close() // its castd is gone
	}
	c, ok := s.plugin.(Configurer)
	if !ok {
		return &protocol.ConfigureResponse{}, nil
	}
	err = c.Configure(ctx, &Config{Raw: r.Config, Granted: r.Granted, Folder: r.Folder, Castd: r.Castd, Epoch: r.Epoch, Host: host})
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	return &protocol.ConfigureResponse{}, nil
}

// Health implements protocol.PluginServer.
func (s *server) Health(ctx context.Context, _ *protocol.HealthRequest) (*protocol.HealthResponse, error) {
	if h, ok := s.plugin.(HealthChecker); ok {
		if err := h.Health(ctx); err != nil {
			return &protocol.HealthResponse{Problem: strings.ToValidUTF8(err.Error(), "?")}, nil
		}
	}
	return &protocol.HealthResponse{}, nil
}

// Metrics implements protocol.PluginServer.
func (s *server) Metrics(ctx context.Context, _ *protocol.MetricsRequest) (*protocol.MetricsResponse, error) {
	var out protocol.MetricsResponse
	if m, ok := s.plugin.(Measurer); ok {
		for _, v := range m.Metrics(ctx) {
			out.Metrics = append(out.Metrics, &protocol.Metric{Name: v.Name, Help: v.Help, Value: v.Value})
		}
	}
	return &out, nil
}

// Shutdown implements protocol.PluginServer. castd has ended all calls of Attend before.
func (s *server) Shutdown(ctx context.Context, r *protocol.ShutdownRequest) (*protocol.ShutdownResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(r.DeadlineMs)*time.Millisecond)
	defer cancel()
	done := make(chan struct{})
	rooms := s.rooms.Load()
	go func() {
		rooms.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	if p, ok := s.plugin.(Stopper); ok {
		if err := p.Stop(ctx); err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
	}
	return &protocol.ShutdownResponse{}, nil
}

// Attend implements protocol.RoomsServer.
func (s *server) Attend(stream grpc.BidiStreamingServer[protocol.ToPlugin, protocol.FromPlugin]) error {
	rooms := s.rooms.Load()
	rooms.Add(1)
	defer rooms.Done()
	room, err := newRoom(stream)
	if err != nil {
		return err
	}
	if err := s.sink.Attend(stream.Context(), room); err != nil {
		return status.Error(codes.Aborted, err.Error())
	}
	return nil
}
