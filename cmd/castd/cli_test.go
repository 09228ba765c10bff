package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/node"
	"github.com/castd/castd/engine/wire"
)

// noService has all methods of a Service, of which none works.
type noService struct{ service }

type service = engine.Service

// fakeNode is a peer in one room; what is not needed panics.
type fakeNode struct {
	noService
	options node.Options
	specs   []engine.RoomSpec
	closed  bool
}

const fakeRoom = "abcdefghijklmnopqrstuvwxyz"

func (n *fakeNode) Service() engine.Service     { return n }
func (n *fakeNode) Token() string               { return "secret" }
func (n *fakeNode) Close(context.Context) error { n.closed = true; return nil }

func (n *fakeNode) Status() engine.Status {
	s := engine.Status{Peer: "12D3KooWfake", Addrs: []string{"/ip4/127.0.0.1/tcp/8471"}, MediaPort: 8472}
	if n.options.HTTP != node.NoHTTP {
		s.HTTP = "http://" + n.options.HTTP
	}
	return s
}

func (n *fakeNode) AddRoom(_ context.Context, s engine.RoomSpec) (engine.RoomInfo, error) {
	n.specs = append(n.specs, s)
	switch s.Room {
	case "nowhere":
		return engine.RoomInfo{}, engine.NewUserError(engine.CodeNoRoom, "nobody in reach knows a room nowhere")
	case "two":
		return engine.RoomInfo{}, engine.NewUserError(engine.CodeAmbiguous, "two rooms are called two")
	}
	return engine.RoomInfo{Room: fakeRoom, Name: s.Room, Mode: "broadcast", Role: "owner"}, nil
}

func (n *fakeNode) Find(string) (engine.Media, error) { return nil, engine.ErrNoRoom }

func (n *fakeNode) Invite(wire.RoomID, engine.InviteSpec) (string, error) {
	return "", engine.ErrNoRoom
}

func (n *fakeNode) Changed(context.Context) <-chan struct{} { return nil }

func (n *fakeNode) Events(ctx context.Context, _ time.Duration) <-chan engine.Event {
	events := make(chan engine.Event, 1)
	events <- engine.Event{Event: "error", Time: "2026-01-02T03:04:05.678Z", Room: fakeRoom, Code: "x", Message: "a & b"}
	context.AfterFunc(ctx, func() { close(events) })
	return events
}

// cli runs a command line against a fake node. Commands that would go on are stopped as by a signal.
func cli(t *testing.T, env map[string]string, args ...string) (n *fakeNode, stdout, stderr string, code int) {
	t.Helper()
	n = &fakeNode{}
	var out, errs bytes.Buffer
	lookup := func(key string) (string, bool) { v, ok := env[key]; return v, ok }
	a := newApp(&streams{in: strings.NewReader(""), out: &out, err: &errs, env: lookup},
		func(_ context.Context, o node.Options) (runningNode, error) { n.options = o; return n, nil })
	a.dataDir = t.TempDir()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	stop := time.AfterFunc(100*time.Millisecond, func() { cancel(errStopped) })
	defer stop.Stop()
	root := a.root()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&errs)
	err := root.ExecuteContext(ctx)
	if err != nil {
		errs.WriteString(sentence(err))
	}
	return n, out.String(), errs.String(), exitCode(err)
}

func TestReadyLine(t *testing.T) {
	n, out, errs, code := cli(t, nil, "start", "--room", "lobby", "--json")
	if code != 0 || !n.closed {
		t.Fatalf("exit code %d, closed %v: %s", code, n.closed, errs)
	}
	want := `{"event":"ready","peer":"12D3KooWfake","room":"abcdefghijklmnopqrstuvwxyz","name":"lobby","mode":"broadcast","role":"owner",` +
		`"http":"http://127.0.0.1:8470","token":"secret","addrs":["/ip4/127.0.0.1/tcp/8471"],"media_port":8472}` + "\n" +
		`{"event":"error","time":"2026-01-02T03:04:05.678Z","room":"abcdefghijklmnopqrstuvwxyz","code":"x","message":"a & b"}` + "\n"
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
	if len(n.specs) != 1 || !n.specs[0].Create {
		t.Errorf("rooms %+v", n.specs)
	}
	if _, out, _, _ := cli(t, nil, "start", "--room", "lobby"); !strings.Contains(out, "http://127.0.0.1:8470/r/lobby#token=secret") {
		t.Errorf("people read %s", out)
	}
}

func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	tests := []struct {
		args string
		code int
		want string
	}{
		{"", 0, "castd start --room lobby"},
		{"version", 0, "castd "},
		{"version --json", 0, `"opus":"libopus `},
		{"help tree", 0, "Draws"},
		{"strat", 2, "castd start"},
		{"call ann", 2, "no command"},
		{"help strat", 2, "castd start"},
		{"start --romo lobby", 2, "--room"},
		{"start lobby", 2, "no arguments"},
		{"start --upload much", 2, "20M"},
		{"start --media-port 70000", 2, "65535"},
		{"start --media-port x", 2, "not a number"},
		{"start --max-children -2", 2, "--max-children"},
		{"start --max-participants -2", 2, "--max-participants"},
		{"start --http 8470", 2, "HOST:PORT"},
		{"start --tls-cert x", 2, "--tls-key"},
		{"start --room two", 2, "two rooms"},
		{"listen", 2, "ROOM"},
		{"listen lobby --for soon", 2, "10m"},
		{"listen lobby --out x.mp4", 2, ".webm"},
		{"listen lobby --out " + dir + "/none/x.ogg", 1, "cannot be written"},
		{"listen nowhere", 3, "nowhere"},
		{"listen two", 2, "two rooms"},
		{"publish lobby", 2, "FILE"},
		{"publish lobby " + dir + "/none.ogg", 1, "none.ogg"},
		{"publish lobby " + dir, 1, "folder"},
		{"publish lobby - --loop", 2, "--loop"},
		{"status", 3, "castd start --room lobby"},
		{"tree lobby", 3, "castd start"},
		{"invite lobby", 3, "castd start"},
		{"id exprot", 2, "export"},
		{"start --config " + dir + "/none.yml", 2, "does not exist"},
	}
	for _, tt := range tests {
		_, out, errs, code := cli(t, nil, strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(out+errs, tt.want) {
			t.Errorf("castd %s: exit code %d, want %d with %q: %s", tt.args, code, tt.code, tt.want, errs)
		}
		if code != 0 && strings.Contains(errs, "\n") {
			t.Errorf("castd %s: more than one line: %s", tt.args, errs)
		}
	}
}

func TestEveryCommandHasAnExample(t *testing.T) {
	root := newApp(&streams{}, nil).root()
	commands := root.Commands()
	for len(commands) > 0 {
		c := commands[0]
		commands = append(commands[1:], c.Commands()...)
		if c.Hidden {
			continue // this program's own parts
		}
		if !strings.Contains(c.Example, "castd "+strings.TrimPrefix(c.CommandPath(), "castd ")) {
			t.Errorf("%s has no example of itself", c.CommandPath())
		}
	}
}

func TestPrecedence(t *testing.T) {
	config := filepath.Join(t.TempDir(), "castd.yml")
	text := "upload: 1M\nmedia-port: 1111\nlisten: [/ip4/1.1.1.1/tcp/1, /ip4/1.1.1.1/tcp/2]\nhttp: off\nuntil-end: true\nno-mdns: true\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"CASTD_UPLOAD": "2M", "CASTD_MEDIA_PORT": "2222", "CASTD_CONFIG": config, "CASTD_BOOTSTRAP": "/dns/a,/dns/b", "CASTD_TOKEN": ""}
	n, _, errs, code := cli(t, env, "start", "--upload", "3M")
	if code != 0 {
		t.Fatal(errs)
	}
	o := n.options
	if o.Upload != 3_000_000 || !o.UploadSet || o.MediaPort != 2222 || !o.MediaPortSet || len(o.Listen) != 2 || o.HTTP != node.NoHTTP ||
		!o.HTTPSet || len(o.Bootstrap) != 2 || !o.NoMDNS || o.Token != "" || o.MaxChildren != -1 {
		t.Errorf("options %+v", o)
	}
	n, _, _, _ = cli(t, nil, "start", "--http", ":9000", "--media-port", "0")
	if o := n.options; o.HTTP != "127.0.0.1:9000" || o.MediaPortSet || o.UploadSet || o.Upload != node.DefaultUpload || len(o.Listen) != 0 {
		t.Errorf("options %+v", o)
	}
	if n, _, _, _ := cli(t, nil, "start"); n.options.HTTPSet || n.options.HTTP != node.DefaultHTTP {
		t.Errorf("options %+v", n.options)
	}
}

func TestConfigErrors(t *testing.T) {
	tests := []struct{ text, want string }{
		{"uplod: 1M", `"upload"`},
		{"data_dir: x", `"data-dir"`},
		{"zzzzz: 1", "names of flags"},
		{"config: other.yml", "no key"},
		{"upload: fast", "upload: \"fast\" is not a rate"},
		{"upload: [1M, 2M]", "one value"},
		{"upload: {a: b}", "plain value"},
		{"upload: 1M\nupload: 2M", ":2: upload is there already, in line 1"},
		{"# comment\n\nuplod: 1M", ":3: there is no key"},
		{"- upload", "not YAML"},
		{"upload: [", "not YAML"},
		{"no-mdns: perhaps", "neither true nor false"},
	}
	for _, tt := range tests {
		config := filepath.Join(t.TempDir(), "castd.yml")
		if err := os.WriteFile(config, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, errs, code := cli(t, nil, "start", "--config", config)
		if code != 2 || !strings.Contains(errs, tt.want) || !strings.Contains(errs, config) {
			t.Errorf("%q: exit code %d: %s", tt.text, code, errs)
		}
	}
	_, _, errs, code := cli(t, map[string]string{"CASTD_NO_MDNS": "perhaps"}, "start")
	if code != 2 || !strings.Contains(errs, "CASTD_NO_MDNS") {
		t.Errorf("variable: exit code %d: %s", code, errs)
	}
}

func TestExitCodeOfErrors(t *testing.T) {
	tests := []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("x"), 1},
		{engine.ErrNoRoom, 3},
		{engine.ErrAmbiguous, 2},
		{context.DeadlineExceeded, 3},
		{engine.NewUserError(engine.CodeNotAllowed, "x"), 1},
		{engine.NewUserError(engine.CodeTimeout, "x"), 3},
	}
	for _, tt := range tests {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("%v: %d, want %d", tt.err, got, tt.want)
		}
	}
	if s := sentence(errors.Join(errors.New("a"), errors.New("b"))); s != "a; b" {
		t.Errorf("sentence %q", s)
	}
}
