package wire

import "crypto/sha256"

// HashSize is the length of a hash in a manifest, in octets.
//
// Who wants to put another packet in the place of one that was signed must find a second preimage of its hash, and has until nobody
// waits for the packet any more: seconds where it is live, some tens of seconds where it belongs to the group of pictures that newcomers
// get. A try costs one SHA-256; at 80 bits, 10 s ask for 10^23 of them a second, a hundred times what all the world's miners of Bitcoin
// make. There is no trading of time for memory and no gain from many targets, as the packet begins with its stream, incarnation and
// number, and is of use in this one place: of a picture's hash, a try may hit the packet's own or the picture's, which is two targets in
// place of one. Collisions, of 2^40 tries, are within reach of the publisher alone, who is free to sign two different manifests with
// less effort. The records of what was said, if any are kept, are not what these hashes are for.
const HashSize = 10

// MaxPicture is how many packets one hash covers at most. One that is lost for good takes so many along, and so many are asked for
// again where one of them was forged.
const MaxPicture = 32

// Hash is what a manifest says of an origin packet: the first octets of its SHA-256.
type Hash [HashSize]byte

// HashPacket returns the hash of an origin packet.
func HashPacket(pkt []byte) Hash {
	sum := sha256.Sum256(pkt)
	return Hash(sum[:HashSize])
}

// pictureDomain begins what a picture's hash is made of. No origin packet begins with it.
const pictureDomain = 0

// HashPicture returns the hash of two packets or more, at most MaxPicture, that a manifest vouches for together. It is made of their
// own hashes, one after another, so that who keeps these need not read the packets again.
func HashPicture(hashes []Hash) Hash {
	var b [1 + MaxPicture*HashSize]byte
	b[0] = pictureDomain
	n := 1
	for _, h := range hashes {
		n += copy(b[n:], h[:])
	}
	sum := sha256.Sum256(b[:n])
	return Hash(sum[:HashSize])
}
