package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// checked runs castd config check on a file's text and returns what it found.
func checked(t *testing.T, env map[string]string, text string, flags ...string) (found []finding, code int) {
	t.Helper()
	config := filepath.Join(t.TempDir(), "castd.yml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, out, _, code := cli(t, env, append([]string{"config", "check", config, "--json"}, flags...)...)
	for line := range strings.Lines(out) {
		var f finding
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		found = append(found, f)
	}
	return found, code
}

func TestConfigCheck(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		env        map[string]string
		flags      []string
		want       finding // nothing of it that is empty is compared
	}{
		{"unknown key", "upload: 1M\n\nmedia-prot: 9000\n", nil, nil, finding{Check: "file", Line: 3, Key: "media-prot", Nearest: "media-port"}},
		{"value", "upload: fast\n", nil, nil, finding{Check: "file", Line: 1, Key: "upload", Message: "20M"}},
		{"value of another command", "loop: perhaps\n", nil, nil, finding{Check: "file", Line: 1, Key: "loop", Message: "neither true"}},
		{"list", "# c\nhttp: [a, b]\n", nil, nil, finding{Check: "file", Line: 2, Key: "http", Message: "one value"}},
		{"twice", "upload: 1M\nupload: 2M\n", nil, nil, finding{Check: "file", Line: 2, Message: "line 1"}},
		{"form", "upload: 1M\n  x: {\n", nil, nil, finding{Check: "file", Message: "not YAML"}},
		{"list of keys", "- upload\n", nil, nil, finding{Check: "file", Line: 1, Message: "not YAML"}},
		{"variable", "", map[string]string{"CASTD_UPLOAD": "much"}, nil, finding{Check: "variables", Key: "CASTD_UPLOAD", Message: "20M"}},
		{"combination", "tls: self\ntls-cert: x\ntls-key: y\n", nil, nil, finding{Check: "flags", Message: "--tls"}},
		{"flag", "", nil, []string{"--http", "8470"}, finding{Check: "flags", Message: "HOST:PORT"}},
		{"address", "listen: [/ip4/1.2.3.4]\n", nil, nil, finding{Check: "flags", Message: "multiaddr"}},
		{"certificate", "tls-cert: /nowhere/c.pem\ntls-key: /nowhere/k.pem\n", nil, nil, finding{Check: "certificate", Message: "not there"}},
		{"data folder", "", nil, []string{"--data-dir", os.DevNull}, finding{Check: "data-dir", Message: "--data-dir"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			found, code := checked(t, tt.env, tt.text, tt.flags...)
			if code != 2 {
				t.Errorf("exit code %d", code)
			}
			for _, f := range found {
				if f.State == "wrong" && f.Check == tt.want.Check && strings.Contains(f.Message, tt.want.Message) && f.Key == tt.want.Key &&
					f.Nearest == tt.want.Nearest && (tt.want.Line == 0 || f.Line == tt.want.Line) {
					return
				}
			}
			t.Errorf("not found in %+v", found)
		})
	}
}

func TestConfigCheckFindsAll(t *testing.T) {
	found, code := checked(t, nil, "uplod: 1M\nroom: lobby\nhtpp: off\nmedia-port: 99999\n")
	wrong := 0
	for _, f := range found {
		if f.State == "wrong" {
			wrong++
		}
	}
	if wrong != 3 || code != 2 {
		t.Errorf("exit code %d, %d wrong: %+v", code, wrong, found)
	}
}

func TestConfigCheckIsContent(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "upload: 20M\nroom: [lobby, stage]\nno-mdns:\nloop: true\n", "\"upload\": 1M\n"} {
		if found, code := checked(t, nil, text); code != 0 {
			t.Errorf("%q: exit code %d: %+v", text, code, found)
		}
	}
	_, out, _, code := cli(t, nil, "config", "check")
	if code != 0 || !strings.Contains(out, "ok") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if _, _, errs, code := cli(t, nil, "config", "chekc"); code != 2 || !strings.Contains(errs, "config check") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if _, _, _, code := cli(t, nil, "config", "check", filepath.Join(t.TempDir(), "none.yml")); code != 2 {
		t.Errorf("exit code %d for a file that is not there", code)
	}
}

// certificateFiles writes a certificate for radio.example.
func certificateFiles(t *testing.T, begins, ends time.Time) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: begins, NotAfter: ends, DNSNames: []string{"radio.example"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestConfigCheckOfCertificates(t *testing.T) {
	now := time.Now()
	year := 365 * 24 * time.Hour
	for _, tt := range []struct {
		name         string
		begins, ends time.Time
		url          string
		state, want  string
	}{
		{"good", now.Add(-year), now.Add(year), "https://radio.example:8443", "ok", "radio.example"},
		{"ended", now.Add(-year), now.Add(-time.Hour), "", "wrong", "renew"},
		{"ends soon", now.Add(-year), now.Add(48 * time.Hour), "", "warning", "renew"},
		{"not yet", now.Add(48 * time.Hour), now.Add(year), "", "wrong", "clock"},
		{"other name", now.Add(-year), now.Add(year), "https://tv.example", "wrong", "tv.example"},
	} {
		cert, key := certificateFiles(t, tt.begins, tt.ends)
		found, code := checked(t, nil, "tls-cert: "+cert+"\ntls-key: "+key+"\npublic-url: \""+tt.url+"\"\n")
		ok := false
		for _, f := range found {
			ok = ok || f.Check == "certificate" && f.State == tt.state && strings.Contains(f.Message, tt.want)
		}
		if !ok || (code == 2) != (tt.state == "wrong") {
			t.Errorf("%s: exit code %d: %+v", tt.name, code, found)
		}
	}
}

func FuzzConfig(f *testing.F) {
	for _, s := range []string{"upload: 1M", "a: [b, c]\n---\nd: 1", "a: &x b\nc: *x", "- a", "{a: b}", "? a\n: b", "a: !!binary x", "<<: {a: b}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := parseConfig(text)
		if err != nil {
			if _, ok := err.(*configError); !ok { //nolint:errorlint // it is not wrapped
				t.Fatalf("%T", err)
			}
			return
		}
		for _, k := range keys {
			if k.line < 1 {
				t.Fatalf("%+v", k)
			}
		}
	})
}
