package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// lan is two network namespaces with a cable between them: two machines.
type lan struct {
	t          *testing.T
	here, away string // names of the namespaces
}

// addresses of the lan: those that the machines begin with, and one that the second machine may get.
const (
	hereAddr  = "10.77.1.1"
	awayAddr  = "10.77.1.2"
	otherAddr = "10.77.1.9"
)

// newLAN makes the namespaces and the cable; where that is not permitted the test is skipped.
func newLAN(t *testing.T) *lan {
	t.Helper()
	l := newNamespaces(t)
	id := fmt.Sprintf("%d", os.Getpid())
	l.run("ip", "link", "add", "va"+id, "netns", l.here, "type", "veth", "peer", "name", "vb"+id, "netns", l.away)
	l.in(l.here, "ip", "link", "set", "va"+id, "name", "eth0")
	l.in(l.away, "ip", "link", "set", "vb"+id, "name", "eth0")
	l.up()
	return l
}

// up gives the ends of the cable, which are called eth0, their addresses.
func (l *lan) up() {
	l.t.Helper()
	for ns, addr := range map[string]string{l.here: hereAddr, l.away: awayAddr} {
		l.in(ns, "ip", "addr", "add", addr+"/24", "dev", "eth0")
		l.in(ns, "ip", "link", "set", "eth0", "up")
		l.in(ns, "ip", "link", "set", "lo", "up")
	}
}

// newNamespaces makes the namespaces without anything between them.
func newNamespaces(t *testing.T) *lan {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("making network namespaces needs root")
	}
	id := fmt.Sprintf("%d", os.Getpid())
	l := &lan{t: t, here: "castdA" + id, away: "castdB" + id}
	for _, ns := range []string{l.here, l.away} {
		if out, err := exec.Command("ip", "netns", "add", ns).CombinedOutput(); err != nil {
			t.Skipf("network namespaces are not permitted here: %s", out)
		}
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
	}
	return l
}

func (l *lan) run(line ...string) {
	l.t.Helper()
	if out, err := exec.Command(line[0], line[1:]...).CombinedOutput(); err != nil {
		l.t.Fatalf("%s: %v\n%s", strings.Join(line, " "), err, out)
	}
}

// by is what makes a program run in a namespace.
func by(ns string) []string { return []string{"ip", "netns", "exec", ns} }

func (l *lan) in(ns string, line ...string) {
	l.t.Helper()
	l.run(append(by(ns), line...)...)
}

// origin starts castd in the first namespace, for others to reach.
func (l *lan) origin(flags ...string) *process {
	l.t.Helper()
	dir := folder(l.t)
	p := spawnBy(l.t, "origin", dir, by(l.here), append(append([]string{"start", "--room", "lobby"}, flags...), append([]string{"--http", "0.0.0.0:0", "--tls", "self"}, free(dir)...)...)...)
	p.ready()
	return p
}

// page returns the link of the room's page as the other machine opens it.
func (l *lan) page(p *process) string {
	return strings.Replace(p.page("lobby"), "127.0.0.1", hereAddr, 1)
}

// TestOtherMachine opens the page by https from another machine's address: there is a camera, it goes live, and another viewer
// sees it. Then the network goes away under the viewer, and the machine gets another address.
func TestOtherMachine(t *testing.T) {
	l := newLAN(t)
	o := l.origin()
	if url := o.ready().text("public_url"); !strings.HasPrefix(url, "https://"+hereAddr+":") {
		t.Errorf("links for guests are at %q", url)
	}
	b := startDriver(t, "browser/driver.mjs", by(l.away)...)
	near := startDriver(t, "browser/driver.mjs", by(l.here)...)
	b.do(t, command{"do": "publish", "as": "broadcaster", "url": l.page(o)}, nil)
	near.do(t, command{"do": "watch", "as": "viewer", "url": o.page("lobby")}, nil)
	var f reception
	near.do(t, command{"do": "flow", "as": "viewer", "seconds": 2}, &f)
	t.Logf("from the other machine come %.1f pictures/s", f.FPS)
	f.plays(t)
	b.do(t, command{"do": "leave", "as": "broadcaster"}, nil)
	near.do(t, command{"do": "leave", "as": "viewer"}, nil)

	near.do(t, command{"do": "publish", "as": "broadcaster", "url": o.page("lobby"), "source": "clock.js"}, nil)
	b.do(t, command{"do": "watch", "as": "viewer", "url": l.page(o)}, nil)
	comesBack := func(what string) (after reception) {
		t.Helper()
		var got struct{ Ms, Silent float64 }
		b.do(t, command{"do": "back", "as": "viewer", "ms": 60000}, &got)
		b.do(t, command{"do": "flow", "as": "viewer", "seconds": 1}, &after)
		t.Logf("%s: a picture %.1f s later; for %.1f s nothing was said; %d connections, %d offers", what, got.Ms/1000, got.Silent/1000, after.Connections, after.Offers)
		if got.Silent > 10_000 {
			t.Errorf("%s: a dead picture was said to be live for %.1f s", what, got.Silent/1000)
		}
		return after
	}
	drop := func(d time.Duration) {
		t.Helper()
		l.in(l.here, "nft", "add table inet cut; add chain inet cut in { type filter hook input priority 0; policy drop; }; add rule inet cut in iif lo accept; "+
			"add chain inet cut out { type filter hook output priority 0; policy drop; }; add rule inet cut out oif lo accept")
		time.Sleep(d)
		var s said
		b.do(t, command{"do": "state", "as": "viewer"}, &s)
		t.Logf("after %v without a network the page says %q", d, s.Text)
		if s.State == "live" {
			t.Errorf("after %v without a network the page says %+v", d, s)
		}
		l.in(l.here, "nft", "delete table inet cut")
	}
	before := comesBack("at the beginning")
	drop(6 * time.Second)
	comesBack("after a short cut")
	l.in(l.away, "ip", "addr", "del", awayAddr+"/24", "dev", "eth0") // this goes first: the second address would go with it
	l.in(l.away, "ip", "addr", "add", otherAddr+"/24", "dev", "eth0")
	after := comesBack("with another address")
	if after.Offers < before.Offers || len(after.Troubles) > 0 {
		t.Errorf("%+v", after)
	}
	drop(15 * time.Second) // longer than the peer keeps a session
	comesBack("after a long cut")
}
