package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// presented returns the certificate that a gateway shows, as hexadecimal SHA-256 without colons, and itself.
func presented(t *testing.T, at string) (fingerprint string, c *x509.Certificate) {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", u.Host, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // it is looked at right here
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c = conn.ConnectionState().PeerCertificates[0]
	return strings.ToUpper(hexOf(sha256.Sum256(c.Raw))), c
}

func hexOf(sum [32]byte) string {
	return new(big.Int).SetBytes(append([]byte{1}, sum[:]...)).Text(16)[1:]
}

// writePair writes a certificate for a name and its key, as a renewal does: beside, and then in place of the old ones.
func writePair(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path+".new", pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestTLSSelf(t *testing.T) {
	dir := folder(t)
	args := append([]string{"start", "--room", "lobby", "--http", "0.0.0.0:0", "--tls", "self"}, free(dir)...)
	p := spawn(t, "first", dir, args...)
	shown := p.ready().text("tls_fingerprint")
	is, c := presented(t, p.ready().text("http"))
	if !strings.HasPrefix(p.ready().text("http"), "https://127.0.0.1:") || strings.ReplaceAll(shown, ":", "") != is {
		t.Errorf("the ready line says %s, the gateway shows %s", shown, is)
	}
	if err := c.VerifyHostname("127.0.0.1"); err != nil {
		t.Error(err)
	}
	if err := c.VerifyHostname("localhost"); err != nil {
		t.Error(err)
	}
	if code, _ := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	p = spawn(t, "second", dir, append(args, "--public-url", "https://radio.example:8443")...)
	if again := p.ready().text("tls_fingerprint"); again != shown {
		// The name of the public URL is new; the key is not.
		if _, now := presented(t, p.ready().text("http")); now.VerifyHostname("radio.example") != nil || !now.PublicKey.(*ecdsa.PublicKey).Equal(c.PublicKey) {
			t.Error("another start has made another key, or a certificate without the new name")
		}
	} else {
		t.Error("the certificate does not have the name of the public URL")
	}
	out, _, code := castd(t, "invite", "lobby", "--guest", "--data-dir", dir)
	if code != 0 || !strings.Contains(out, "https://radio.example:8443/r/lobby#token=") {
		t.Errorf("the link for a guest is %q", out)
	}
	if p.ready().text("public_url") != "https://radio.example:8443" {
		t.Errorf("the ready line says %q", p.ready().text("public_url"))
	}
}

func TestTLSFiles(t *testing.T) {
	files := t.TempDir()
	cert, key := writePair(t, files, "first.example")
	o := origin(t, "--tls-cert", cert, "--tls-key", key)
	at := o.ready().text("http")
	first, c := presented(t, at)
	if c.VerifyHostname("first.example") != nil {
		t.Errorf("the certificate is for %v", c.DNSNames)
	}
	writePair(t, files, "second.example")
	for end := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		if now, c := presented(t, at); now != first {
			if c.VerifyHostname("second.example") != nil {
				t.Errorf("the certificate is for %v", c.DNSNames)
			}
			break
		}
		if time.Now().After(end) {
			t.Fatal("the renewed certificate is not used")
		}
	}
	for name, args := range map[string][]string{
		"no such file": {"--tls-cert", cert + ".missing", "--tls-key", key},
		"no pair":      {"--tls-cert", key, "--tls-key", cert},
	} {
		_, stderr, code := castd(t, append(append([]string{"start", "--room", "lobby"}, args...), free(folder(t))...)...)
		if code != 1 || !strings.Contains(stderr, "--tls self") || strings.Count(strings.TrimSpace(stderr), "\n") > 0 {
			t.Errorf("%s: exit code %d, %q", name, code, stderr)
		}
	}
	if _, stderr, code := castd(t, append([]string{"start", "--room", "lobby", "--tls-cert", cert}, free(folder(t))...)...); code == 0 || !strings.Contains(stderr, "go together") {
		t.Errorf("half a pair: exit code %d, %q", code, stderr)
	}
}
