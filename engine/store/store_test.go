package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/castd/castd/engine/wire"
)

func testRoom(name string) Room {
	key := bytes.Repeat([]byte{7}, 32)
	return Room{ID: wire.NewRoomID(key, name), Name: name, LastSeen: time.Unix(1_900_000_000, 0)}
}

func TestIdentityStays(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	if _, err := Peek(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("Peek into nothing = %v", err)
	}
	s := mustOpen(t, dir)
	a := s.Identity()
	if !wire.VerifyCertificate(a.Certificate) || len(a.Token) < 22 {
		t.Fatalf("certificate or token is no good: %d characters", len(a.Token))
	}
	peeked, err := Peek(dir) // while it is locked
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b := mustOpen(t, dir).Identity()
	for name, other := range map[string]Identity{"Peek": *peeked, "Open": b} {
		if !a.User.Equal(other.User) || !a.Device.Equal(other.Device) || a.Token != other.Token ||
			!bytes.Equal(a.Certificate.Signature, other.Certificate.Signature) {
			t.Errorf("%s sees another identity", name)
		}
	}
}

func TestIdentityIsNotPrinted(t *testing.T) {
	id := mustOpen(t, t.TempDir()).Identity()
	want := "participant " + wire.ParticipantID(public(id.User))
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "id", id, "pointer", &id)
	for _, s := range []string{fmt.Sprint(id), fmt.Sprintf("%+v", &id), fmt.Sprintf("%#v", id), Identity{}.String()} {
		if s != want && s != "no identity" {
			t.Errorf("printed as %d characters", len(s))
		}
	}
	if strings.Contains(log.String(), id.Token) || strings.Count(log.String(), want) != 2 {
		t.Error("logged with its secrets")
	}
}

func TestFilesArePrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	dir := filepath.Join(t.TempDir(), "d")
	s := mustOpen(t, dir)
	if err := errors.Join(s.PutRoom(testRoom("a")), s.PutPeers(Peer{ID: peerID}), s.Close()); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err == nil && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	check()
	// Rights that somebody gave away are taken back.
	for _, name := range []string{userKeyName, deviceKeyName, tokenName} {
		if err := os.Chmod(filepath.Join(dir, name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	mustOpen(t, dir)
	check()
}

func TestDamagedFilesAreNamed(t *testing.T) {
	for name, content := range map[string]string{
		userKeyName:   "castd-user-key-v1\nsecret: AAAA\npublic: AAAA\n",
		deviceKeyName: "",
		tokenName:     "short",
		countersName:  `{"version":1`,
		roomsName:     `{"version":1,"rooms":[{"room":"?"}]}`,
		peersName:     `{"version":9}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := mustOpen(t, dir)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(dir)
			var damaged *DamagedError
			if !errors.As(err, &damaged) || damaged.Path != path || damaged.Remedy == "" {
				t.Fatalf("Open = %v, want a DamagedError of %s", err, path)
			}
			if after, _ := os.ReadFile(path); string(after) != content {
				t.Error("the damaged file was changed")
			}
			// The lock must be free again.
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(dir); errors.As(err, new(*LockedError)) {
				t.Error("the folder stayed locked")
			}
		})
	}
}

// A certificate that does not fit is made again, as after an import that was cut off.
func TestCertificateIsMadeAgain(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, certName), []byte("?"), 0o600); err != nil {
		t.Fatal(err)
	}
	if !wire.VerifyCertificate(mustOpen(t, dir).Identity().Certificate) {
		t.Error("the certificate does not verify")
	}
}

func TestUserMoves(t *testing.T) {
	first, second := mustOpen(t, t.TempDir()), mustOpen(t, t.TempDir())
	var text bytes.Buffer
	if err := first.ExportUser(&text); err != nil {
		t.Fatal(err)
	}
	was := second.Identity()
	if err := second.ImportUser(strings.NewReader(strings.ReplaceAll(text.String(), "\n", "\r\n\r\n"))); err != nil {
		t.Fatal(err)
	}
	id := second.Identity()
	if !id.User.Equal(first.Identity().User) || !id.Device.Equal(was.Device) || !wire.VerifyCertificate(id.Certificate) {
		t.Fatal("user did not move, or took the device along")
	}
	env, err := second.Signer().Seal("", wire.Type_BID, 0, time.Now().Add(time.Minute), &wire.Bid{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := wire.OpenEnvelope(env, time.Now())
	if err != nil || !bytes.Equal(m.User, public(id.User)) {
		t.Fatalf("envelope is of user %x, %v", m.User, err)
	}
	// The user that was can be had back.
	backup, err := os.ReadFile(filepath.Join(second.Dir(), userKeyName+".of-"+wire.ParticipantID(public(was.User))))
	if err != nil {
		t.Fatal(err)
	}
	if err := second.ImportUser(bytes.NewReader(backup)); err != nil || !second.Identity().User.Equal(was.User) {
		t.Fatalf("import of the backup: %v", err)
	}
	dir := second.Dir()
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if id := mustOpen(t, dir).Identity(); !id.User.Equal(was.User) || !bytes.Equal(id.Certificate.User, public(was.User)) {
		t.Error("the imported user is gone after a restart")
	}
}

func TestImportRefusesWhatIsNoKey(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	was := s.Identity()
	secret := string(encodeKey(deviceKeyKind, "", was.Device))
	for _, text := range []string{"", "hello", secret, strings.Repeat("castd-user-key-v1\n", 1000)} {
		err := s.ImportUser(strings.NewReader(text))
		if err == nil {
			t.Errorf("%.20q was imported", text)
		} else if strings.Contains(err.Error(), strings.TrimSpace(strings.Split(secret, "secret: ")[1][:20])) {
			t.Error("the error shows a key")
		}
	}
	if !s.Identity().User.Equal(was.User) {
		t.Error("the user changed")
	}
}

func FuzzKey(f *testing.F) {
	_, key := testKey()
	f.Add(encodeKey(userKeyKind, "comment", key))
	f.Add([]byte("castd-user-key-v1\nsecret: \npublic: "))
	f.Fuzz(func(t *testing.T, data []byte) {
		key, err := decodeKey(userKeyKind, data)
		if err != nil {
			return
		}
		again, err := decodeKey(userKeyKind, encodeKey(userKeyKind, "c", key))
		if err != nil || !again.Equal(key) {
			t.Fatalf("a key does not survive being written: %v", err)
		}
	})
}
