package seal

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/wire"
)

// A listener that hears sound from two parents has all manifests from the one that sends pictures too. The other sends excerpts:
// of a manifest what vouches for sound, and of what it leaves out the hash. That is three quarters of the octets, and verifies
// under the same signature. Whoever has the record packet makes the excerpt, and everybody makes the same.
//
// The hash that stands for the rest covers the record packet's header too, so that no rest can be looked for before the number
// is near; for its length see wire.HashSize.

// sizeSize is the length of the field that tells how much of a manifest is about sound, in octets.
const sizeSize = 2

// record is a record packet, or an excerpt of one, in parts that alias it.
type record struct {
	header    []byte // of the record packet
	sound     []byte
	rest      []byte // nil: of an excerpt
	omitted   wire.Hash
	signature []byte
}

// split takes a record packet apart. n is the length of its header.
func split(pkt []byte, n int) (record, error) {
	r := record{header: pkt[:n]}
	body, err := r.cut(pkt[n:])
	if err != nil {
		return r, err
	}
	r.rest = body
	r.omitted = wire.HashPacket(append(append(make([]byte, 0, n+len(body)), r.header...), body...))
	return r, nil
}

// splitExcerpt takes an excerpt of a packet of the record stream apart. n is the length of its header.
func splitExcerpt(pkt []byte, n int, stream wire.StreamID) (record, error) {
	r := record{header: readdress(pkt[:n], wire.KindRecord, stream)}
	body, err := r.cut(pkt[n:])
	if err != nil {
		return r, err
	}
	if len(body) != wire.HashSize {
		return r, fmt.Errorf("%w: hash of %d octets", ErrManifest, len(body))
	}
	r.omitted = wire.Hash(body)
	return r, nil
}

// cut takes what a record packet and its excerpt have in common off the octets behind the header, and returns what is between.
func (r *record) cut(b []byte) ([]byte, error) {
	if len(b) < sizeSize+ed25519.SignatureSize {
		return nil, ErrManifest
	}
	b, r.signature = b[:len(b)-ed25519.SignatureSize], b[len(b)-ed25519.SignatureSize:]
	size := sizeSize + int(binary.BigEndian.Uint16(b))
	if size > len(b) {
		return nil, fmt.Errorf("%w: %d octets of %d are about sound", ErrManifest, size, len(b))
	}
	r.sound = b[sizeSize:size]
	return b[size:], nil
}

// readdress returns a copy of an encoded header with another kind and stream. Nothing else of it changes, not even what no version of
// castd sets: what makes a record packet valid must make its excerpt valid.
func readdress(header []byte, kind wire.Kind, stream wire.StreamID) []byte {
	out := append([]byte(nil), header...)
	out[0] = out[0]&^0x30 | byte(kind&3)<<4
	binary.BigEndian.PutUint64(out[4:], uint64(stream))
	return out
}

// signed returns what the signature covers.
func (r *record) signed() []byte {
	b := make([]byte, 0, len(wire.ManifestDomain)+len(r.header)+sizeSize+len(r.sound)+wire.HashSize)
	b = append(append(b, wire.ManifestDomain...), r.header...)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(r.sound))), r.sound...)
	return append(b, r.omitted[:]...)
}

// packet returns the record packet, or the excerpt where rest is the hash of what is left out.
func (r *record) packet(header, rest []byte) []byte {
	b := make([]byte, 0, len(header)+sizeSize+len(r.sound)+len(rest)+ed25519.SignatureSize)
	b = append(b, header...)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(r.sound))), r.sound...)
	return append(append(b, rest...), r.signature...)
}

// sign returns the record packet of a manifest.
func sign(device ed25519.PrivateKey, header, sound, rest []byte) []byte {
	r := record{header: header, sound: sound}
	r.omitted = wire.HashPacket(append(append(make([]byte, 0, len(header)+len(rest)), header...), rest...))
	r.signature = ed25519.Sign(device, r.signed())
	return r.packet(header, rest)
}

// manifest returns what the parts say. Each must be well formed by itself: else an excerpt of a valid packet might not be valid.
func (r *record) manifest() (*wire.Manifest, error) {
	var m wire.Manifest
	for _, part := range [...][]byte{r.sound, r.rest} {
		if err := (proto.UnmarshalOptions{Merge: true}).Unmarshal(part, &m); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrManifest, err)
		}
		if err := checkManifest(&m); err != nil {
			return nil, err
		}
	}
	return &m, nil
}

// parts takes a record packet apart whose header is not known yet.
func parts(pkt []byte) (record, error) {
	_, n, err := wire.ParseHeader(pkt)
	if err != nil {
		return record{}, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	return split(pkt, n)
}

// ReadManifest returns the content of a record packet that has been verified before.
func ReadManifest(pkt []byte) (*wire.Manifest, error) {
	r, err := parts(pkt)
	if err != nil {
		return nil, err
	}
	return r.manifest()
}

// Excerpt returns what of a record packet vouches for sound, as a packet of the excerpt stream. It verifies nothing; where it is equal
// to an excerpt that was verified, the record packet is genuine.
func Excerpt(pkt []byte, stream wire.StreamID) ([]byte, error) {
	r, err := parts(pkt)
	if err != nil {
		return nil, err
	}
	return r.packet(readdress(r.header, wire.KindExcerpt, stream), r.omitted[:]), nil
}

// VerifyExcerpt checks an excerpt of a packet of the record stream against the publishing device's key, and returns what it vouches
// for. See VerifyManifest.
func VerifyExcerpt(device ed25519.PublicKey, stream wire.StreamID, pkt []byte) (*wire.Manifest, error) {
	n, err := recordHeader(pkt, wire.KindExcerpt)
	if err != nil {
		return nil, err
	}
	r, err := splitExcerpt(pkt, n, stream)
	if err != nil {
		return nil, err
	}
	return r.verify(device)
}

// recordHeader returns the length of a packet's header, which is to be of that kind.
func recordHeader(pkt []byte, kind wire.Kind) (int, error) {
	if len(pkt) > wire.MaxPacket {
		return 0, fmt.Errorf("%w: %d octets", ErrManifest, len(pkt))
	}
	h, n, err := wire.ParseHeader(pkt)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if h.Kind != kind {
		return 0, ErrManifest
	}
	return n, nil
}

// verify checks the signature and returns what was signed.
func (r *record) verify(device ed25519.PublicKey) (*wire.Manifest, error) {
	if len(device) != ed25519.PublicKeySize || !ed25519.Verify(device, r.signed(), r.signature) {
		return nil, ErrManifestSignature
	}
	return r.manifest()
}
