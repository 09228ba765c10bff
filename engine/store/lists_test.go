package store

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/castd/castd/engine/wire"
)

var peerID = testPeer(0)

func testKey() (ed25519.PublicKey, ed25519.PrivateKey) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	return public(key), key
}

func testPeer(i int) string {
	seed := bytes.Repeat([]byte{2}, ed25519.SeedSize)
	seed[0], seed[1] = byte(i), byte(i>>8)
	id, err := wire.PeerID(public(ed25519.NewKeyFromSeed(seed)))
	if err != nil {
		panic(err)
	}
	return id.String()
}

func TestRoomsAreKept(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	mine := Room{
		ID: wire.NewRoomID(public(s.Identity().User), "lobby"), Name: "lobby", Record: []byte{1}, Chain: []byte{2},
		Via: []string{"/ip4/192.0.2.1/tcp/1/p2p/" + peerID}, LastSeen: time.Unix(1, 5),
	}
	other := testRoom("lobby")
	for _, r := range []Room{other, testRoom("alpha"), mine, testRoom("gone")} {
		if err := s.PutRoom(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.ForgetRoom(testRoom("gone").ID); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir)
	var got []string
	for _, r := range s.Rooms() {
		got = append(got, fmt.Sprintf("%s %v", r.Name, r.Own))
	}
	if want := "alpha false,lobby true,lobby false"; strings.Join(got, ",") != want {
		t.Errorf("rooms %v, want %s", got, want)
	}
	named := s.RoomsNamed("lobby")
	if len(named) != 2 || named[0].ID != mine.ID || !named[0].LastSeen.Equal(mine.LastSeen) || named[0].Via[0] != mine.Via[0] {
		t.Errorf("RoomsNamed = %+v", named)
	}
	if r, ok := s.Room(mine.ID); !ok || !r.Own || string(r.Record) != "\x01" || string(r.Chain) != "\x02" {
		t.Errorf("Room = %+v, %v", r, ok)
	}
	if _, ok := s.Room("nobody"); ok {
		t.Error("found a room that is not there")
	}
	for _, r := range []Room{{}, {ID: mine.ID, Name: "Upper"}, {ID: "x", Name: "a"}, {ID: mine.ID, Name: "a", Chain: make([]byte, maxChain+1)}} {
		if s.PutRoom(r) == nil {
			t.Errorf("PutRoom(%+v) succeeded", r)
		}
	}
}

func TestRoomsAreBounded(t *testing.T) {
	var d disk
	s, err := open(t.TempDir(), d.write)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.write = func(string, []byte) error { return nil } // the bound is not the disk's
	mine := Room{ID: wire.NewRoomID(public(s.Identity().User), "mine"), Name: "mine"}
	if err := s.PutRoom(mine); err != nil {
		t.Fatal(err)
	}
	for i := range MaxRooms + 5 {
		r := testRoom(fmt.Sprintf("r%d", i))
		r.LastSeen = time.Unix(int64(1000+i), 0)
		if err := s.PutRoom(r); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.Rooms()); n != MaxRooms {
		t.Errorf("%d rooms are kept, want %d", n, MaxRooms)
	}
	if _, ok := s.Room(mine.ID); !ok {
		t.Error("the user's own room was forgotten")
	}
	if _, ok := s.Room(testRoom("r0").ID); ok {
		t.Error("the room seen longest ago was kept")
	}
	if _, ok := s.Room(testRoom(fmt.Sprintf("r%d", MaxRooms+4)).ID); !ok {
		t.Error("the newest room was forgotten")
	}
}

func TestPeersAreKept(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	var many []Peer
	for i := range MaxPeers + 10 {
		many = append(many, Peer{ID: testPeer(i), Addrs: []string{"/ip4/192.0.2.1/tcp/1"}, LastSeen: time.Unix(int64(i), 0), Uptime: time.Hour})
	}
	if err := s.PutPeers(many...); err != nil {
		t.Fatal(err)
	}
	newest := many[len(many)-1]
	newest.Uptime = time.Minute
	if err := s.PutPeers(newest); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	got := mustOpen(t, dir).Peers()
	if len(got) != MaxPeers || got[0].ID != newest.ID || got[0].Uptime != time.Hour || got[len(got)-1].ID != testPeer(10) {
		t.Errorf("%d peers, first %+v, last %+v", len(got), got[0], got[len(got)-1])
	}
	if s.PutPeers(Peer{ID: "nobody"}) == nil {
		t.Error("kept a peer without an id")
	}
}

func TestSocketPath(t *testing.T) {
	base := t.TempDir()
	short := mustOpen(t, filepath.Join(base, "s"))
	long := mustOpen(t, filepath.Join(base, strings.Repeat("long-", 30)))
	runtime, err := os.MkdirTemp("", "r")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(runtime)
	t.Setenv("TMPDIR", runtime)
	if len(filepath.Join(short.Dir(), socketName)) > maxSocketPath {
		t.Skip("the temporary folder's path is too long")
	}
	check := func(s *Store, under string) {
		t.Helper()
		path, err := s.SocketPath()
		if err != nil || len(path) > maxSocketPath || !strings.HasPrefix(path, under) {
			t.Fatalf("SocketPath = %q, %v; want one under %s", path, err, under)
		}
		if found, err := FindSocket(s.Dir()); err != nil || found != path {
			t.Fatalf("FindSocket = %q, %v; want %q", found, err, path)
		}
		if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
			t.Fatalf("its folder: %v", err)
		}
	}
	if found, err := FindSocket(long.Dir()); err != nil || found == "" {
		t.Fatalf("FindSocket of who never ran = %q, %v", found, err)
	}
	t.Setenv("XDG_RUNTIME_DIR", runtime)
	check(short, filepath.Join(short.Dir(), socketName))
	check(long, runtime)
	for range 2 { // the folder is made, and then found
		t.Setenv("XDG_RUNTIME_DIR", "")
		check(long, filepath.Join(runtime, "castd-"))
	}
	// A folder that others may look into is not used.
	path, _ := FindSocket(long.Dir())
	if err := os.Chmod(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := long.SocketPath(); err == nil {
		t.Error("SocketPath uses a folder that is open to others")
	}
	if err := os.WriteFile(filepath.Join(long.Dir(), socketPathName), []byte("relative\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := FindSocket(long.Dir()); err == nil {
		t.Error("FindSocket believes a damaged note")
	}
}

func TestDefaultDir(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	got, err := DefaultDir()
	if err != nil || got != filepath.Join(os.Getenv("XDG_DATA_HOME"), "castd") {
		t.Errorf("DefaultDir = %q, %v", got, err)
	}
	for _, x := range []string{"", "relative"} {
		t.Setenv("XDG_DATA_HOME", x)
		if got, err = DefaultDir(); err != nil || !filepath.IsAbs(got) || filepath.Base(got) != "castd" {
			t.Errorf("with %q DefaultDir = %q, %v", x, got, err)
		}
	}
}

func FuzzRooms(f *testing.F) {
	f.Add([]byte(`{"version":1,"rooms":[{"room":"aaaaaaaaaaaaaaaaaaaaaaaaaa","name":"a","record":"AQ==","last_seen":"2030-01-01T00:00:00Z"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		rooms, err := decodeRooms(data)
		for _, r := range rooms {
			if err == nil && (!wire.ValidRoomID(string(r.ID)) || r.Name == "") {
				t.Fatalf("accepted %+v", r)
			}
		}
	})
}

func FuzzPeers(f *testing.F) {
	f.Add([]byte(`{"version":1,"peers":[{"peer":"` + peerID + `","addrs":["/ip4/192.0.2.1/tcp/1"],"last_seen":"2030-01-01T00:00:00Z"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		peers, err := decodePeers(data)
		for _, p := range peers {
			if err == nil && (len(p.ID) == 0 || len(p.Addrs) > maxAddrs) {
				t.Fatalf("accepted %+v", p)
			}
		}
	})
}

// Peers that have stayed for long are kept, although many others were seen since.
func TestLongLivedPeersAreKept(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	var steady, passing []Peer
	at := time.Unix(1_700_000_000, 0)
	for i := range 3 * MaxPeers {
		p := Peer{ID: testPeer(i), LastSeen: at.Add(time.Duration(i) * time.Second), Uptime: time.Minute}
		if i < MaxPeers/4 {
			p.Uptime = 10 * time.Hour
			steady = append(steady, p)
		} else {
			passing = append(passing, p)
		}
	}
	for _, list := range [][]Peer{steady, passing} {
		if err := s.PutPeers(list...); err != nil {
			t.Fatal(err)
		}
	}
	kept, long := s.Peers(), 0
	for _, p := range kept {
		if p.Uptime >= time.Hour {
			long++
		}
	}
	if len(kept) != MaxPeers || long != len(steady) || kept[0].ID != passing[len(passing)-1].ID {
		t.Errorf("%d peers are kept, %d of them long-lived, the newest is %s", len(kept), long, kept[0].ID)
	}
}
