package store

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/castd/castd/engine/wire"
)

func testInvite() Invite {
	return Invite{
		ID: "aaaaaaaaaaaaa", Room: wire.NewRoomID(make([]byte, 32), "lobby"), Rights: 1, Made: time.Unix(1_900_000_000, 0), Uses: 500,
	}
}

func mustPut(t *testing.T, s *Store, i Invite) {
	t.Helper()
	if err := s.PutInvite(i, i.Made); err != nil {
		t.Fatal(err)
	}
}

func TestInvitesAreKept(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	i := testInvite()
	i.Uses, i.Expires = 1, i.Made.Add(time.Hour)
	mustPut(t, s, i)
	token := sha256.Sum256([]byte("token"))
	g := Invite{ID: "bbbbbbbbbbbbb", Room: i.Room, Guest: true, Token: token[:], Rights: 3, Made: i.Made.Add(time.Second)}
	mustPut(t, s, g)
	if err := s.PutInvite(i, i.Made); err == nil {
		t.Error("an invite was kept twice")
	}
	if err := s.UseInvite(i.Room, i.ID, "ann"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.UseInvite(i.Room, i.ID, "ann"); err != nil {
			t.Errorf("the same again: %v", err)
		}
		if err := s.UseInvite(i.Room, i.ID, "bob"); !errors.Is(err, ErrSpent) {
			t.Errorf("another: %v", err)
		}
		if err := s.UseInvite(i.Room, "ccccccccccccc", "bob"); !errors.Is(err, ErrNoInvite) {
			t.Errorf("of none: %v", err)
		}
		if got, ok := s.GuestInvite(token); !ok || got.ID != g.ID {
			t.Errorf("guest's: %+v, %v", got, ok)
		}
		if _, ok := s.GuestInvite([32]byte{}); ok {
			t.Error("an unknown token is known")
		}
		if all := s.Invites(); len(all) != 2 || !slices.Equal(all[0].Used, []string{"ann"}) || !all[0].Expires.Equal(i.Expires) {
			t.Errorf("invites are %+v", all)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, dir)
	}
	if err := s.RevokeInvite(i.Room, i.ID, i.Made.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := s.UseInvite(i.Room, i.ID, "ann"); !errors.Is(err, ErrNoInvite) {
		t.Errorf("revoked: %v", err)
	}
	if err := s.RevokeInvite(i.Room, "ccccccccccccc", i.Made); !errors.Is(err, ErrNoInvite) {
		t.Errorf("none revoked: %v", err)
	}
	b, err := os.ReadFile(filepath.Join(dir, invitesName))
	if err != nil || strings.Contains(string(b), "token\"") && strings.Contains(string(b), "\"token\": \"token") {
		t.Errorf("%s, %v", b, err)
	}
	if info, err := os.Stat(filepath.Join(dir, invitesName)); err != nil || info.Mode().Perm() != fileMode {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.UseInvite(i.Room, i.ID, "eve"); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// Of many who race for a few uses exactly so many succeed.
func TestUsesAreCountedOnce(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	i := testInvite()
	i.Uses = 3
	mustPut(t, s, i)
	var wg sync.WaitGroup
	errs := make([]error, 20)
	for n := range errs {
		wg.Go(func() { errs[n] = s.UseInvite(i.Room, i.ID, fmt.Sprint("racer", n)) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if !errors.Is(err, ErrSpent) {
			t.Error(err)
		}
	}
	if won != 3 || len(s.Invites()[0].Used) != 3 {
		t.Errorf("%d won, %d are written down", won, len(s.Invites()[0].Used))
	}
}

// What cannot be written down is not used.
func TestUseNeedsTheDisk(t *testing.T) {
	full := false
	s, err := open(t.TempDir(), func(path string, b []byte) error {
		if full {
			return errors.New("disk is full")
		}
		return writeFile(path, b)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	i := testInvite()
	i.Uses = 1
	mustPut(t, s, i)
	full = true
	if err := s.UseInvite(i.Room, i.ID, "ann"); err == nil {
		t.Error("used without a trace")
	}
	full = false
	if err := s.UseInvite(i.Room, i.ID, "bob"); err != nil {
		t.Errorf("the use is lost: %v", err)
	}
}

// A process that is killed at any instant has counted every use that it told of, and none is given away again.
func TestUsesSurviveKill(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	i := testInvite()
	mustPut(t, s, i)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	told := make(map[string]bool)
	for round := range 8 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), helperVariable+"="+dir, redeemVariable+"="+fmt.Sprintf("r%d-", round))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			told[lines.Text()] = true
			if n == 2+round*3 {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
	}
	s = mustOpen(t, dir)
	defer s.Close()
	used := s.Invites()[0].Used
	for who := range told {
		if !slices.Contains(used, who) {
			t.Errorf("%s was told of a use that is not counted", who)
		}
	}
	if len(used) < len(told) || len(used) > len(told)+8 || len(told) < 50 {
		t.Errorf("%d uses were told of, %d are counted", len(told), len(used))
	}
}

func TestInvitesAreBounded(t *testing.T) {
	s, err := open(t.TempDir(), func(path string, b []byte) error {
		if filepath.Base(path) == invitesName {
			return nil // a thousand writes take long
		}
		return writeFile(path, b)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	at := testInvite().Made
	for n := range MaxInvites {
		i := testInvite()
		i.ID = fmt.Sprintf("i%d", n)
		if n == 5 {
			i.Expires = at.Add(time.Minute)
		}
		mustPut(t, s, i)
	}
	i := testInvite()
	if err := s.PutInvite(i, at); !errors.Is(err, ErrInvitesFull) {
		t.Errorf("one too many: %v", err)
	}
	if err := s.PutInvite(i, at.Add(time.Hour)); err != nil {
		t.Errorf("in the place of one that ended: %v", err)
	}
	if all := s.Invites(); len(all) != MaxInvites || slices.ContainsFunc(all, func(o Invite) bool { return o.ID == "i5" }) {
		t.Errorf("%d invites", len(all))
	}
}

func TestDamagedInvites(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":      "{",
		"version":      `{"version":2}`,
		"no room":      `{"version":1,"invites":[{"invite":"a"}]}`,
		"not a hash":   `{"version":1,"invites":[{"invite":"a","room":"aaaaaaaaaaaaaaaaaaaaaaaaaa","guest":true,"token":"YQ=="}]}`,
		"secret":       `{"version":1,"invites":[{"invite":"a","room":"aaaaaaaaaaaaaaaaaaaaaaaaaa","token":"YQ=="}]}`,
		"one id twice": `{"version":1,"invites":[{"invite":"a","room":"aaaaaaaaaaaaaaaaaaaaaaaaaa"},{"invite":"a","room":"aaaaaaaaaaaaaaaaaaaaaaaaaa"}]}`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, invitesName), []byte(text), fileMode); err != nil {
			t.Fatal(err)
		}
		var damaged *DamagedError
		if s, err := Open(dir); !errors.As(err, &damaged) {
			t.Errorf("%s: %v", name, err)
			if err == nil {
				s.Close()
			}
		}
	}
}

func TestRoomKeysAreKept(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	r := testRoom("club")
	r.Access, r.Keys = []byte{1, 2}, []RoomKey{{Generation: 7, Key: make([]byte, 16)}}
	if err := s.PutRoom(r); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir)
	defer s.Close()
	if got, ok := s.Room(r.ID); !ok || len(got.Keys) != 1 || got.Keys[0].Generation != 7 || string(got.Access) != "\x01\x02" {
		t.Errorf("%+v, %v", got, ok)
	}
	r.Keys[0].Key = []byte{1}
	if err := s.PutRoom(r); err == nil {
		t.Error("half a key was kept")
	}
}

func FuzzInvites(f *testing.F) {
	f.Add([]byte(`{"version":1,"invites":[{"invite":"a","room":"aaaaaaaaaaaaaaaaaaaaaaaaaa","used":["x"]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := decodeInvites(b)
		if err != nil {
			return
		}
		for _, i := range all {
			if err := checkInvite(&i); err != nil {
				t.Fatal(err)
			}
		}
	})
}
