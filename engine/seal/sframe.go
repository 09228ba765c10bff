package seal

import (
	"crypto/cipher"
	"crypto/hkdf"
	"encoding/binary"
	"errors"
	"fmt"
)

// Errors of opening.
var (
	// ErrOpen says that a packet was not sealed with this key, or was changed on its way.
	ErrOpen = errors.New("seal: packet does not authenticate")
	// ErrHeader says that there is no SFrame header.
	ErrHeader = errors.New("seal: malformed SFrame header")
)

// maxFrameHeader is the length of the longest SFrame header: configuration octet, key id and counter of eight octets each.
const maxFrameHeader = 17

// AppendFrameHeader appends the SFrame header for a key id and counter, RFC 9605 section 4.3:
//
//	 0 1 2 3 4 5 6 7
//	+-+-+-+-+-+-+-+-+------------+------------+
//	|X|  K  |Y|  C  |   KID...   |   CTR...   |
//	+-+-+-+-+-+-+-+-+------------+------------+
//
// Values up to 7 stand in K or C itself; larger ones set X or Y, and K or C is the octets that follow, less one.
func AppendFrameHeader(b []byte, kid, ctr uint64) []byte {
	at := len(b)
	b = append(b, 0)
	k, b := appendShortest(b, kid)
	c, b := appendShortest(b, ctr)
	b[at] = k<<4 | c
	return b
}

// appendShortest returns the nibble for v and appends its octets where it needs any.
func appendShortest(b []byte, v uint64) (nibble byte, out []byte) {
	if v < 8 {
		return byte(v), b
	}
	n := 1
	for n < 8 && v>>(8*n) != 0 {
		n++
	}
	for i := n - 1; i >= 0; i-- {
		b = append(b, byte(v>>(8*i)))
	}
	return 8 | byte(n-1), b
}

// ParseFrameHeader reads an SFrame header and returns its length.
func ParseFrameHeader(b []byte) (kid, ctr uint64, n int, err error) {
	if len(b) == 0 {
		return 0, 0, 0, ErrHeader
	}
	n = 1
	read := func(nibble byte) (v uint64) {
		if nibble&8 == 0 {
			return uint64(nibble)
		}
		size := int(nibble&7) + 1
		if len(b) < n+size {
			err = ErrHeader
			return 0
		}
		for _, o := range b[n : n+size] {
			v = v<<8 | uint64(o)
		}
		n += size
		return v
	}
	kid = read(b[0] >> 4)
	if err == nil {
		ctr = read(b[0] & 15)
	}
	if err != nil {
		return 0, 0, 0, err
	}
	return kid, ctr, n, nil
}

// FrameKey is an SFrame key: base key, suite and key id, made ready for use (RFC 9605 section 4.4.2).
// It is not safe for concurrent use.
type FrameKey struct {
	kid  uint64
	aead cipher.AEAD
	salt [nonceSize]byte

	nonce [nonceSize]byte // scratch of one call
	aad   []byte          // scratch of one call
}

// NewFrameKey derives sframe_key and sframe_salt from the base key.
func NewFrameKey(suite Suite, kid uint64, baseKey []byte) (*FrameKey, error) {
	p, err := suite.params()
	if err != nil {
		return nil, err
	}
	secret, err := hkdf.Extract(p.hash, baseKey, nil)
	if err != nil {
		return nil, fmt.Errorf("seal: derive key: %w", err)
	}
	key, err := hkdf.Expand(p.hash, secret, frameLabel("SFrame 1.0 Secret key ", suite, kid), p.keySize)
	if err != nil {
		return nil, fmt.Errorf("seal: derive key: %w", err)
	}
	salt, err := hkdf.Expand(p.hash, secret, frameLabel("SFrame 1.0 Secret salt ", suite, kid), nonceSize)
	if err != nil {
		return nil, fmt.Errorf("seal: derive salt: %w", err)
	}
	k := &FrameKey{kid: kid}
	copy(k.salt[:], salt)
	k.aead, err = p.aead(key)
	return k, err
}

func frameLabel(text string, suite Suite, kid uint64) string {
	b := binary.BigEndian.AppendUint64([]byte(text), kid)
	return string(binary.BigEndian.AppendUint16(b, uint16(suite)))
}

// Overhead returns the length of a tag in octets.
func (k *FrameKey) Overhead() int { return k.aead.Overhead() }

// Seal appends the SFrame ciphertext of plaintext (header, encrypted data, tag) to dst. The caller must never use one
// counter twice.
func (k *FrameKey) Seal(dst []byte, ctr uint64, metadata, plaintext []byte) []byte {
	dst = AppendFrameHeader(dst, k.kid, ctr)
	return k.sealBare(dst, ctr, metadata, plaintext)
}

// Open appends the plaintext of an SFrame ciphertext to dst. It returns ErrOpen also for another key id.
func (k *FrameKey) Open(dst []byte, metadata, frame []byte) ([]byte, error) {
	kid, ctr, n, err := ParseFrameHeader(frame)
	if err != nil {
		return dst, err
	}
	if kid != k.kid {
		return dst, ErrOpen
	}
	k.aad = append(append(k.aad[:0], frame[:n]...), metadata...)
	return k.open(dst, ctr, frame[n:])
}

// sealBare is Seal without the SFrame header in the output; it is associated data all the same.
func (k *FrameKey) sealBare(dst []byte, ctr uint64, metadata, plaintext []byte) []byte {
	k.aad = append(AppendFrameHeader(k.aad[:0], k.kid, ctr), metadata...)
	k.setNonce(ctr)
	return k.aead.Seal(dst, k.nonce[:], plaintext, k.aad)
}

// openBare is Open for ciphertext whose SFrame header is implied.
func (k *FrameKey) openBare(dst []byte, ctr uint64, metadata, ciphertext []byte) ([]byte, error) {
	k.aad = append(AppendFrameHeader(k.aad[:0], k.kid, ctr), metadata...)
	return k.open(dst, ctr, ciphertext)
}

func (k *FrameKey) open(dst []byte, ctr uint64, ciphertext []byte) ([]byte, error) {
	k.setNonce(ctr)
	out, err := k.aead.Open(dst, k.nonce[:], ciphertext, k.aad)
	if err != nil {
		return dst, ErrOpen
	}
	return out, nil
}

// setNonce makes sframe_salt XOR counter, the counter right-aligned.
func (k *FrameKey) setNonce(ctr uint64) {
	k.nonce = k.salt
	for i := range 8 {
		k.nonce[nonceSize-1-i] ^= byte(ctr >> (8 * i))
	}
}
