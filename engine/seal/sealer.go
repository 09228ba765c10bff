package seal

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/castd/castd/engine/wire"
)

// Errors of Sealer.Seal.
var (
	// ErrNonceReuse refuses a number that was sealed before, or is too old to tell.
	ErrNonceReuse = errors.New("seal: number was used before")
	// ErrNotReserved refuses a number outside of what Limit allows.
	ErrNotReserved = errors.New("seal: number is not reserved")
	// ErrStream refuses a header of another stream or incarnation, or of a record stream.
	ErrStream = errors.New("seal: header belongs to another stream")
)

// Sealer seals the packets of one incarnation of a stream. It is not safe for concurrent use.
type Sealer struct {
	key         *FrameKey
	stream      wire.StreamID
	incarnation uint16
	first, end  uint64 // numbers that may be sealed: first <= number < end
	used        window
	watch       func(key, nonce [NonceSize]byte)
}

// NonceSize is the length of an AEAD nonce, in octets.
const NonceSize = nonceSize

// Watch has f called with the nonce of each packet that is sealed; key is the key's salt, which stands for it. Tests prove
// with it that no pair comes twice.
func (s *Sealer) Watch(f func(key, nonce [NonceSize]byte)) { s.watch = f }

// NewSealer returns a sealer for a stream that the device publishes.
func NewSealer(key RoomKey, device ed25519.PublicKey, stream wire.StreamID, incarnation uint16) (*Sealer, error) {
	k, err := streamKey(key, device, stream, incarnation)
	if err != nil {
		return nil, err
	}
	return &Sealer{key: k, stream: stream, incarnation: incarnation, end: wire.MaxNumber + 1}, nil
}

// Limit restricts the numbers to first <= number < end: what has been reserved on disk and was never used by an earlier run.
// Numbers below first matter most, because a source's first packets may come out of order. A later call moves the end.
func (s *Sealer) Limit(first, end uint64) {
	s.first, s.end = first, min(end, wire.MaxNumber+1)
}

// Seal appends the origin packet for a payload, h and then the sealed payload, to dst. It allocates only where dst is short
// of h.Size() + len(payload) + TagSize octets. payload must not overlap dst. Numbers may come out of order within 4,096 of
// the newest, each once. On an error dst is returned as it was.
func (s *Sealer) Seal(dst []byte, h *wire.Header, payload []byte) ([]byte, error) {
	if h.Stream != s.stream || h.Incarnation != s.incarnation || h.Kind == wire.KindRecord {
		return dst, ErrStream
	}
	if h.Number < s.first || h.Number >= s.end {
		return dst, fmt.Errorf("%w: %d", ErrNotReserved, h.Number)
	}
	if !s.used.take(h.Number) {
		return dst, fmt.Errorf("%w: %d", ErrNonceReuse, h.Number)
	}
	start := len(dst)
	dst = h.Append(dst)
	dst = s.key.sealBare(dst, h.Number, dst[start:], payload)
	if s.watch != nil {
		s.watch(s.key.salt, s.key.nonce)
	}
	return dst, nil
}

// Opener opens the packets of one incarnation of a stream. It is not safe for concurrent use.
type Opener struct {
	key *FrameKey
}

// NewOpener returns an opener for a stream that the device publishes.
func NewOpener(key RoomKey, device ed25519.PublicKey, stream wire.StreamID, incarnation uint16) (*Opener, error) {
	k, err := streamKey(key, device, stream, incarnation)
	if err != nil {
		return nil, err
	}
	return &Opener{key: k}, nil
}

// Open appends the payload of an origin packet to dst. headerLen and number are what wire.ParseHeader found; the packet's
// stream and incarnation must be the opener's. It returns ErrOpen for anything that was not sealed so. It does not look for
// replays: who stores packets by number sees them. It allocates only where dst is short.
func (o *Opener) Open(dst []byte, pkt []byte, headerLen int, number uint64) ([]byte, error) {
	if headerLen < wire.HeaderSize || len(pkt) < headerLen+TagSize {
		return dst, ErrOpen
	}
	return o.key.openBare(dst, number, pkt[:headerLen], pkt[headerLen:])
}
