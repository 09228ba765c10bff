package main

import (
	"encoding/json"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/castd/castd/engine"
)

// roomsAt answers for the peer of a data folder that is in two rooms.
func roomsAt(t *testing.T, dir string) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(dir, "castd.sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode([]engine.RoomInfo{
			{Room: fakeRoom, Name: "Lobby", Mode: "broadcast", Role: "owner", Title: "Hall"},
			{Room: "zyxwvutsrqponmlkjihgfedcba", Name: "stage", Mode: "broadcast", Role: "member"},
		})
	})}
	go server.Serve(l) //nolint:errcheck // Close ends it
	t.Cleanup(func() { server.Close() })
}

func TestCompletion(t *testing.T) {
	dir := t.TempDir()
	roomsAt(t, dir)
	for _, tt := range []struct {
		args string // of __complete; the last word is what was typed so far, _ for nothing
		want string // words that are offered
	}{
		{"status _", "Lobby stage"},
		{"status lo", "Lobby"},
		{"tree zyx", "zyxwvutsrqponmlkjihgfedcba"},
		{"status lobby _", ""},
		{"listen st", "stage"},
		{"invite _", "Lobby stage"},
		{"peers _", "Lobby stage"},
		{"publish lobby _", ""}, // the shell's own names of files
		{"start --room l", "Lobby"},
		{"start --log-level _", "debug info warn error"},
		{"rooms _", ""},
		{"completion z", "zsh"},
		{"config _", "check"},
		{"conf", "config"},
		{"peers --js", "--json"},
	} {
		args := append([]string{"__complete"}, strings.Fields(strings.ReplaceAll(tt.args, "_", ""))...)
		if strings.HasSuffix(tt.args, "_") {
			args = append(args, "")
		}
		_, out, errs, code := cli(t, map[string]string{"CASTD_DATA_DIR": dir}, args...)
		var words []string
		for line := range strings.Lines(out) {
			word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			if word != "" && !strings.HasPrefix(word, ":") {
				words = append(words, word)
			}
		}
		if got := strings.Join(words, " "); got != tt.want || code != 0 {
			t.Errorf("%s: %q, want %q (%d %s)", tt.args, got, tt.want, code, errs)
		}
	}
	// Where no peer runs, nothing is offered and nothing said.
	if _, out, _, code := cli(t, nil, "__complete", "status", ""); code != 0 || strings.Contains(out, "room") {
		t.Errorf("without a peer: %d %s", code, out)
	}
}

// TestCompletionScripts has the shells read what is made for them, as far as they are installed.
func TestCompletionScripts(t *testing.T) {
	for shell, want := range map[string]string{"bash": "complete ", "zsh": "#compdef castd", "fish": "complete -c castd", "powershell": "Register-ArgumentCompleter"} {
		_, out, errs, code := cli(t, nil, "completion", shell)
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: exit code %d: %s", shell, code, errs)
		}
		path, err := exec.LookPath(shell)
		if err != nil || shell == "powershell" {
			continue
		}
		check := exec.Command(path, "-n")
		check.Stdin = strings.NewReader(out)
		if said, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s does not read its script: %v %s", shell, err, said)
		}
	}
	for args, want := range map[string]string{"completion": "a shell", "completion tcsh": "bash", "completion bsh": "did you mean bash", "completion bash zsh": "zsh"} {
		if _, _, errs, code := cli(t, nil, strings.Fields(args)...); code != 2 || !strings.Contains(errs, want) {
			t.Errorf("%s: exit code %d: %s", args, code, errs)
		}
	}
}
