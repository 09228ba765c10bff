package store

import (
	"path/filepath"
)

// certificateName is the file with the gateway's own certificate and its key.
const certificateName = "tls.pem"

// Certificate returns what SaveCertificate kept, nil if that was never called.
func (s *Store) Certificate() ([]byte, error) {
	b, err := readSecret(filepath.Join(s.dir, certificateName))
	if missing(err) {
		return nil, nil
	}
	return b, err
}

// SaveCertificate keeps the gateway's own certificate with its key. It returns when that is on the disk.
func (s *Store) SaveCertificate(text []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.write(filepath.Join(s.dir, certificateName), text)
}
