package wire

import (
	"encoding/hex"
	"testing"
)

// Hashes are what the format says, and a picture's is no packet's: it begins with what no header begins with.
func TestHashes(t *testing.T) {
	pkt := (&Header{Kind: KindVideo, Stream: 1, Number: 2}).Append(nil)
	one := HashPacket(pkt)
	if got := hex.EncodeToString(one[:]); got != "1286038a54667a0e88c3" {
		t.Errorf("hash of a packet: %s", got)
	}
	two := HashPicture([]Hash{one, one})
	if got := hex.EncodeToString(two[:]); got != "863361340e4e724a9df8" {
		t.Errorf("hash of a picture: %s", got)
	}
	if pkt[0]>>6 == pictureDomain>>6 {
		t.Error("a packet begins as what a picture's hash is made of")
	}
	if swapped := HashPicture([]Hash{two, one}); swapped == HashPicture([]Hash{one, two}) {
		t.Error("the order of packets does not count")
	}
	if full := HashPicture(make([]Hash, MaxPicture)); full == HashPicture(make([]Hash, MaxPicture-1)) {
		t.Error("the number of packets does not count")
	}
}
