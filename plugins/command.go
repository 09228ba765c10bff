package plugins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/plugins/sdk"
	"github.com/castd/castd/plugins/sdk/protocol"
)

// Limits of what people ask plugins.
const (
	maxArgs     = 256
	maxArg      = 16 << 10 // octets
	maxInput    = 1 << 20
	maxAnswer   = 4 << 20
	callTime    = 30 * time.Second
	commandWait = 3 * time.Second // for a plugin that is just starting
	maxExit     = 125
)

// RunSpec is the body of POST /api/v1/plugins/NAME:run.
type RunSpec struct {
	Args  []string `json:"args"`
	Input []byte   `json:"input,omitempty"`
}

// RunPart is a line of its answer.
type RunPart struct {
	Out  []byte `json:"out,omitempty"` // for standard output
	Err  []byte `json:"err,omitempty"` // and standard error
	Exit *int   `json:"exit,omitempty"`
	// Problem is why the command has not ended by itself.
	Problem string `json:"problem,omitempty"`
}

// Commands reports whether an installed plugin has a command that can be called.
func (p *Installed) Commands() bool {
	return slices.Contains(p.Capabilities, sdk.CapabilityCommand) && slices.Contains(p.Granted, sdk.PermissionCommand)
}

// commander returns a plugin's Commands, as soon as it runs.
func (h *Host) commander(ctx context.Context, name string) (protocol.CommandsClient, error) {
	_, p, err := h.serving(ctx, name, sdk.CapabilityCommand, sdk.PermissionCommand)
	if err != nil {
		return nil, err
	}
	return protocol.NewCommandsClient(p.conn), nil
}

// serving returns a plugin that has a capability and was granted what it needs, as soon as it runs.
func (h *Host) serving(ctx context.Context, name, capability, permission string) (*supervisor, *process, error) {
	h.mu.Lock()
	s := h.running[name]
	h.mu.Unlock()
	if s == nil {
		p, err := h.store.Find(name)
		if err != nil {
			return nil, nil, err
		}
		return nil, nil, badPlugin("the plugin %s does not run: type castd plugin enable %s", p.Name, p.Name)
	}
	switch {
	case !slices.Contains(s.plugin.Capabilities, capability):
		return nil, nil, engine.NewUserError(CodeNoPlugin, fmt.Sprintf("the plugin %s is no %s: castd plugin info %s says what it does", name, capability, name))
	case !slices.Contains(s.plugin.Granted, permission):
		s.refused(permission)
		return nil, nil, badPlugin("%s", notGranted(name, permission))
	}
	ctx, cancel := context.WithTimeout(ctx, commandWait)
	defer cancel()
	p, err := s.whenRunning(ctx)
	if err != nil {
		return nil, nil, badPlugin("the plugin %s does not run at the moment: castd plugin list says why", name)
	}
	return s, p, nil
}

// run has a plugin run a command, and writes its output as it comes.
func (h *Host) run(w http.ResponseWriter, r *http.Request, name string) {
	var spec RunSpec
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, 2*maxInput+maxArgs*maxArg))
	switch err := body.Decode(&spec); {
	case err != nil:
		fail(w, badRequest("the body is not the JSON that is wanted: write {\"args\":[...]}"))
		return
	case len(spec.Args) > maxArgs || slices.ContainsFunc(spec.Args, func(s string) bool { return len(s) > maxArg }) || len(spec.Input) > maxInput:
		fail(w, badRequest("a command has at most %d arguments of %d octets, and %d MiB of input", maxArgs, maxArg, maxInput>>20))
		return
	}
	for i, a := range spec.Args {
		spec.Args[i] = valid(a)
	}
	client, err := h.commander(r.Context(), name)
	if err != nil {
		fail(w, err)
		return
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // where there are none, none is to be lifted
	_ = control.SetWriteDeadline(time.Time{})
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	say := func(p *RunPart) error {
		if err := out.Encode(p); err != nil {
			return err
		}
		return control.Flush()
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	stream, err := client.Run(ctx, &protocol.RunRequest{Args: spec.Args, Input: spec.Input})
	for err == nil {
		var m *protocol.RunOutput
		if m, err = stream.Recv(); err != nil {
			break
		}
		p := RunPart{Out: m.Out, Err: m.Err}
		if m.Done {
			exit := int(max(0, min(m.Exit, maxExit)))
			p.Exit = &exit
		}
		if say(&p) != nil || m.Done {
			return // who does not read it any more has given up
		}
	}
	_ = say(&RunPart{Problem: brokeOff(name, err)}) // as above
}

// brokeOff says why a plugin has not answered to the end.
func brokeOff(name string, err error) string {
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Sprintf("the plugin %s did not say how its command ended", name)
	case status.Code(err) == codes.Unimplemented:
		return fmt.Sprintf("the plugin %s says that it has commands, but does not implement castd.plugin.v1.Commands", name)
	case status.Code(err) == codes.Unavailable, status.Code(err) == codes.Canceled: // by this side, which closes the connection
		return fmt.Sprintf("the plugin %s has ended meanwhile: castd plugin list says why", name)
	}
	return fmt.Sprintf("the plugin %s failed: %s", name, callError(err))
}

// call has a plugin answer a request to a path of its.
func (h *Host) call(w http.ResponseWriter, r *http.Request, name, path string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxInput))
	if err != nil {
		tellProblem(w, http.StatusRequestEntityTooLarge, CodeBadRequest, fmt.Sprintf("a request to a plugin has at most %d MiB", maxInput>>20))
		return
	}
	client, err := h.commander(r.Context(), name)
	if err != nil {
		fail(w, err)
		return
	}
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Now().Add(callTime + 10*time.Second)) // where there are none, none is to be moved
	ctx, cancel := context.WithTimeout(r.Context(), callTime)
	defer cancel()
	a, err := client.Call(ctx, &protocol.CallRequest{
		Method: r.Method, Path: valid(path), Query: valid(r.URL.RawQuery), ContentType: valid(r.Header.Get("Content-Type")), Body: body,
	})
	code := http.StatusBadGateway
	if status.Code(err) == codes.DeadlineExceeded {
		code = http.StatusGatewayTimeout
	}
	switch {
	case err != nil:
		tellProblem(w, code, CodeBadPlugin, brokeOff(name, err))
		return
	case len(a.Body) > maxAnswer:
		tellProblem(w, code, CodeBadPlugin, fmt.Sprintf("the plugin %s answered with more than %d MiB", name, maxAnswer>>20))
		return
	case a.Status != 0 && (a.Status < 200 || a.Status > 599):
		tellProblem(w, code, CodeBadPlugin, fmt.Sprintf("the plugin %s answered with the status %d, which does not exist", name, a.Status))
		return
	}
	kind := "application/json"
	if a.ContentType != "" {
		kind = "application/octet-stream"
		if t, params, err := mime.ParseMediaType(a.ContentType); err == nil {
			kind = mime.FormatMediaType(t, params)
		}
	}
	w.Header().Set("Content-Type", kind)
	// It is of the same origin as castd's page, whose token it must not come to.
	w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'")
	if a.Status != 0 {
		w.WriteHeader(int(a.Status))
	}
	_, _ = w.Write(a.Body) // who does not read it any more does not miss it
}

// verb splits NAME:VERB.
func verb(s string) (name, verb string) {
	name, verb, _ = strings.Cut(s, ":")
	return name, verb
}
