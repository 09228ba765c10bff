package cert

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Files is a certificate in two PEM files, which are read again when they change. While they do not fit each other, as happens
// in the middle of a renewal, the certificate that was read before stays in use.
type Files struct {
	// constant
	paths [2]string // certificate chain, key
	log   *slog.Logger

	mu      sync.Mutex // guards all following fields
	current *tls.Certificate
	seen    [2]os.FileInfo // of what was read, or tried, last
	checked time.Time
}

// LoadFiles reads a certificate chain and its key. log gets what happens later and must not be nil.
func LoadFiles(certificate, key string, log *slog.Logger) (*Files, error) {
	f := &Files{paths: [2]string{certificate, key}, log: log}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.checked = time.Now()
	var err error
	if f.seen, err = f.look(); err != nil {
		return nil, err
	}
	if f.current, err = f.read(); err != nil {
		return nil, err
	}
	return f, nil
}

// Certificate implements Source.
func (f *Files) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.checked) >= checkEvery {
		f.checked = now
		f.refreshLocked()
	}
	return f.current, nil
}

// Fingerprint implements Source.
func (f *Files) Fingerprint() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fingerprint(f.current)
}

// refreshLocked reads the files if they are not the ones that were read last.
func (f *Files) refreshLocked() {
	seen, err := f.look()
	if err != nil || same(seen, f.seen) {
		return // a file that is missing for a moment comes back
	}
	f.seen = seen
	c, err := f.read()
	if err != nil {
		f.log.Warn("the new certificate cannot be used yet; the old one stays in use", "err", err)
		return
	}
	f.current = c
	f.log.Info("the certificate was read again", "until", c.Leaf.NotAfter)
}

func (f *Files) look() (seen [2]os.FileInfo, err error) {
	for i, path := range f.paths {
		if seen[i], err = os.Stat(path); err != nil {
			return seen, fmt.Errorf("look at certificate: %w", err)
		}
	}
	return seen, nil
}

func (f *Files) read() (*tls.Certificate, error) {
	c, err := tls.LoadX509KeyPair(f.paths[0], f.paths[1])
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	return &c, nil
}

// same reports whether files are what they were. Renewal tools replace a link or a file, or write into it.
func same(a, b [2]os.FileInfo) bool {
	for i := range a {
		if !os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || !a[i].ModTime().Equal(b[i].ModTime()) {
			return false
		}
	}
	return true
}
