package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSecondStart: only one process runs on a data folder, and it is named.
func TestSecondStart(t *testing.T) {
	o := origin(t)
	_, errs, code := castd(t, append([]string{"start", "--room", "attic"}, free(o.dir)...)...)
	if code != 1 || !strings.Contains(errs, fmt.Sprint(o.cmd.Process.Pid)) || strings.Count(errs, "\n") != 1 {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

// TestQueries asks a running peer by its socket.
func TestQueries(t *testing.T) {
	o := origin(t)
	l := audience(t, "listener", o)
	ready := o.ready()
	for _, key := range []string{"peer", "room", "http", "token", "invite"} {
		if ready.text(key) == "" {
			t.Errorf("the ready line lacks %s", key)
		}
	}
	if ready.text("name") != "lobby" || ready.text("mode") != "broadcast" || ready.text("role") != "owner" || ready.number("media_port") <= 0 {
		t.Errorf("ready %v", ready)
	}
	if role := l.ready().text("role"); role != "member" {
		t.Errorf("the listener is %s", role)
	}
	query := func(into any, args ...string) {
		t.Helper()
		out, errs, code := castd(t, append(args, "--json", "--data-dir", o.dir)...)
		if code != 0 {
			t.Fatalf("%v: %d %s", args, code, errs)
		}
		if err := json.NewDecoder(strings.NewReader(out)).Decode(into); err != nil {
			t.Fatalf("%v: %v in %q", args, err, out)
		}
	}
	var status, room, id, invite map[string]any
	query(&status, "status")
	query(&room, "status", "lobby")
	query(&id, "id")
	query(&invite, "invite", "lobby")
	if status["peer"] != ready["peer"] || id["peer"] != ready["peer"] || status["user"] != id["user"] || status["http"] != ready["http"] {
		t.Errorf("status %v, id %v", status, id)
	}
	if room["room"] != ready["room"] || room["name"] != "lobby" {
		t.Errorf("room %v", room)
	}
	if link, _ := invite["invite"].(string); !strings.HasPrefix(link, "castd://"+ready.text("room")+"/lobby?via=") {
		t.Errorf("invite %v", invite)
	}
	drawn, errs, code := castd(t, "tree", "lobby", "--data-dir", o.dir)
	ends := func(id string) string { return id[len(id)-8:] } // peers go by the ends of their ids
	if code != 0 || !strings.Contains(drawn, ends(ready.text("peer"))) || !strings.Contains(drawn, ends(l.ready().text("peer"))) {
		t.Errorf("tree: %d %s%s", code, drawn, errs)
	}
	if _, _, code := castd(t, "status", "attic", "--data-dir", o.dir); code != 3 {
		t.Errorf("status of a room that is not there: exit code %d", code)
	}
}

// TestNames: which exit code a room's name leads to.
func TestNames(t *testing.T) {
	dir := folder(t)
	if _, errs, code := castd(t, append([]string{"listen", "nowhere", "--wait", "1s"}, free(dir)...)...); code != 3 {
		t.Errorf("unknown room: exit code %d: %s", code, errs)
	}
	if _, errs, code := castd(t, append([]string{"listen", "not a name!"}, free(dir)...)...); code != 2 && code != 3 {
		t.Errorf("bad name: exit code %d: %s", code, errs)
	}
	if _, _, code := castd(t, "status", "--data-dir", dir); code != 3 {
		t.Errorf("status without a peer: exit code %d", code)
	}

	// Two owners, one name.
	first, second := origin(t), origin(t)
	_, errs, code := castd(t, append([]string{"listen", "lobby", "--wait", "5s", "--bootstrap", first.address(), "--bootstrap", second.address()}, free(dir)...)...)
	if code != 2 {
		t.Errorf("ambiguous name: exit code %d: %s", code, errs)
	}
	for _, o := range []*process{first, second} {
		if !strings.Contains(errs, o.ready().text("room")) {
			t.Errorf("the message does not list %s: %s", o.ready().text("room"), errs)
		}
	}
}

// TestNotAllowed: strangers do not send into a broadcast, but with an invite they do.
func TestNotAllowed(t *testing.T) {
	file := clip(t, "clip.ogg", 2)
	o := origin(t)
	l := audience(t, "listener", o, "--until-end")
	dir := folder(t)
	_, errs, code := castd(t, append([]string{"publish", "lobby", file, "--bootstrap", o.address()}, free(dir)...)...)
	if code != 1 || !strings.Contains(errs, "--speak") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	link, _, _ := castd(t, "invite", "lobby", "--speak", "--data-dir", o.dir)
	if _, errs, code := castd(t, append([]string{"publish", strings.TrimSpace(link), file}, free(folder(t))...)...); code != 0 {
		t.Errorf("with an invite: exit code %d: %s", code, errs)
	}
	l.wait("audio", 1, is("stream", "kind", "audio", "state", "live"))
	if code := l.exit(); code != 0 {
		t.Errorf("listen ended with %d", code)
	}
}

// TestGoodbye: a peer that is asked to end does so in time, and its children know at once.
func TestGoodbye(t *testing.T) {
	o := origin(t, "--max-children", "1")
	inner := audience(t, "inner", o, "--max-children", "2")
	leaf := audience(t, "leaf", o)
	if leaf.wait("parent", 1, is("joined")).text("parent") != inner.ready().text("peer") {
		t.Fatal("the leaf is not below the inner peer")
	}
	inner.wait("its child", 1, is("peer")) // before, there is nobody to say goodbye to
	if code, took := inner.stop(); code != 0 || took > 3*time.Second {
		t.Errorf("ended with %d after %v", code, took)
	}
	if p := leaf.wait("new parent", 1, is("parent", "reason", "goodbye")).text("peer"); p != o.ready().text("peer") {
		t.Errorf("the leaf went to %s", p)
	}
	if code, took := leaf.stop(); code != 0 || took > 3*time.Second {
		t.Errorf("the leaf ended with %d after %v", code, took)
	}
	if code, took := o.stop(); code != 0 || took > 3*time.Second {
		t.Errorf("the origin ended with %d after %v", code, took)
	}
	if _, err := os.Stat(filepath.Join(o.dir, "castd.sock")); err == nil {
		t.Error("the socket is still there")
	}
}

// TestCrash kills an inner peer: the leaf's recording goes on, and the gap is below a second.
func TestCrash(t *testing.T) {
	file := clip(t, "clip.webm", 10)
	o := origin(t, "--max-children", "1")
	inner := audience(t, "inner", o, "--max-children", "2")
	out := inTemp(t, "copy.webm")
	leaf := audience(t, "leaf", o, "--until-end", "--out", out)
	if leaf.wait("parent", 1, is("joined")).text("parent") != inner.ready().text("peer") {
		t.Fatal("the leaf is not below the inner peer")
	}
	p := spawn(t, "publish", "", "publish", "lobby", file, "--data-dir", o.dir, "--json")
	leaf.wait("video", 1, is("stream", "kind", "video", "state", "live"))
	time.Sleep(3 * time.Second) // media flows; processes have no fake clock
	inner.kill()
	leaf.wait("repair", 1, is("parent", "reason", "repair"))
	if code := p.exit(); code != 0 {
		t.Errorf("publish ended with %d", code)
	}
	if code := leaf.exit(); code != 0 {
		t.Errorf("listen ended with %d", code)
	}
	for _, g := range leaf.seen(is("gap")) {
		if g.number("ms") >= 1000 || g.number("lost") > 0 {
			t.Errorf("gap %v", g)
		}
	}
	same(t, out, file, "a")
	same(t, out, file, "v")
}

// TestFlagsVariablesAndFile: a flag beats a variable, a variable beats the file, and wrong keys are named.
func TestFlagsVariablesAndFile(t *testing.T) {
	config := inTemp(t, "castd.yml")
	dirs := []string{folder(t), folder(t), folder(t)}
	if err := os.WriteFile(config, []byte("data-dir: "+dirs[0]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	who := func(args ...string) string {
		t.Helper()
		out, errs, code := castd(t, append([]string{"id"}, args...)...)
		if code != 0 {
			t.Fatalf("%v: %d %s", args, code, errs)
		}
		return out
	}
	byFile := who("--data-dir", dirs[0])
	byFlag := who("--data-dir", dirs[2])
	if who("--config", config) != byFile {
		t.Error("the file does not count")
	}
	if who("--config", config, "--data-dir", dirs[2]) != byFlag {
		t.Error("a flag does not beat the file")
	}
	if err := os.WriteFile(config, []byte("uplaod: 20M\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := castd(t, "id", "--config", config); code != 2 || !strings.Contains(errs, `"upload"`) {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

// TestPrivileges: what others must not read is not theirs to read.
func TestPrivileges(t *testing.T) {
	o := origin(t)
	entries, err := os.ReadDir(o.dir)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(o.dir); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the data folder has mode %v, %v", info.Mode(), err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // a temporary file that is gone
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
	}
}
