package seal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// hexBytes is a hexadecimal string of a vector file.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

func (h hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

// sframeVectors are the test vectors of RFC 9605, in the form in which its working group publishes them.
type sframeVectors struct {
	Header []struct {
		KID, CTR uint64
		Encoded  hexBytes
	}
	AESCTRHMAC    []ctrVector `json:"aes_ctr_hmac"`
	AES256CTRHMAC []ctrVector `json:"aes_256_ctr_hmac"`
	SFrame        []struct {
		CipherSuite Suite `json:"cipher_suite"`
		KID, CTR    uint64
		BaseKey     hexBytes `json:"base_key"`
		KeyLabel    hexBytes `json:"sframe_key_label"`
		SaltLabel   hexBytes `json:"sframe_salt_label"`
		Salt        hexBytes `json:"sframe_salt"`
		Metadata    hexBytes
		Nonce       hexBytes
		AAD         hexBytes
		PT, CT      hexBytes
	}
}

type ctrVector struct {
	CipherSuite     Suite `json:"cipher_suite"`
	Key, Nonce, AAD hexBytes
	PT, CT          hexBytes
}

func loadVectors(t *testing.T) *sframeVectors {
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "vectors", "sframe.json"))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("the vectors of RFC 9605 are not beside the repository")
	}
	if err != nil {
		t.Fatal(err)
	}
	var v sframeVectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return &v
}

func TestRFC9605Headers(t *testing.T) {
	v := loadVectors(t)
	for _, c := range v.Header {
		if got := AppendFrameHeader(nil, c.KID, c.CTR); !bytes.Equal(got, c.Encoded) {
			t.Errorf("header of %d, %d is %x, want %x", c.KID, c.CTR, got, c.Encoded)
		}
		kid, ctr, n, err := ParseFrameHeader(append(c.Encoded, 0xFF))
		if err != nil || kid != c.KID || ctr != c.CTR || n != len(c.Encoded) {
			t.Errorf("%x parses as %d, %d, %d, %v", c.Encoded, kid, ctr, n, err)
		}
		for cut := range c.Encoded {
			if _, _, _, err := ParseFrameHeader(c.Encoded[:cut]); err == nil {
				t.Errorf("%x parses", c.Encoded[:cut])
			}
		}
	}
	t.Logf("%d headers", len(v.Header))
}

func TestRFC9605CTRHMAC(t *testing.T) {
	v := loadVectors(t)
	for _, c := range append(v.AESCTRHMAC, v.AES256CTRHMAC...) {
		p, err := c.CipherSuite.params()
		if err != nil {
			t.Fatal(err)
		}
		a, err := p.aead(c.Key)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Seal(nil, c.Nonce, c.PT, c.AAD); !bytes.Equal(got, c.CT) {
			t.Errorf("suite %d seals to %x, want %x", c.CipherSuite, got, c.CT)
		}
		if got, err := a.Open(nil, c.Nonce, c.CT, c.AAD); err != nil || !bytes.Equal(got, c.PT) {
			t.Errorf("suite %d opens to %x, %v", c.CipherSuite, got, err)
		}
	}
}

func TestRFC9605Frames(t *testing.T) {
	for _, c := range loadVectors(t).SFrame {
		if got := frameLabel("SFrame 1.0 Secret key ", c.CipherSuite, c.KID); got != string(c.KeyLabel) {
			t.Errorf("suite %d: key label %x", c.CipherSuite, got)
		}
		if got := frameLabel("SFrame 1.0 Secret salt ", c.CipherSuite, c.KID); got != string(c.SaltLabel) {
			t.Errorf("suite %d: salt label %x", c.CipherSuite, got)
		}
		k, err := NewFrameKey(c.CipherSuite, c.KID, c.BaseKey)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(k.salt[:], c.Salt) {
			t.Errorf("suite %d: salt %x, want %x", c.CipherSuite, k.salt, c.Salt)
		}
		if got := k.Seal(nil, c.CTR, c.Metadata, c.PT); !bytes.Equal(got, c.CT) {
			t.Errorf("suite %d seals to %x, want %x", c.CipherSuite, got, c.CT)
		}
		if !bytes.Equal(k.nonce[:], c.Nonce) || !bytes.Equal(k.aad, c.AAD) {
			t.Errorf("suite %d: nonce %x, associated data %x", c.CipherSuite, k.nonce, k.aad)
		}
		if got, err := k.Open(nil, c.Metadata, c.CT); err != nil || !bytes.Equal(got, c.PT) {
			t.Errorf("suite %d opens to %x, %v", c.CipherSuite, got, err)
		}
	}
}

// All suites, also those without vectors of whole frames: what is changed anywhere does not open.
func TestFramesDoNotOpenWhenChanged(t *testing.T) {
	for suite := AES128CTRHMACSHA256_80; suite <= AES256CTRHMACSHA512_32; suite++ {
		k, err := NewFrameKey(suite, 9, []byte("base key"))
		if err != nil {
			t.Fatal(err)
		}
		frame := k.Seal(nil, 1000, []byte("meta"), []byte("payload"))
		if got, err := k.Open([]byte("dst "), []byte("meta"), frame); err != nil || string(got) != "dst payload" {
			t.Fatalf("suite %d: %q, %v", suite, got, err)
		}
		for i := range frame {
			bad := bytes.Clone(frame)
			bad[i] ^= 1
			if got, err := k.Open([]byte("dst "), []byte("meta"), bad); err == nil || string(got) != "dst " {
				t.Errorf("suite %d: opens with octet %d changed", suite, i)
			}
			if _, err := k.Open(nil, []byte("meta"), frame[:i]); err == nil {
				t.Errorf("suite %d: opens when cut to %d octets", suite, i)
			}
		}
		if _, err := k.Open(nil, []byte("mete"), frame); !errors.Is(err, ErrOpen) {
			t.Errorf("suite %d: opens with other metadata: %v", suite, err)
		}
	}
	for _, suite := range []Suite{0, 9} {
		if _, err := NewFrameKey(suite, 0, nil); !errors.Is(err, ErrSuite) {
			t.Errorf("suite %d: %v", suite, err)
		}
	}
}

func FuzzFrame(f *testing.F) {
	k, err := NewFrameKey(AES128GCM, 300, []byte("base key"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(k.Seal(nil, 70000, nil, []byte("payload")))
	f.Add([]byte{0xFF, 1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		kid, ctr, n, err := ParseFrameHeader(b)
		if err == nil && (n < 1 || n > len(b) || n > maxFrameHeader) {
			t.Fatalf("header of %d octets in %d", n, len(b))
		}
		if err == nil {
			if again := AppendFrameHeader(nil, kid, ctr); len(again) > n {
				t.Fatalf("%x is shorter than the shortest form %x", b[:n], again)
			}
		}
		if out, err := k.Open(nil, nil, b); err != nil && len(out) != 0 {
			t.Fatal("octets of a frame that does not open")
		}
	})
}
