package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
)

// Suite is a cipher suite of SFrame, RFC 9605 section 4.5 and its IANA registry.
type Suite uint16

// Cipher suites. castd seals with AES128GCM; the others are here because the test vectors cover the same code.
const (
	AES128CTRHMACSHA256_80 Suite = 1
	AES128CTRHMACSHA256_64 Suite = 2
	AES128CTRHMACSHA256_32 Suite = 3
	AES128GCM              Suite = 4 // AES_128_GCM_SHA256_128
	AES256GCM              Suite = 5 // AES_256_GCM_SHA512_128
	AES256CTRHMACSHA512_80 Suite = 6
	AES256CTRHMACSHA512_64 Suite = 7
	AES256CTRHMACSHA512_32 Suite = 8
)

// ErrSuite is returned for a cipher suite that is not known.
var ErrSuite = errors.New("seal: unknown cipher suite")

// nonceSize is Nn of all suites, in octets.
const nonceSize = 12

type suiteParams struct {
	hash    func() hash.Hash
	keySize int // Nk, octets
	tagSize int // Nt, octets
	encSize int // Nka: of the AES key alone; equal to keySize for GCM
}

func (s Suite) params() (suiteParams, error) {
	switch s {
	case AES128CTRHMACSHA256_80:
		return suiteParams{sha256.New, 48, 10, 16}, nil
	case AES128CTRHMACSHA256_64:
		return suiteParams{sha256.New, 48, 8, 16}, nil
	case AES128CTRHMACSHA256_32:
		return suiteParams{sha256.New, 48, 4, 16}, nil
	case AES128GCM:
		return suiteParams{sha256.New, 16, 16, 16}, nil
	case AES256GCM:
		return suiteParams{sha512.New, 32, 16, 32}, nil
	case AES256CTRHMACSHA512_80:
		return suiteParams{sha512.New, 96, 10, 32}, nil
	case AES256CTRHMACSHA512_64:
		return suiteParams{sha512.New, 96, 8, 32}, nil
	case AES256CTRHMACSHA512_32:
		return suiteParams{sha512.New, 96, 4, 32}, nil
	}
	return suiteParams{}, fmt.Errorf("%w: %d", ErrSuite, uint16(s))
}

// aead returns the suite's AEAD under a key of keySize octets.
func (p suiteParams) aead(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key[:p.encSize])
	if err != nil {
		return nil, fmt.Errorf("seal: make cipher: %w", err)
	}
	if p.encSize < p.keySize {
		return &ctrHMAC{block: block, hash: p.hash, authKey: key[p.encSize:], tagSize: p.tagSize}, nil
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("seal: make cipher: %w", err)
	}
	return gcm, nil
}
