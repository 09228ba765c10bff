package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/castd/castd/"

// imports says which packages of the module each one may import: what is not here may not be there.
// Packages of the table that do not exist yet are fine, packages that are not in the table are not.
const imports = `
tree               : tree/coord
tree/coord         :
tree/elect         :
tree/detect        :
tree/treesim       : tree tree/coord tree/treesim/picture
tree/treesim/picture :
mixer              :
mixer/jitter       :
mixer/opus         :
mixer/tonetest     : mixer/jitter mixer/opus
engine/codec       :
engine/wire        :
engine/seal        : engine/wire
engine/room        : engine/wire
engine/relay       : engine/wire
engine/uplink      : engine/wire
engine/container   : engine/codec engine/wire
engine/store       : engine/wire
engine/cert        :
engine/machine     :
engine             : tree tree/coord tree/detect tree/elect engine/codec engine/wire engine/seal engine/room engine/relay engine/uplink
engine/gossip      : engine engine/wire
engine/udp         :
engine/canary      :
engine/checks      : engine/udp
engine/secure      :
engine/hop         : engine engine/secure engine/udp engine/wire
engine/guest       : engine engine/checks engine/codec engine/secure engine/udp engine/wire
engine/gateway/apicheck :
engine/gateway     : engine engine/wire engine/room
engine/conference  : engine engine/wire mixer mixer/jitter mixer/opus
engine/bench       : mixer/tonetest
engine/enginetest  : engine engine/wire engine/gossip engine/hop engine/udp
engine/node        : engine engine/canary engine/cert engine/codec engine/conference engine/container engine/gateway engine/gossip engine/guest engine/hop engine/machine engine/room engine/seal engine/store engine/uplink engine/wire engine/udp
plugins/sdk/protocol :
plugins/sdk        : plugins/sdk/protocol
plugins            : plugins/sdk plugins/sdk/protocol engine engine/codec engine/wire mixer/opus
plugins/recording  : plugins/sdk engine/codec engine/container mixer/opus
plugins/voicemail  : plugins/sdk engine/codec engine/container mixer/opus
plugins/pstn       : plugins/sdk mixer/opus
cmd/castd          : engine engine/bench engine/codec engine/container engine/node engine/room engine/store engine/wire mixer/opus plugins plugins/recording plugins/sdk tree tree/treesim tree/treesim/picture
examples/broadcast : engine engine/node
examples/conference : engine engine/node mixer/opus
examples/plugin-go : plugins/sdk
cmd/castd/e2e      :
`

// Pure packages do no IO, hold no locks, do not log, and take time and randomness as arguments; forbidigo (.golangci.yml) looks
// for the clock. engine/wire's generated code needs sync.
var pure = []string{"tree", "tree/coord", "tree/detect", "tree/elect", "tree/treesim", "tree/treesim/picture", "mixer", "mixer/jitter", "engine/codec", "engine/seal", "engine/room", "engine/uplink", "engine/wire"}

var impure = []string{"net", "net/http", "os", "os/exec", "log", "log/slog", "sync", "sync/atomic", "math/rand", "syscall", "context"}

// owners are the only packages that import what begins with a path directly.
var owners = map[string][]string{
	"github.com/pion/webrtc/":                  {"engine/hop", "engine/guest", "engine/enginetest", "engine/bench"},
	"github.com/pion/interceptor":              {"engine/hop", "engine/guest", "engine/enginetest"},
	"github.com/libp2p/go-libp2p/p2p/":         {"engine/gossip", "engine/enginetest"},
	"github.com/libp2p/go-libp2p-pubsub":       {"engine/gossip", "engine/enginetest"},
	"github.com/libp2p/go-libp2p/core/host":    {"engine/gossip", "engine/enginetest"},
	"github.com/libp2p/go-libp2p/core/network": {"engine/gossip", "engine/enginetest"},
	"github.com/hraban/opus":                   {"mixer/opus"},
	"github.com/jj11hh/opus":                   {"mixer/opus"},
	"github.com/hashicorp/go-plugin":           {"plugins", "plugins/sdk"},
	"github.com/spf13/":                        {"cmd/castd"},
}

// unlinked must not be linked, however indirectly, by engine and by what only knows its interfaces: tests of these stay quick.
var unlinked = []string{"github.com/pion/webrtc/", "github.com/libp2p/go-libp2p/p2p/", "github.com/libp2p/go-libp2p-pubsub"}

type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
	Standard   bool
}

func TestImports(t *testing.T) {
	if testing.Short() {
		t.Skip("go list takes a while")
	}
	packages := list(t)
	allowed := make(map[string][]string)
	for line := range strings.Lines(imports) {
		if name, rest, ok := strings.Cut(line, ":"); ok {
			allowed[strings.TrimSpace(name)] = strings.Fields(rest)
		}
	}
	for _, p := range packages {
		name := strings.TrimPrefix(p.ImportPath, module)
		may, ok := allowed[name]
		if !ok {
			t.Errorf("%s is not in the table", name)
			continue
		}
		for _, i := range p.Imports {
			if own, ok := strings.CutPrefix(i, module); ok && !slices.Contains(may, own) {
				t.Errorf("%s imports %s, which is not below it", name, own)
			}
			for path, few := range owners {
				if strings.HasPrefix(i, path) && !slices.Contains(few, name) {
					t.Errorf("%s imports %s, which is left to %s", name, i, strings.Join(few, " and "))
				}
			}
			if !slices.Contains(pure, name) {
				continue
			}
			if slices.Contains(impure, i) && !(name == "engine/wire" && i == "sync") {
				t.Errorf("%s is pure, but imports %s", name, i)
			}
			if sub, ok := strings.CutPrefix(i, "github.com/libp2p/go-libp2p/"); ok &&
				!slices.Contains([]string{"core/crypto", "core/peer", "core/record"}, sub) {
				t.Errorf("%s is pure, but imports %s", name, i)
			}
		}
		if name == "engine" || name == "engine/gateway" || name == "engine/store" || slices.Contains(pure, name) {
			for _, d := range p.Deps {
				for _, path := range unlinked {
					if strings.HasPrefix(d, path) {
						t.Errorf("%s links %s", name, d)
					}
				}
			}
		}
	}
}

// list returns the module's packages.
func list(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-tags", "nolibopusfile", "-json=ImportPath,Imports,Deps,Standard", module+"...")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &errs)
	}
	var packages []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	if len(packages) < 10 {
		t.Fatalf("go list knows %d packages", len(packages))
	}
	return packages
}
