// Package cert gives the gateway its TLS certificate: from PEM files that somebody else renews, or one that castd makes, keeps
// and renews itself. Either way the certificate in use is replaced without a restart, and there is no goroutine: handshakes look
// whether something has changed, at most once in checkEvery.
//
// What it does not do: ask an authority for certificates, or follow their revocation.
package cert

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"strings"
	"time"
)

// checkEvery is how often handshakes look for something new. It is short, so that whoever has just replaced a file sees it.
const checkEvery = 2 * time.Second

// Source is where a listener's certificate comes from. It is safe for concurrent use.
type Source interface {
	// Certificate is for tls.Config.GetCertificate.
	Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Fingerprint is the SHA-256 of the certificate in use, written as browsers show it: pairs of hexadecimal digits with
	// colons between them.
	Fingerprint() string
}

var (
	_ Source = (*Files)(nil)
	_ Source = (*Self)(nil)
)

// Config returns the configuration of a listener that uses s.
func Config(s Source) *tls.Config {
	return &tls.Config{GetCertificate: s.Certificate, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
}

func fingerprint(c *tls.Certificate) string {
	sum := sha256.Sum256(c.Certificate[0])
	text := strings.ToUpper(hex.EncodeToString(sum[:]))
	pairs := make([]string, 0, len(sum))
	for i := 0; i < len(text); i += 2 {
		pairs = append(pairs, text[i:i+2])
	}
	return strings.Join(pairs, ":")
}
