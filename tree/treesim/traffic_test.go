package treesim

import (
	"crypto/ed25519"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree"
	"github.com/castd/castd/tree/coord"
)

// The sizes that messages are taken to have are those that they have.
func TestSizes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	id := func() []byte { return make([]byte, idSize) }
	addrs := [][]byte{make([]byte, 14), make([]byte, 14), make([]byte, 14)}
	var state coord.State
	state.Learn(50*time.Millisecond, coord.Coord{Vec: [4]float32{1, 2, 3, 4}, Height: 3, Err: 0.5}, r)
	for range 300 {
		place := coord.Coord{}
		if r.IntN(2) == 0 {
			place = state.Coord()
		}
		delay := time.Duration(r.IntN(3)) * time.Duration(r.IntN(500_000)) * time.Microsecond
		us := uint32(delay.Microseconds())
		age := time.Duration(r.IntN(3)) * time.Duration(r.IntN(100_000)) * time.Millisecond
		nonce := r.Uint64() >> r.IntN(64)
		slots, free := uint32(r.IntN(3)*r.IntN(300)), uint32(r.IntN(3)*r.IntN(300))
		var path []tree.ID
		var wirePath [][]byte
		for range r.IntN(tree.MaxPath) {
			path, wirePath = append(path, "12345678"), append(wirePath, id())
		}
		var list []tree.Candidate
		var wireList []*wire.Candidate
		for range r.IntN(9) {
			c := tree.Candidate{Peer: "12345678", Depth: uint32(r.IntN(9)), Free: free, Slots: slots, Delay: delay, Coord: place, Branch: uint32(r.IntN(2)), Age: age}
			list = append(list, c)
			wireList = append(wireList, &wire.Candidate{
				Peer: id(), Addrs: addrs, Depth: c.Depth, Free: c.Free, Slots: c.Slots, DelayUs: us, Coord: place.Append(nil), Branch: c.Branch, AgeMs: uint32(age.Milliseconds()),
			})
		}
		at := place.Append(nil)
		for _, c := range []struct {
			m tree.Message
			w *wire.TreeMessage
		}{
			{
				&tree.MsgProbe{Nonce: nonce, Slots: slots, Coord: place, Below: free},
				&wire.TreeMessage{Message: &wire.TreeMessage_Probe{Probe: &wire.Probe{Nonce: nonce, Slots: slots, Coord: at, Below: free}}},
			},
			{
				&tree.MsgProbeReply{Nonce: nonce, Free: free, Reserve: slots, Path: path, Candidates: list, Delay: delay, Coord: place, Spare: free},
				&wire.TreeMessage{Message: &wire.TreeMessage_ProbeReply{ProbeReply: &wire.ProbeReply{
					Nonce: nonce, Free: free, Reserve: slots, Path: wirePath, Candidates: wireList, DelayUs: us, Coord: at, Spare: free,
				}}},
			},
			{
				&tree.MsgJoin{Nonce: nonce, Kind: tree.Orphan, Slots: slots, Avoid: path, Coord: place, Below: free, Accused: path, Waits: free},
				&wire.TreeMessage{Message: &wire.TreeMessage_Join{Join: &wire.Join{
					Nonce: nonce, Kind: wire.ChildKind_ORPHAN, Slots: slots, Avoid: wirePath, Addrs: addrs, Coord: at, Below: free, Accused: wirePath, WaitsS: free,
				}}},
			},
			{
				&tree.MsgAccept{Nonce: nonce, Path: path, PathSeq: nonce, Candidates: list, Delay: delay, Copy: tree.CopyAudio},
				&wire.TreeMessage{Message: &wire.TreeMessage_Accept{Accept: &wire.Accept{
					Nonce: nonce, Path: wirePath, PathSeq: nonce, Candidates: wireList, DelayUs: us, Copy: wire.Copy_COPY_AUDIO,
				}}},
			},
			{
				&tree.MsgRefuse{Nonce: nonce, Reason: tree.RefuseFull, Candidates: list},
				&wire.TreeMessage{Message: &wire.TreeMessage_Refuse{Refuse: &wire.Refuse{Nonce: nonce, Reason: tree.RefuseFull, Candidates: wireList}}},
			},
			{&tree.MsgConfirm{Nonce: nonce}, &wire.TreeMessage{Message: &wire.TreeMessage_Confirm{Confirm: &wire.Confirm{Nonce: nonce}}}},
			{
				&tree.MsgLeave{Reason: tree.LeaveMoved, Candidates: list},
				&wire.TreeMessage{Message: &wire.TreeMessage_Leave{Leave: &wire.Leave{Reason: tree.LeaveMoved, Candidates: wireList}}},
			},
			{
				&tree.MsgPath{Path: path, PathSeq: nonce, Candidates: list, Delay: delay},
				&wire.TreeMessage{Message: &wire.TreeMessage_Path{Path: &wire.Path{Path: wirePath, PathSeq: nonce, Candidates: wireList, DelayUs: us}}},
			},
		} {
			if got, want := size(c.m), proto.Size(c.w); got != want {
				t.Fatalf("%T %+v: size %d, on the wire %d", c.m, c.m, got, want)
			}
		}
	}
}

// What is around a message weighs about as much as it is taken to.
func TestEnvelopeSize(t *testing.T) {
	user, device := make([]byte, 32), ed25519.NewKeyFromSeed(make([]byte, 32))
	cert := &wire.DeviceCertificate{User: user, Device: device.Public().(ed25519.PublicKey), IssuedMs: time.Now().UnixMilli(), Signature: make([]byte, 64)}
	s := wire.Signer{Device: device, Certificate: cert, Sequence: func() uint64 { return uint64(time.Now().UnixNano()) }}
	body := &wire.TreeMessage{Message: &wire.TreeMessage_Confirm{Confirm: &wire.Confirm{Nonce: 1 << 60}}}
	b, err := s.Seal(wire.RoomID("abcdefghijklmnopqrstuvwxyz"), wire.Type_TREE, 1, time.Now(), body)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(b) - proto.Size(body); got < envelope*9/10 || got > envelope*11/10 {
		t.Errorf("an envelope has %d octets, it is taken to have %d", got, envelope)
	}
	advert, err := s.Seal(wire.RoomID("abcdefghijklmnopqrstuvwxyz"), wire.Type_ADVERT, 1, time.Now(), body)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(b) - len(advert); got < certificate*9/10 || got > certificate*11/10 {
		t.Errorf("a certificate has %d octets, it is taken to have %d", got, certificate)
	}
}

// What the sorts of control traffic take adds up to what all of it takes.
func TestControlBySort(t *testing.T) {
	r := run(t, Config{Scenario: "steady", Peers: 60, Minutes: 1, Seed: 1})
	var all, leaf, giver float64
	for _, c := range r.ControlBySort {
		all, leaf, giver = all+c.All, leaf+c.Leaf, giver+c.Giver
	}
	for _, c := range []struct {
		what      string
		sum, want float64
	}{{"everybody", all, r.Control}, {"a leaf", leaf, r.ControlLeaf}, {"a peer that feeds", giver, r.ControlGiver}} {
		if c.want == 0 || math.Abs(c.sum-c.want) > 0.01*float64(len(r.ControlBySort)) { // they are rounded
			t.Errorf("%s: the sorts add up to %.3f %%, want %.3f %%", c.what, c.sum, c.want)
		}
	}
}
