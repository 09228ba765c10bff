//go:build linux

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A room for faults: the origin, peers that carry the room to others and are hit, and peers that carry it to nobody, which are
// measured. Each of those that are hit has a network namespace of its own, with a cable to a switch: it is a machine whose network
// can be cut or squeezed without anybody else noticing. Where namespaces are not permitted all are on the loopback.

// faultRoom is the room.
type faultRoom struct {
	t      *testing.T
	net    *faultNet
	flags  []string // of all peers
	origin *faultPeer
	inner  []*faultPeer // those that can be hit, replaced when they are dead
	leaves []*faultPeer // those that are measured
	begun  int          // peers so far
}

// faultPeer is one of its peers.
type faultPeer struct {
	*node
	site   *faultSite // nil on the machine itself
	at     place
	socket http.Client
}

// slotsOfInner is how many ordinary children the origin and the inner peers take: few, so that the tree is deep.
const slotsOfInner = 2

// newFaultRoom starts the origin, inner peers and leaves, and waits until the tree has settled.
func newFaultRoom(t *testing.T, inner, leaves int, flags ...string) *faultRoom {
	t.Helper()
	r := &faultRoom{t: t, net: newFaultNet(t), flags: flags}
	slots := []string{"--max-children", fmt.Sprint(slotsOfInner), "--upload", "50M"}
	r.origin = r.start("origin", nil, "stage", append([]string{"--http", "127.0.0.1:0"}, slots...)...)
	for range inner {
		r.inner = append(r.inner, r.newInner())
	}
	for range leaves {
		r.leaves = append(r.leaves, r.start("leaf", nil, r.origin.room(), "--http", "127.0.0.1:0", "--upload", "0"))
	}
	r.settle(60 * time.Second)
	return r
}

func (r *faultRoom) newInner() *faultPeer {
	r.t.Helper()
	return r.start("inner", r.net.site(), r.origin.room(), "--http", "off", "--max-children", fmt.Sprint(slotsOfInner), "--upload", "50M")
}

// start runs a peer at a site.
func (r *faultRoom) start(name string, at *faultSite, room string, flags ...string) *faultPeer {
	r.t.Helper()
	addr, by := r.net.here, []string(nil)
	if at != nil {
		addr, by = at.addr, at.by
	}
	dir := folder(r.t)
	args := []string{
		"start", "--room", room, "--data-dir", dir, "--no-mdns", "--json", "--media-port", "0",
		"--listen", "/ip4/" + addr + "/tcp/0", "--listen", "/ip4/" + addr + "/udp/0/quic-v1",
	}
	args = append(append(args, flags...), r.flags...)
	if r.origin != nil {
		args = append(args, r.origin.bootstrap()...)
	}
	r.begun++
	p := spawnBy(r.t, fmt.Sprintf("%s%d", name, r.begun), dir, by, args...)
	f := &faultPeer{node: &node{process: p, line: p.ready()}, site: at}
	f.socket = http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, "castd.sock"))
		},
	}}
	r.t.Cleanup(f.socket.CloseIdleConnections)
	return f
}

// ask asks a peer's API by its socket, which is there whatever has become of its network.
func (p *faultPeer) ask(path string, into any) error {
	res, err := p.socket.Get("http://castd" + path)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %s", path, res.Status, b)
	}
	return json.Unmarshal(b, into)
}

// peers returns all peers that run, the origin first.
func (r *faultRoom) peers() []*faultPeer {
	all := append([]*faultPeer{r.origin}, r.inner...)
	return slices.DeleteFunc(append(all, r.leaves...), func(p *faultPeer) bool { return !p.running() })
}

func (r *faultRoom) peer(id string) *faultPeer {
	for _, p := range r.peers() {
		if p.id() == id {
			return p
		}
	}
	return nil
}

// look asks all peers for their places. It tells whether each has one, and the paths are those of the parents, and whether each has a
// backup.
func (r *faultRoom) look() (placed, backed bool) {
	placed, backed = true, true
	for _, p := range r.peers() {
		p.at = place{}
		if err := p.ask("/api/v1/rooms/"+r.origin.room()+"/tree", &p.at); err != nil {
			placed = false
		}
	}
	for _, p := range r.peers() {
		if p == r.origin {
			continue
		}
		up := r.peer(p.at.Parent)
		if up == nil || len(p.at.Path) != p.at.Depth+1 || !slices.Equal(p.at.Path[:p.at.Depth], up.at.Path) {
			placed = false
		}
		backed = backed && (p.at.Backup != "" || p.at.Depth == 1)
	}
	return placed, backed
}

// Times of settling: how long all must have had the same place, and how long is waited for backups beyond that.
const (
	settledFor  = 700 * time.Millisecond
	backupsWait = 5 * time.Second
)

// settle waits until all have had the same place for a moment, and a backup each where they find one in time. It returns how long
// that took.
func (r *faultRoom) settle(within time.Duration) time.Duration {
	r.t.Helper()
	begin := clock()
	before, since := "", begin
	for {
		placed, backed := r.look()
		var now strings.Builder
		for _, p := range r.peers() {
			fmt.Fprint(&now, p.id(), p.at.Parent, p.at.Depth, " ")
		}
		if !placed || now.String() != before {
			before, since = now.String(), clock()
		}
		if steady := clock() - since; placed && (steady > settledFor && backed || steady > backupsWait) {
			return since - begin
		}
		if clock()-begin > within {
			r.draw()
			r.t.Fatalf("the tree has not settled within %v", within)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// above returns the inner peers on the way from the origin to a leaf.
func (r *faultRoom) above(leaf *faultPeer) (on []*faultPeer) {
	for _, p := range r.inner {
		if slices.Contains(leaf.at.Path, p.id()) {
			on = append(on, p)
		}
	}
	return on
}

// replace puts a new peer in the place of one that is dead.
func (r *faultRoom) replace(dead *faultPeer) {
	r.t.Helper()
	i := slices.Index(r.inner, dead)
	r.net.restore(dead.site)
	r.inner[i] = r.newInner()
}

// load prints how much of a core the room's processes and this one take.
func (r *faultRoom) load(t *testing.T, during time.Duration) {
	t.Helper()
	peers := r.peers()
	spent := func() (peer, self time.Duration) {
		for _, p := range peers {
			peer += cpuTime(t, p.pid())
		}
		return peer, cpuTime(t, os.Getpid())
	}
	peer, self := spent()
	time.Sleep(during)
	peerAfter, selfAfter := spent()
	t.Logf("%d peers take %.0f %% of a core, this process %.0f %%", len(peers),
		100*float64(peerAfter-peer)/float64(during), 100*float64(selfAfter-self)/float64(during))
}

// draw prints the tree.
func (r *faultRoom) draw() {
	r.t.Helper()
	tab := newTable("peer", "depth", "parent", "backup", "children")
	name := func(id string) string {
		if p := r.peer(id); p != nil {
			return p.name
		}
		return "-"
	}
	for _, p := range r.peers() {
		tab.row(p.name, p.at.Depth, name(p.at.Parent), name(p.at.Backup), p.at.ordinary())
	}
	tab.print(r.t)
}

// faultNet is a switch with a cable to each site.
type faultNet struct {
	t      *testing.T
	here   string // address of the machine itself
	bridge string // "" on the loopback
	prefix string // of names
	used   int
	free   []*faultSite
}

// faultSite is a machine in the faultNet.
type faultSite struct {
	addr, ns string
	by       []string
}

func newFaultNet(t *testing.T) *faultNet {
	t.Helper()
	n := &faultNet{t: t, here: "127.0.0.1", prefix: fmt.Sprintf("cst%d", os.Getpid()%100000)}
	if os.Getuid() != 0 {
		t.Log("making network namespaces needs root: all peers are on the loopback")
		return n
	}
	sweepFaultNets()
	// Without an address of its own a bridge takes the lowest of its ports', another whenever a site comes that has a lower one, and
	// nobody who knew the old one reaches this machine any more until he asks for it anew, many seconds later.
	if out, err := exec.Command("ip", "link", "add", n.prefix, "address", "02:00:00:00:00:01", "type", "bridge").CombinedOutput(); err != nil {
		t.Logf("network namespaces are not permitted here, all peers are on the loopback: %s", out)
		return n
	}
	n.bridge = n.prefix
	t.Cleanup(func() { n.tell("ip", "link", "del", n.bridge) })
	n.here = fmt.Sprintf("10.78.%d.1", os.Getpid()%250)
	n.run("ip", "addr", "add", n.here+"/24", "dev", n.bridge)
	n.run("ip", "link", "set", n.bridge, "up")
	return n
}

// sweepFaultNets takes away the networks of runs that were killed: on a machine with many, ICE takes long.
func sweepFaultNets() {
	living := make(map[int]bool)
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range processes {
		if pid, err := strconv.Atoi(filepath.Base(p)); err == nil {
			living[pid%100000] = true
		}
	}
	abandoned := func(name string) bool {
		var pid int
		_, err := fmt.Sscanf(name, "cst%d", &pid)
		return err == nil && !living[pid]
	}
	spaces, _ := filepath.Glob("/run/netns/cst*")
	for _, s := range spaces {
		if name := filepath.Base(s); abandoned(name) {
			_ = exec.Command("ip", "netns", "del", name).Run()
		}
	}
	links, _ := filepath.Glob("/sys/class/net/cst*")
	for _, l := range links {
		if name := filepath.Base(l); abandoned(name) {
			_ = exec.Command("ip", "link", "del", name).Run()
		}
	}
}

// site returns a machine that nobody uses; nil on the loopback.
func (n *faultNet) site() *faultSite {
	n.t.Helper()
	if n.bridge == "" {
		return nil
	}
	if k := len(n.free); k > 0 {
		s := n.free[k-1]
		n.free = n.free[:k-1]
		return s
	}
	n.used++
	s := &faultSite{ns: fmt.Sprintf("%sn%d", n.prefix, n.used), addr: strings.TrimSuffix(n.here, "1") + fmt.Sprint(1+n.used)}
	s.by = by(s.ns)
	n.run("ip", "netns", "add", s.ns)
	n.t.Cleanup(func() { n.tell("ip", "netns", "del", s.ns) })
	cable := fmt.Sprintf("%sv%d", n.prefix, n.used)
	n.run("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", s.ns)
	n.t.Cleanup(func() { n.tell("ip", "link", "del", cable) }) // with the namespace it would go some time later, and the next test takes the name
	n.run("ip", "link", "set", cable, "master", n.bridge)
	n.run("ip", "link", "set", cable, "up")
	n.in(s, "ip", "addr", "add", s.addr+"/24", "dev", "eth0")
	n.in(s, "ip", "link", "set", "eth0", "up")
	n.in(s, "ip", "link", "set", "lo", "up")
	n.in(s, "ip", "route", "add", "default", "via", n.here) // the other addresses of the machine are reached as well
	return s
}

// restore mends a site's network and gives it free for another peer.
func (n *faultNet) restore(s *faultSite) {
	if s == nil {
		return
	}
	n.mend(s)
	n.free = append([]*faultSite{s}, n.free...)
}

// cut makes everything that a site sends or is sent disappear.
func (n *faultNet) cut(s *faultSite) {
	n.t.Helper()
	n.in(s, "nft", "add table inet cut; add chain inet cut in { type filter hook input priority 0; policy drop; }; "+
		"add chain inet cut out { type filter hook output priority 0; policy drop; }")
}

// mend ends what cut and squeeze began.
func (n *faultNet) mend(s *faultSite) {
	n.tell(append(slices.Clone(s.by), "nft", "delete", "table", "inet", "cut")...)
	n.tell(append(slices.Clone(s.by), "tc", "qdisc", "del", "dev", "eth0", "root")...)
}

// squeeze holds back what a site sends for that long and then lets it go at once, as a wireless network does in bad moments. This
// needs no delay queue (netem), which many kernels lack: a bucket without tokens that is filled at the end.
func (n *faultNet) squeeze(s *faultSite, d time.Duration) {
	n.t.Helper()
	bucket := func(do string, rate ...string) {
		n.in(s, append([]string{"tc", "qdisc", do, "dev", "eth0", "root", "tbf", "limit", "4000000"}, rate...)...)
	}
	bucket("replace", "rate", "8kbit", "burst", "1600")
	time.Sleep(d)
	bucket("change", "rate", "10gbit", "burst", "1000000")
}

func (n *faultNet) run(line ...string) {
	n.t.Helper()
	if out, err := exec.Command(line[0], line[1:]...).CombinedOutput(); err != nil {
		n.t.Fatalf("%s: %v\n%s", strings.Join(line, " "), err, out)
	}
}

func (n *faultNet) in(s *faultSite, line ...string) {
	n.t.Helper()
	n.run(append(slices.Clone(s.by), line...)...)
}

// tell runs what may fail.
func (n *faultNet) tell(line ...string) { _ = exec.Command(line[0], line[1:]...).Run() }
