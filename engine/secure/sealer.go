package secure

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	keySize  = 16 // octets of AEAD_AES_128_GCM's keys (RFC 7714 section 12)
	saltSize = 12
	// SealedExtra is how many octets Seal adds.
	SealedExtra = 16

	rtpSSRC = 8 // where a header has its SSRC

	labelKey  = 0 // RFC 3711 section 4.3.2
	labelSalt = 2
)

// Sealer encrypts RTP packets with AEAD_AES_128_GCM (RFC 7714) for a sender that counts its packets itself: it need not find out
// what a packet's rollover counter is, nor which stream it is of. It is not safe for concurrent use.
type Sealer struct {
	aead  cipher.AEAD
	salt  [saltSize]byte
	nonce [saltSize]byte // of the packet in hand
}

// newSealer derives the session's key and salt from the master's, with a key derivation rate of zero (RFC 3711 section 4.3.1; RFC
// 7714 section 11 pads the salt).
func newSealer(key, salt []byte) (*Sealer, error) {
	if len(key) != keySize || len(salt) != saltSize {
		return nil, errors.New("not keys of AEAD_AES_128_GCM")
	}
	master, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("derive SRTP keys: %w", err)
	}
	derive := func(label byte) (out [aes.BlockSize]byte) {
		var in [aes.BlockSize]byte
		copy(in[:], salt)
		in[7] ^= label
		master.Encrypt(out[:], in[:])
		return out
	}
	k, s := derive(labelKey), derive(labelSalt)
	return sessionSealer(k[:], s[:saltSize])
}

// sessionSealer makes a Sealer of the session's key and salt.
func sessionSealer(key, salt []byte) (*Sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("derive SRTP keys: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("derive SRTP keys: %w", err)
	}
	z := &Sealer{aead: aead}
	copy(z.salt[:], salt)
	return z, nil
}

// Seal encrypts a packet in place and returns it with its tag; the capacity must allow for SealedExtra octets. The first header
// octets are the RTP header, which stays readable. number counts the packets of the header's SSRC: its low 16 bits are the
// header's sequence number, the 32 above them the rollover counter. No number may be used twice with one SSRC.
func (z *Sealer) Seal(packet []byte, header int, number uint64) []byte {
	z.nonce = [saltSize]byte{} // RFC 7714 section 8.1
	copy(z.nonce[2:], packet[rtpSSRC:rtpSSRC+4])
	binary.BigEndian.PutUint32(z.nonce[6:], uint32(number>>16))
	binary.BigEndian.PutUint16(z.nonce[10:], uint16(number))
	subtle.XORBytes(z.nonce[:], z.nonce[:], z.salt[:])
	return z.aead.Seal(packet[:header], z.nonce[:], packet[header:], packet[:header])
}
