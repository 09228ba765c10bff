package e2e_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// club starts the owner's peer of a private room.
func club(t *testing.T, dir string) *process {
	t.Helper()
	p := spawn(t, "owner", dir, append([]string{"start", "--room", "club", "--private", "--http", "127.0.0.1:0", "--log-level", "debug"}, free(dir)...)...)
	if r := p.ready(); r["private"] != true || strings.Contains(r.text("invite"), "#k=") {
		t.Fatalf("ready line is %v", r)
	}
	return p
}

// inviteTo makes an invite with the flags.
func inviteTo(t *testing.T, p *process, flags ...string) string {
	t.Helper()
	out, stderr, code := castd(t, append([]string{"invite", "club", "--data-dir", p.dir, "--json"}, flags...)...)
	var made struct {
		Invite string `json:"invite"`
	}
	if err := json.Unmarshal([]byte(out), &made); err != nil || code != 0 || made.Invite == "" {
		t.Fatalf("invite %v: exit code %d, %q, %s", flags, code, out, stderr)
	}
	return made.Invite
}

// listed returns the list of invites by the flags, as castd prints it.
func listed(t *testing.T, p *process) (all []map[string]any) {
	t.Helper()
	out, stderr, code := castd(t, "invite", "club", "--data-dir", p.dir, "--json", "--list")
	if code != 0 {
		t.Fatalf("list: exit code %d, %s", code, stderr)
	}
	for line := range strings.Lines(out) {
		var i map[string]any
		if err := json.Unmarshal([]byte(line), &i); err != nil {
			t.Fatal(err)
		}
		all = append(all, i)
	}
	return all
}

// invited listens with a link of its own folder.
func invited(t *testing.T, name, link string, flags ...string) *process {
	t.Helper()
	return launch(t, name, append([]string{"listen", link, "--log-level", "debug"}, flags...)...)
}

// refused checks that a listener with the link ends with exit code 1, an error event of the code, and a sentence.
func refused(t *testing.T, what, link, code string) *process {
	t.Helper()
	p := invited(t, what, link)
	if got := p.exit(); got != 1 {
		t.Errorf("%s: exit code %d", what, got)
	}
	if ev := p.seen(is("error", "code", code)); len(ev) == 0 || !strings.Contains(p.stderr(), ev[0].text("message")) {
		t.Errorf("%s: no error event %s, or not the same words on standard error:\n%s\n%s", what, code, p.transcript(), p.stderr())
	}
	return p
}

// A private room: who has an invite gets in and hears, others are told why not; somebody is put out while it plays, and the others
// hear on; and the owner's crash changes nothing. No log has a secret.
func TestPrivateRoom(t *testing.T) {
	dir := folder(t)
	owner := club(t, dir)
	link, once, short := inviteTo(t, owner), inviteTo(t, owner, "--uses", "1"), inviteTo(t, owner, "--expires", "1s")
	stays := invited(t, "stays", link, "--stats", "500ms")
	stays.wait("parent", 1, is("joined"))
	goes := invited(t, "goes", once, "--stats", "500ms")
	goes.wait("parent", 1, is("joined"))

	second := refused(t, "spent", once, "invite_spent")
	time.Sleep(1200 * time.Millisecond) // until the short invite has expired
	refused(t, "expired", short, "invite_expired")
	bare, _, _ := strings.Cut(link, "#")
	refused(t, "without a right", bare, "invite_needed")

	file := clip(t, "clip.ogg", 10)
	source := spawn(t, "source", dir, "publish", "club", file, "--loop", "--data-dir", dir, "--json")
	plays := func(e event) bool { return e.text("event") == "stats" && e.number("packets") > 20 }
	stays.wait("sound", 1, plays)
	goes.wait("sound", 1, plays)

	var id string
	for _, i := range listed(t, owner) {
		if i["state"] == "spent" {
			id, _ = i["invite"].(string)
			if used, _ := i["used"].([]any); len(used) != 1 {
				t.Errorf("the list shows %v", i)
			}
		}
	}
	if out, stderr, code := castd(t, "invite", "club", "--data-dir", dir, "--revoke", id); code != 0 {
		t.Fatalf("revoke: exit code %d, %s, %s", code, out, stderr)
	}
	begin := time.Now()
	if code := goes.exit(); code != 1 || !strings.Contains(goes.stderr(), "was taken back") {
		t.Errorf("who was put out: exit code %d, %s", code, goes.stderr())
	}
	t.Logf("who was put out has ended after %v", time.Since(begin))
	before := lastStats(stays)
	stays.wait("more sound", 1, func(e event) bool {
		return e.text("event") == "stats" && e.number("packets") > before.number("packets")+100
	})
	if lost := lastStats(stays).number("lost"); lost != 0 {
		t.Errorf("who stayed has lost %v packets", lost)
	}
	if gaps := stays.seen(is("gap")); len(gaps) > 0 && gaps[len(gaps)-1].number("ms") > 2000 {
		t.Errorf("who stayed heard nothing for %v ms", gaps[len(gaps)-1].number("ms"))
	}
	refused(t, "revoked", once, "revoked")

	source.kill()
	owner.kill()
	again := club(t, dir)
	states := map[any]int{}
	for _, i := range listed(t, again) {
		states[i["state"]]++
	}
	if states["revoked"] != 1 || states["valid"] != 1 || states["expired"] != 1 {
		t.Errorf("after the crash the list has %v", states)
	}
	// The link's addresses are those of the first run.
	fresh := inviteTo(t, again)
	via, _, _ := strings.Cut(fresh, "#")
	_, spent, _ := strings.Cut(once, "#")
	refused(t, "revoked, after the crash", via+"#"+spent, "revoked")
	late := invited(t, "late", fresh)
	late.wait("parent", 1, is("joined"))

	noSecrets(t, []string{link, once, short, fresh}, owner, again, stays, goes, second, late)
}

func lastStats(p *process) event {
	all := p.seen(is("stats"))
	if len(all) == 0 {
		return event{}
	}
	return all[len(all)-1]
}

// noSecrets looks for what lets somebody in, in the logs of peers: capabilities, tokens, media keys, secret keys.
func noSecrets(t *testing.T, links []string, peers ...*process) {
	t.Helper()
	secrets := map[string]string{}
	for i, l := range links {
		_, capability, _ := strings.Cut(l, "#k=")
		secrets[fmt.Sprintf("capability %d", i)] = capability[len(capability)/2:]
	}
	for _, p := range peers {
		if token, err := os.ReadFile(filepath.Join(p.dir, "token")); err == nil {
			secrets["token of "+p.name] = strings.TrimSpace(string(token))
		}
		var kept struct {
			Rooms []struct {
				Keys []struct{ Key []byte }
			}
		}
		if b, err := os.ReadFile(filepath.Join(p.dir, "rooms.json")); err == nil {
			if info, err := os.Stat(filepath.Join(p.dir, "rooms.json")); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("rooms.json of %s has mode %v", p.name, info.Mode())
			}
			if err := json.Unmarshal(b, &kept); err != nil {
				t.Fatal(err)
			}
		}
		for _, r := range kept.Rooms {
			for i, k := range r.Keys {
				secrets[fmt.Sprintf("key %d of %s, base64", i, p.name)] = base64.StdEncoding.EncodeToString(k.Key)
				secrets[fmt.Sprintf("key %d of %s, hexadecimal", i, p.name)] = fmt.Sprintf("%x", k.Key)
				secrets[fmt.Sprintf("key %d of %s, decimal", i, p.name)] = strings.Trim(fmt.Sprint(k.Key), "[]")
			}
		}
	}
	for _, p := range peers {
		for what, secret := range secrets {
			if secret != "" && strings.Contains(p.stderr(), secret) {
				t.Errorf("the log of %s has %s", p.name, what)
			}
		}
	}
}

// Guests' links are counted, listed, revoked and kept, as invites are.
func TestGuestLinks(t *testing.T) {
	dir := folder(t)
	owner := club(t, dir)
	get := func(link string) int {
		t.Helper()
		base, token, _ := strings.Cut(link, "#token=")
		r, err := http.NewRequest(http.MethodGet, base[:strings.Index(base, "/r/")]+"/api/v1/rooms/club", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode == http.StatusOK && !strings.Contains(string(body), `"private":true`) {
			t.Errorf("the room is shown as %s", body)
		}
		return resp.StatusCode
	}
	good, bad, short := inviteTo(t, owner, "--guest"), inviteTo(t, owner, "--guest", "--speak", "--uses", "2"), inviteTo(t, owner, "--guest", "--expires", "1s")
	for _, l := range []string{good, bad, short} {
		if code := get(l); code != http.StatusOK {
			t.Errorf("a new link: status %d", code)
		}
	}
	var id string
	for _, i := range listed(t, owner) {
		if i["kind"] == "guest" && i["uses"] == 2.0 {
			id, _ = i["invite"].(string)
		}
	}
	if _, stderr, code := castd(t, "invite", "club", "--data-dir", dir, "--revoke", id); code != 0 {
		t.Fatalf("revoke %q: %s", id, stderr)
	}
	if _, stderr, code := castd(t, "invite", "club", "--data-dir", dir, "--revoke", "nobody"); code != 1 || !strings.Contains(stderr, "--list") {
		t.Errorf("revoke nobody: exit code %d, %s", code, stderr)
	}
	time.Sleep(1200 * time.Millisecond) // until the short one has expired
	if a, b, c := get(good), get(bad), get(short); a != 200 || b != 401 || c != 401 {
		t.Errorf("statuses %d, %d, %d", a, b, c)
	}
	kept, err := os.ReadFile(filepath.Join(dir, "invites.json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, token, _ := strings.Cut(good, "#token="); strings.Contains(string(kept), token) || strings.Contains(owner.stderr(), token) {
		t.Error("the token itself is in the data folder or in the log")
	}
	owner.kill()
	again := club(t, dir)
	moved := func(link string) string {
		_, token, _ := strings.Cut(link, "#token=")
		return again.ready().text("http") + "/r/club#token=" + token
	}
	if a, b, c := get(moved(good)), get(moved(bad)), get(moved(short)); a != 200 || b != 401 || c != 401 {
		t.Errorf("after a restart: statuses %d, %d, %d", a, b, c)
	}
}

// The owner's laptop dies while another machine of his keeps the room open: a newcomer who reaches only a member is let in by him,
// and hears what is sent.
func TestPrivateRoomWithoutItsLaptop(t *testing.T) {
	dir := folder(t)
	laptop := club(t, dir)
	link := inviteTo(t, laptop)
	key := inTemp(t, "me.key")
	if _, errs, code := castd(t, "id", "export", key, "--data-dir", dir); code != 0 {
		t.Fatalf("export: %d %s", code, errs)
	}
	other := folder(t)
	if _, errs, code := castd(t, "id", "import", key, "--data-dir", other); code != 0 {
		t.Fatalf("import: %d %s", code, errs)
	}
	desktop := spawn(t, "desktop", other, append([]string{"start", "--room", "club", "--http", "off", "--bootstrap", laptop.address()}, free(other)...)...)
	if r := desktop.ready(); r["private"] != true || r.text("role") != "owner" || r.text("room") != laptop.ready().text("room") {
		t.Fatalf("the desktop is in %v", r)
	}
	desktop.wait("parent", 1, is("parent")) // it began as a hub of its own
	old := invited(t, "member", link, "--bootstrap", desktop.address())
	old.wait("parent", 1, is("joined"))
	time.Sleep(2 * time.Second) // until the member knows of both
	laptop.kill()
	// The newcomer's link leads to the laptop, which is gone.
	fresh := invited(t, "newcomer", link, "--bootstrap", old.address(), "--wait", "15s", "--stats", "500ms")
	fresh.ready()
	fresh.wait("parent", 1, is("joined"))
	file := clip(t, "clip.ogg", 10)
	spawn(t, "source", other, "publish", "club", file, "--loop", "--data-dir", other, "--json")
	fresh.wait("sound", 1, func(e event) bool { return e.text("event") == "stats" && e.number("packets") > 50 })
	refused(t, "without a right", "castd://"+laptop.ready().text("room")+"/club?via="+old.address(), "invite_needed")
}
