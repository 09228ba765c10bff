package secure

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// ErrWrongCertificate says that the other side does not have the certificate that was announced.
var ErrWrongCertificate = errors.New("certificate does not match the fingerprint")

// Certificate is a self-signed ECDSA certificate and its SHA-256 fingerprint.
type Certificate struct {
	TLS         tls.Certificate
	Key         *ecdsa.PrivateKey
	Fingerprint [sha256.Size]byte
}

// NewCertificate makes one. Nobody checks its dates or names: the fingerprint is what counts.
func NewCertificate(now time.Time) (Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		return Certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "WebRTC"},
		NotBefore:    now.Add(-24 * time.Hour),
		NotAfter:     now.AddDate(10, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return Certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	return Certificate{
		TLS: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, Key: key, Fingerprint: sha256.Sum256(der),
	}, nil
}

// FingerprintPrefix begins a fingerprint attribute with SHA-256 (RFC 8122 section 5).
const FingerprintPrefix = "sha-256 "

// FormatFingerprint writes the SHA-256 of a certificate as in RFC 8122 section 5.
func FormatFingerprint(sum [sha256.Size]byte) string {
	var b strings.Builder
	b.WriteString(FingerprintPrefix)
	for i, c := range sum {
		if i > 0 {
			b.WriteByte(':')
		}
		fmt.Fprintf(&b, "%02X", c)
	}
	return b.String()
}
