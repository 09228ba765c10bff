package sdk

import (
	"context"
	"io"
	"sync"

	"google.golang.org/grpc"

	"github.com/castd/castd/plugins/sdk/protocol"
)

// Commander is a Plugin with a command, `castd NAME ARGS...`. NAME is the plugin's; castd's own commands come first. It needs PermissionCommand.
type Commander interface {
	// Run runs the command, and returns its exit code: 0 done, 1 failed, 2 used wrongly, 3 not found. The context ends when the person gives up.
	Run(ctx context.Context, c *Command) int
}

// Answerer is a Commander that also answers requests to castd's API, below /api/v1/plugins/NAME/.
type Answerer interface {
	Commander
	// Answer answers a request of the administrator's. It has 30 s.
	Answer(ctx context.Context, r Request) Response
}

// Command is a call of `castd NAME`.
type Command struct {
	Args  []string
	Input []byte // standard input, where it is no terminal
	// Out and Err are standard output and standard error of the person who called it. They are safe for concurrent use.
	Out, Err io.Writer
}

// Request is one to /api/v1/plugins/NAME/Path.
type Request struct {
	Method, Path, Query, ContentType string
	Body                             []byte // at most 1 MiB
}

// Response is what a Request is answered with.
type Response struct {
	Status      int    // 0 is 200
	ContentType string // "" is application/json
	Body        []byte // at most 4 MiB
}

type commandServer struct {
	protocol.UnimplementedCommandsServer
	plugin Commander
}

// commandWriter sends what is written.
type commandWriter struct {
	stream grpc.ServerStreamingServer[protocol.RunOutput]
	err    bool
	mu     *sync.Mutex // of the stream's senders
}

// maxWritten bounds what is sent at once, in octets.
const maxWritten = 32 << 10

func (w commandWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for n < len(b) {
		part := b[n:min(len(b), n+maxWritten)]
		m := &protocol.RunOutput{Out: part}
		if w.err {
			m = &protocol.RunOutput{Err: part}
		}
		if err := w.stream.Send(m); err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, nil
}

// Run implements protocol.CommandsServer.
func (s commandServer) Run(r *protocol.RunRequest, stream grpc.ServerStreamingServer[protocol.RunOutput]) error {
	mu := new(sync.Mutex)
	code := s.plugin.Run(stream.Context(), &Command{
		Args: r.Args, Input: r.Input, Out: commandWriter{stream, false, mu}, Err: commandWriter{stream, true, mu},
	})
	mu.Lock()
	defer mu.Unlock()
	return stream.Send(&protocol.RunOutput{Done: true, Exit: int32(code)})
}

// Call implements protocol.CommandsServer.
func (s commandServer) Call(ctx context.Context, r *protocol.CallRequest) (*protocol.CallResponse, error) {
	answers, ok := s.plugin.(Answerer)
	if !ok {
		return &protocol.CallResponse{Status: 404, Body: []byte("{}")}, nil
	}
	a := answers.Answer(ctx, Request{Method: r.Method, Path: r.Path, Query: r.Query, ContentType: r.ContentType, Body: r.Body})
	return &protocol.CallResponse{Status: int32(a.Status), ContentType: a.ContentType, Body: a.Body}, nil
}
