package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"encoding/binary"
	"hash"
)

// ctrHMAC is the AEAD of RFC 9605, section 4.5.1: AES-CTR, then HMAC over lengths, nonce, associated data and ciphertext,
// cut to the tag size.
type ctrHMAC struct {
	block   cipher.Block
	hash    func() hash.Hash
	authKey []byte
	tagSize int
}

var _ cipher.AEAD = (*ctrHMAC)(nil)

func (c *ctrHMAC) NonceSize() int { return nonceSize }
func (c *ctrHMAC) Overhead() int  { return c.tagSize }

func (c *ctrHMAC) Seal(dst, nonce, plaintext, aad []byte) []byte {
	start := len(dst)
	dst = append(dst, plaintext...)
	c.xor(dst[start:], nonce)
	return append(dst, c.tag(nonce, aad, dst[start:])...)
}

func (c *ctrHMAC) Open(dst, nonce, ciphertext, aad []byte) ([]byte, error) {
	if len(ciphertext) < c.tagSize {
		return nil, ErrOpen
	}
	body, tag := ciphertext[:len(ciphertext)-c.tagSize], ciphertext[len(ciphertext)-c.tagSize:]
	if !hmac.Equal(tag, c.tag(nonce, aad, body)) {
		return nil, ErrOpen
	}
	start := len(dst)
	dst = append(dst, body...)
	c.xor(dst[start:], nonce)
	return dst, nil
}

func (c *ctrHMAC) xor(b, nonce []byte) {
	var counter [aes.BlockSize]byte // nonce, then a block counter from zero
	copy(counter[:], nonce)
	cipher.NewCTR(c.block, counter[:]).XORKeyStream(b, b)
}

func (c *ctrHMAC) tag(nonce, aad, ciphertext []byte) []byte {
	mac := hmac.New(c.hash, c.authKey)
	var lengths [24]byte
	binary.BigEndian.PutUint64(lengths[0:], uint64(len(aad)))
	binary.BigEndian.PutUint64(lengths[8:], uint64(len(ciphertext)))
	binary.BigEndian.PutUint64(lengths[16:], uint64(c.tagSize))
	mac.Write(lengths[:])
	mac.Write(nonce)
	mac.Write(aad)
	mac.Write(ciphertext)
	return mac.Sum(nil)[:c.tagSize]
}
