package store

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// Finding is one thing that Check found.
type Finding struct {
	Path string
	// Message is a sentence that says what to do.
	Message string
	// Fatal says that a peer cannot run on the folder; otherwise it can, but should not be left so.
	Fatal bool
}

// Check looks at a data folder, as Open would find it, without the lock and without changing it (a file is made and removed to
// see whether that works). A folder that is not there yet is fine where it can be made.
func Check(dir string) []Finding {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return []Finding{{dir, "the data folder cannot be found: name another with --data-dir", true}}
	}
	info, err := os.Stat(dir)
	if missing(err) {
		return checkParent(dir)
	}
	if err != nil {
		return []Finding{{dir, "the data folder cannot be looked at: name another with --data-dir", true}}
	}
	if !info.IsDir() {
		return []Finding{{dir, "this is a file: --data-dir names a folder", true}}
	}
	var out []Finding
	modes := runtime.GOOS != "windows" // where rights are not in the mode
	if modes && !ownedBySelf(info) {
		out = append(out, Finding{dir, "the data folder belongs to another user: whoever that is can become this peer", false})
	}
	if modes && info.Mode().Perm()&0o022 != 0 {
		out = append(out, Finding{dir, "others may write into the data folder: take that away with chmod 700", false})
	}
	if f, ok := checkWrite(dir); !ok {
		out = append(out, f)
	}
	for _, name := range []string{userKeyName, deviceKeyName, tokenName, certificateName} {
		path := filepath.Join(dir, name)
		b, err := readFile(path)
		switch {
		case missing(err):
			continue
		case err != nil:
			out = append(out, Finding{path, "this file cannot be read: give it to the user who runs castd", true})
			continue
		case len(b) == 0:
			out = append(out, Finding{path, "this file is empty: restore it from a backup, or remove it to begin anew", true})
		}
		if info, err := os.Stat(path); err == nil && modes && info.Mode().Perm()&0o077 != 0 {
			out = append(out, Finding{path, fmt.Sprintf("others may read this secret (mode %04o): take that away with chmod 600", info.Mode().Perm()), false})
		}
	}
	return out
}

// checkParent looks whether a folder that is not there could be made.
func checkParent(dir string) []Finding {
	for up := filepath.Dir(dir); ; up = filepath.Dir(up) {
		info, err := os.Stat(up)
		switch {
		case missing(err) && up != filepath.Dir(up):
			continue
		case err != nil || !info.IsDir():
			return []Finding{{dir, "the data folder cannot be made below " + up + ": name another with --data-dir", true}}
		}
		if _, ok := checkWrite(up); !ok {
			return []Finding{{dir, "the data folder cannot be made, since " + up + " cannot be written to: name another with --data-dir", true}}
		}
		return nil
	}
}

// checkWrite makes and removes a file.
func checkWrite(dir string) (Finding, bool) {
	f, err := os.CreateTemp(dir, tempPrefix+"*")
	if err != nil {
		return Finding{dir, "the folder cannot be written to: give it to the user who runs castd, or name another with --data-dir", true}, false
	}
	_, err = f.WriteString("x")
	closeErr := f.Close()
	removeErr := os.Remove(f.Name())
	if missing(removeErr) {
		removeErr = nil // a peer that starts just now cleans up
	}
	if removeErr != nil || err != nil || closeErr != nil {
		return Finding{dir, "the folder takes no files: its disk may be full", true}, false
	}
	return Finding{}, true
}
