package store

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestCertificate(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := s.Certificate(); b != nil || err != nil {
		t.Fatalf("before there is one: %q %v", b, err)
	}
	if err := s.SaveCertificate([]byte("secret")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, certificateName)
	if err := os.Chmod(path, 0o644); err != nil { // somebody has copied the folder
		t.Fatal(err)
	}
	if s, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if b, err := s.Certificate(); string(b) != "secret" || err != nil {
		t.Fatalf("%q %v", b, err)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}
