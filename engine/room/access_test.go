package room

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/wire"
)

func privateRecord(t testing.TB) *Record {
	s := testSpec()
	s.Private = true
	return mustRecord(t, 1, s)
}

func accessSpec(number uint64, revoked ...Revocation) AccessSpec {
	return AccessSpec{
		Number: number, Generation: 3, Commitment: make([]byte, CommitmentSize), Made: testTime, Expires: testTime.Add(time.Hour), Revoked: revoked,
	}
}

func mustAccess(t testing.TB, user byte, rec *Record, s AccessSpec) *Access {
	t.Helper()
	a, err := NewAccess(signer(user), rec, s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func nonce(n byte) []byte { return bytes.Repeat([]byte{n}, NonceSize) }

func idOf(n byte) string { return InviteID(&wire.Link{Nonce: nonce(n)}) }

func TestInviteID(t *testing.T) {
	for n := range byte(20) {
		if got, ok := ParseInviteID(idOf(n)); !ok || !bytes.Equal(got, nonce(n)) {
			t.Errorf("%q is %x, %v", idOf(n), got, ok)
		}
	}
	for _, s := range []string{"", "a", "aaaaaaaaaaaa", "aaaaaaaaaaaab", "AAAAAAAAAAAAA", wire.ParticipantID(public(1))} {
		if _, ok := ParseInviteID(s); ok {
			t.Errorf("%q is an id", s)
		}
	}
	if InviteID(&wire.Link{Nonce: []byte{1}}) != "" || InviteID(nil) != "" {
		t.Error("a link without a nonce of that length has an id")
	}
}

func TestAccessIsSigned(t *testing.T) {
	rec := privateRecord(t)
	v := Revocation{Invite: idOf(7), Rights: Speak, At: testTime, Expires: testTime.Add(time.Hour)}
	w := Revocation{Participant: wire.ParticipantID(public(4)), At: testTime}
	a := mustAccess(t, 1, rec, accessSpec(9, v, w))
	if a.Number != 9 || a.Generation != 3 || !a.ByOwner || len(a.Revoked) != 2 || !a.Holds(v) || !a.Holds(w) || len(a.Hash()) != 16 {
		t.Errorf("list is %+v", a)
	}
	if b := mustAccess(t, 2, rec, accessSpec(9)); b.ByOwner {
		t.Error("a delegate's list is the owner's")
	}
	if _, err := NewAccess(signer(4), rec, accessSpec(9)); !errors.Is(err, ErrNotSigned) {
		t.Errorf("somebody's: %v", err)
	}
	other := testSpec()
	other.Name = "other"
	if _, err := VerifyAccess(a.Envelope, mustRecord(t, 1, other), testTime); !errors.Is(err, ErrNotSigned) {
		t.Errorf("of another room: %v", err)
	}
	if _, err := VerifyAccess(a.Envelope, rec, testTime.Add(3*time.Hour)); !errors.Is(err, wire.ErrExpired) {
		t.Errorf("expired: %v", err)
	}
	if _, err := VerifyAccess(rec.Envelope, rec, testTime); !errors.Is(err, ErrNotSigned) {
		t.Errorf("a record: %v", err)
	}
	damaged := bytes.Clone(a.Envelope)
	damaged[len(damaged)/2] ^= 1
	if _, err := VerifyAccess(damaged, rec, testTime); err == nil {
		t.Error("a damaged list verifies")
	}
	for name, s := range map[string]AccessSpec{
		"no number":             accessSpec(0),
		"revocation of nobody":  accessSpec(1, Revocation{}),
		"of an id that is none": accessSpec(1, Revocation{Invite: "what"}),
		"of both":               accessSpec(1, Revocation{Invite: idOf(1), Participant: w.Participant}),
		"of no participant":     accessSpec(1, Revocation{Participant: "Ann"}),
		"short commitment":      {Number: 1, Generation: 1, Commitment: []byte{1}, Made: testTime, Expires: testTime.Add(time.Hour)},
		"commitment to nothing": {Number: 1, Commitment: make([]byte, CommitmentSize), Made: testTime, Expires: testTime.Add(time.Hour)},
	} {
		if _, err := NewAccess(signer(1), rec, s); !errors.Is(err, ErrAccess) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewAccess(signer(1), rec, accessSpec(1, slices.Repeat([]Revocation{v}, MaxRevoked+1)...)); !errors.Is(err, ErrAccessFull) {
		t.Errorf("too many: %v", err)
	}
	// The longest list there may be still fits.
	var many []Revocation
	for i := range MaxRevoked {
		many = append(many, Revocation{Participant: wire.ParticipantID(public(byte(i))), Rights: All, At: testTime, Expires: testTime.Add(time.Hour)})
	}
	mustAccess(t, 1, rec, accessSpec(1<<62, many...))
}

func TestNewerAccess(t *testing.T) {
	rec := privateRecord(t)
	old, owner, delegate := mustAccess(t, 2, rec, accessSpec(1)), mustAccess(t, 1, rec, accessSpec(2)), mustAccess(t, 2, rec, accessSpec(2))
	other := mustAccess(t, 1, rec, accessSpec(2, Revocation{Invite: idOf(1)}))
	for _, c := range []struct {
		name string
		a, b *Access
		want bool
	}{
		{"the first", old, nil, true}, {"a larger number", delegate, old, true}, {"a smaller one", old, owner, false},
		{"the owner's", owner, delegate, true}, {"a delegate's", delegate, owner, false}, {"itself", owner, owner, false},
	} {
		if got := NewerAccess(c.a, c.b); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if NewerAccess(owner, other) == NewerAccess(other, owner) {
		t.Error("two lists of one number are not in any order")
	}
}

// Whatever lists are merged in whatever order, nothing that one of them took back and that has not ended is missing.
func TestMergeLosesNothing(t *testing.T) {
	rec := privateRecord(t)
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		some := func() []Revocation {
			var all []Revocation
			for range rnd.IntN(6) {
				v := Revocation{At: testTime.Add(time.Duration(rnd.IntN(5)) * time.Second)}
				if rnd.IntN(2) == 0 {
					v.Invite = idOf(byte(rnd.IntN(5)))
				} else {
					v.Participant = wire.ParticipantID(public(byte(2 + rnd.IntN(5))))
				}
				if rnd.IntN(3) == 0 {
					v.Rights = Speak
				}
				if rnd.IntN(4) == 0 {
					v.Expires = testTime.Add(-time.Hour)
				}
				all = append(all, v)
			}
			return all
		}
		a, b := mustAccess(t, 1, rec, accessSpec(1, some()...)), mustAccess(t, 2, rec, accessSpec(1, some()...))
		ab, more := a.Merge(b, testTime)
		ba, _ := b.Merge(a, testTime)
		both := mustAccess(t, 1, rec, accessSpec(2, ab...))
		for _, v := range append(slices.Clone(a.Revoked), b.Revoked...) {
			if v.Expires.IsZero() && !both.Holds(v) {
				t.Fatalf("seed %d: %+v is lost", seed, v)
			}
			if !v.Expires.IsZero() && slices.ContainsFunc(ab, func(o Revocation) bool { return o == v }) {
				t.Fatalf("seed %d: %+v has ended", seed, v)
			}
		}
		if len(ab) != len(ba) {
			t.Fatalf("seed %d: %d and %d revocations", seed, len(ab), len(ba))
		}
		if again, m := both.Merge(b, testTime); m || len(again) > len(ab) {
			t.Fatalf("seed %d: the merged list still lacks something", seed)
		}
		_ = more
	}
	var none *Access
	if all, more := none.Merge(nil, testTime); all != nil || more {
		t.Error("nothing and nothing is something")
	}
}

func FuzzAccess(f *testing.F) {
	rec := privateRecord(f)
	a := mustAccess(f, 1, rec, accessSpec(1, Revocation{Invite: idOf(1)}))
	m, err := wire.ReadEnvelope(a.Envelope)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m.Body)
	s := signer(1)
	f.Fuzz(func(t *testing.T, body []byte) {
		var b wire.Access
		if proto.Unmarshal(body, &b) != nil {
			return
		}
		env, err := s.Seal(testRoom, wire.Type_ACCESS, 0, testTime.Add(time.Hour), &b)
		if err != nil {
			return
		}
		a, err := VerifyAccess(env, rec, testTime)
		if err != nil {
			return
		}
		if a.Number == 0 || len(a.Revoked) > MaxRevoked {
			t.Fatalf("%+v", a)
		}
		p := Policy{Record: rec, Access: a}
		if rights, _ := p.Check(ed25519.PublicKey(public(4)), nil, testTime); rights != 0 {
			t.Fatalf("a stranger has %v", rights)
		}
		if _, more := a.Merge(a, testTime); more {
			t.Fatal("a list lacks what it has")
		}
	})
}
