package secure

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/pion/srtp/v3"
)

func testKeys() (key, salt []byte) {
	return bytes.Repeat([]byte{0x5a, 3}, keySize/2), bytes.Repeat([]byte{0xc1, 7, 9}, saltSize/3)
}

func testPacket(ssrc uint32, number uint64, size int) []byte {
	b := make([]byte, 12+size, 12+size+SealedExtra)
	b[0], b[1] = 0x80, 96
	binary.BigEndian.PutUint16(b[2:], uint16(number))
	binary.BigEndian.PutUint32(b[4:], uint32(number)*960)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	for i := range size {
		b[12+i] = byte(i) ^ byte(number)
	}
	return b
}

// TestSealer: what it seals is to the octet what pion/srtp makes of the same packets, beyond several rollovers and for several
// streams, and pion opens it.
func TestSealer(t *testing.T) {
	key, salt := testKeys()
	z, err := newSealer(key, salt)
	if err != nil {
		t.Fatal(err)
	}
	out, err := srtp.CreateContext(key, salt, srtp.ProtectionProfileAeadAes128Gcm)
	if err != nil {
		t.Fatal(err)
	}
	in, err := srtp.CreateContext(key, salt, srtp.ProtectionProfileAeadAes128Gcm, srtp.SRTPReplayProtection(1024))
	if err != nil {
		t.Fatal(err)
	}
	for number := uint64(0); number < 3<<16; number += 1 + number%7*11 {
		for _, ssrc := range []uint32{0x0101, 0x0202, 0xffffffff} {
			size := int(number % 1300)
			plain := testPacket(ssrc, number, size)
			want, err := out.EncryptRTP(nil, plain, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := z.Seal(testPacket(ssrc, number, size), 12, number)
			if !bytes.Equal(got, want) {
				t.Fatalf("packet %d of %x:\n got %x\nwant %x", number, ssrc, got, want)
			}
			if back, err := in.DecryptRTP(nil, got, nil); err != nil || !bytes.Equal(back, plain) {
				t.Fatalf("packet %d of %x does not open: %v", number, ssrc, err)
			}
		}
	}
	if _, err := newSealer(key[:15], salt); err == nil {
		t.Error("took a key that is too short")
	}
}

// TestSealerVector is the packet of RFC 7714 section 16.1.1, whose session key and salt are given.
func TestSealerVector(t *testing.T) {
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	z, err := sessionSealer(unhex("000102030405060708090a0b0c0d0e0f"), unhex("517569642070726f2071756f"))
	if err != nil {
		t.Fatal(err)
	}
	plain := unhex("8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e697320646976697361" + "20696e207061727465732074726573")
	want := unhex("8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce")
	packet := append(make([]byte, 0, len(want)), plain...)
	if got := z.Seal(packet, 12, 0xf17b); !bytes.Equal(got, want) {
		t.Errorf("got %x\nwant %x", got, want)
	}
}

func BenchmarkSeal(b *testing.B) {
	key, salt := testKeys()
	z, err := newSealer(key, salt)
	if err != nil {
		b.Fatal(err)
	}
	packet := testPacket(0x0101, 0, 150)
	b.ReportAllocs()
	for n := uint64(0); b.Loop(); n++ {
		z.Seal(packet, 12, n)
	}
}
