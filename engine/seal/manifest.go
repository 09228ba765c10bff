package seal

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"iter"

	"github.com/castd/castd/engine/wire"
)

// Bounds of what a manifest may hold; what fits in a packet is always below the first.
const (
	maxRuns    = 128
	maxEntries = 128 // skips, clocks
)

// Errors of VerifyManifest.
var (
	// ErrManifest says that a record packet is not well formed.
	ErrManifest = errors.New("seal: malformed record packet")
	// ErrManifestSignature says that a record packet was not signed by the device, or was changed on its way.
	ErrManifestSignature = errors.New("seal: record packet's signature does not verify")
)

// VerifyManifest checks a record packet against the publishing device's key and returns its content, which aliases nothing
// of pkt. Afterwards: hashes of a run are whole, at least one, and cover 1 to wire.MaxPicture packets each, numbers lie within 48 bits,
// skips are not empty. A skip may
// be wide: treat it as a range. The caller checks that the header's stream is the record stream of a slot of this device, and
// that the manifest's streams belong to that slot.
func VerifyManifest(device ed25519.PublicKey, pkt []byte) (*wire.Manifest, error) {
	n, err := recordHeader(pkt, wire.KindRecord)
	if err != nil {
		return nil, err
	}
	r, err := split(pkt, n)
	if err != nil {
		return nil, err
	}
	return r.verify(device)
}

// Hashes yields what a run of a verified manifest says: a hash, and the first number and how many there are of the packets it covers.
func Hashes(r *wire.Run) iter.Seq2[Covered, wire.Hash] {
	return func(yield func(Covered, wire.Hash) bool) {
		c := Covered{First: r.First, Packets: 1}
		for i := range len(r.Hashes) / wire.HashSize {
			if len(r.Packets) > 0 {
				c.Packets = int(r.Packets[i])
			}
			if !yield(c, wire.Hash(r.Hashes[i*wire.HashSize:])) {
				return
			}
			c.First += uint64(c.Packets)
		}
	}
}

// Covered are the numbers of the packets that one hash covers.
type Covered struct {
	First   uint64
	Packets int
}

// End returns the number after the last one that a run vouches for.
func End(r *wire.Run) uint64 {
	if len(r.Packets) == 0 {
		return r.First + uint64(len(r.Hashes)/wire.HashSize)
	}
	end := r.First
	for _, n := range r.Packets {
		end += uint64(n)
	}
	return end
}

func checkManifest(m *wire.Manifest) error {
	if len(m.Runs) > maxRuns || len(m.Skips) > maxEntries || len(m.Clocks) > maxEntries {
		return fmt.Errorf("%w: too many entries", ErrManifest)
	}
	for _, r := range m.Runs {
		hashes := len(r.Hashes) / wire.HashSize
		if len(r.Hashes) == 0 || len(r.Hashes)%wire.HashSize != 0 {
			return fmt.Errorf("%w: run of %d octets", ErrManifest, len(r.Hashes))
		}
		if len(r.Packets) != 0 && len(r.Packets) != hashes {
			return fmt.Errorf("%w: run of %d hashes for %d pictures", ErrManifest, hashes, len(r.Packets))
		}
		for _, n := range r.Packets {
			if n == 0 || n > wire.MaxPicture {
				return fmt.Errorf("%w: hash of %d packets", ErrManifest, n)
			}
		}
		if r.First > wire.MaxNumber || End(r)-1 > wire.MaxNumber {
			return fmt.Errorf("%w: run ends beyond the largest number", ErrManifest)
		}
	}
	for _, s := range m.Skips {
		if s.First > s.Last || s.Last > wire.MaxNumber {
			return fmt.Errorf("%w: skip from %d to %d", ErrManifest, s.First, s.Last)
		}
	}
	return nil
}
