package room

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/wire"
)

// signer returns a signer for a user's device.
func signer(user byte) *wire.Signer {
	var sequence uint64
	return &wire.Signer{
		Device: key(100 + user), Certificate: wire.NewCertificate(key(user), public(100+user), testTime),
		Sequence: func() uint64 { sequence++; return sequence },
	}
}

func testSpec() RecordSpec {
	return RecordSpec{
		Name: "Lobby", Title: "The lobby", Mode: Broadcast, Delegates: []ed25519.PublicKey{public(2), public(3)}, Epoch: 5,
		Issued: testTime, Expires: testTime.Add(time.Hour), BudgetBps: 2_000_000,
	}
}

func mustRecord(t testing.TB, user byte, s RecordSpec) *Record {
	t.Helper()
	_, r, err := NewRecord(signer(user), s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRecordOfOwner(t *testing.T) {
	env, _, err := NewRecord(signer(1), testSpec())
	if err != nil {
		t.Fatal(err)
	}
	r, err := VerifyRecord(env, testTime.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if r.ID != testRoom || r.Name != "lobby" || r.Title != "The lobby" || r.Mode != Broadcast || r.Private || r.Epoch != 5 ||
		r.OwnerEpoch != 5 || !r.Issued.Equal(testTime) || !r.Expires.Equal(testTime.Add(time.Hour)) || r.BudgetBps != 2_000_000 ||
		!r.IsOwner(public(1)) || !r.IsDelegate(public(3)) || r.IsDelegate(public(4)) || !bytes.Equal(r.Envelope, env) {
		t.Errorf("record is %+v", r)
	}
	if _, err := VerifyRecord(env, testTime.Add(2*time.Hour)); !errors.Is(err, wire.ErrExpired) {
		t.Errorf("later: %v", err)
	}
	s := testSpec()
	s.Mode = ""
	if r := mustRecord(t, 1, s); r.Mode != Broadcast {
		t.Errorf("mode is %q", r.Mode)
	}
}

func TestRecordOfDelegate(t *testing.T) {
	owner := mustRecord(t, 1, testSpec())
	s := RecordSpec{Title: "While Ann is away", Epoch: 900, Issued: testTime, Expires: testTime.Add(2 * time.Hour), OwnerRecord: owner}
	r := mustRecord(t, 2, s)
	if r.ID != testRoom || r.Title != s.Title || r.Epoch != 900 || r.OwnerEpoch != 5 || !r.IsOwner(public(1)) || !r.IsDelegate(public(3)) {
		t.Errorf("record is %+v", r)
	}
	if _, _, err := NewRecord(signer(4), s); !errors.Is(err, ErrNotSigned) {
		t.Errorf("somebody else: %v", err)
	}
	// His power ends with the owner's record.
	if _, err := VerifyRecord(r.Envelope, testTime.Add(time.Hour+wire.Leeway+time.Second)); !errors.Is(err, wire.ErrExpired) {
		t.Errorf("later: %v", err)
	}
	// What a delegate signed is no owner's record for another delegate.
	s.OwnerRecord = r
	if _, _, err := NewRecord(signer(3), s); !errors.Is(err, ErrNotSigned) {
		t.Errorf("a delegate of a delegate: %v", err)
	}
}

func TestVerifyRecordRefuses(t *testing.T) {
	owner := mustRecord(t, 1, testSpec())
	other := testSpec()
	other.Name = "other"
	otherRoom := mustRecord(t, 1, other)
	good := func() *wire.RoomRecord {
		return &wire.RoomRecord{
			Owner: public(1), Name: "lobby", Mode: Broadcast, Epoch: 5, IssuedMs: testTime.UnixMilli(), ExpiresMs: testTime.Add(time.Hour).UnixMilli(),
		}
	}
	byDelegate := func(b *wire.RoomRecord) {
		b.OwnerRecord, b.BudgetBps, b.Delegates = owner.Envelope, owner.BudgetBps, [][]byte{public(2), public(3)}
	}
	for name, c := range map[string]struct {
		user   byte
		change func(b *wire.RoomRecord)
		want   error
	}{
		"good":                  {1, func(*wire.RoomRecord) {}, nil},
		"squatter":              {4, func(*wire.RoomRecord) {}, ErrNotSigned},
		"squatter as owner":     {4, func(b *wire.RoomRecord) { b.Owner = public(4) }, ErrRecord},
		"another name":          {1, func(b *wire.RoomRecord) { b.Name = "other" }, ErrRecord},
		"upper case":            {1, func(b *wire.RoomRecord) { b.Name = "Lobby" }, ErrRecord},
		"no name":               {1, func(b *wire.RoomRecord) { b.Name = "" }, ErrRecord},
		"short owner":           {1, func(b *wire.RoomRecord) { b.Owner = b.Owner[:31] }, ErrRecord},
		"mode":                  {1, func(b *wire.RoomRecord) { b.Mode = "webinar" }, ErrRecord},
		"long title":            {1, func(b *wire.RoomRecord) { b.Title = strings.Repeat("x", MaxTitle+1) }, ErrRecord},
		"title with escape":     {1, func(b *wire.RoomRecord) { b.Title = "\x1b]0;x" }, ErrRecord},
		"epoch":                 {1, func(b *wire.RoomRecord) { b.Epoch = 6 }, ErrRecord},
		"expiry":                {1, func(b *wire.RoomRecord) { b.ExpiresMs++ }, ErrRecord},
		"issued after its end":  {1, func(b *wire.RoomRecord) { b.IssuedMs = b.ExpiresMs + 1 }, ErrRecord},
		"short delegate":        {1, func(b *wire.RoomRecord) { b.Delegates = [][]byte{{1}} }, ErrRecord},
		"many delegates":        {1, func(b *wire.RoomRecord) { b.Delegates = make([][]byte, MaxDelegates+1) }, ErrRecord},
		"delegate":              {2, byDelegate, nil},
		"no delegate":           {4, byDelegate, ErrNotSigned},
		"of another room":       {2, func(b *wire.RoomRecord) { byDelegate(b); b.OwnerRecord = otherRoom.Envelope }, ErrNotSigned},
		"garbled owner's":       {2, func(b *wire.RoomRecord) { byDelegate(b); b.OwnerRecord = []byte{1} }, wire.ErrEnvelope},
		"delegate changes mode": {2, func(b *wire.RoomRecord) { byDelegate(b); b.Mode = Conference }, ErrRecord},
		"delegate opens":        {2, func(b *wire.RoomRecord) { byDelegate(b); b.Private = true }, ErrRecord},
		"delegate appoints":     {2, func(b *wire.RoomRecord) { byDelegate(b); b.Delegates = append(b.Delegates, public(4)) }, ErrRecord},
		"delegate's budget":     {2, func(b *wire.RoomRecord) { byDelegate(b); b.BudgetBps++ }, ErrRecord},
	} {
		b := good()
		c.change(b)
		env, err := signer(c.user).Seal(testRoom, wire.Type_ROOM_RECORD, 5, testTime.Add(time.Hour), b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := VerifyRecord(env, testTime); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	for name, env := range map[string]func() ([]byte, error){
		"another type": func() ([]byte, error) {
			return signer(1).Seal(testRoom, wire.Type_BEACON, 5, testTime.Add(time.Hour), good())
		},
		"no certificate": func() ([]byte, error) {
			s := signer(1)
			s.Certificate = nil
			return s.Seal(testRoom, wire.Type_ROOM_RECORD, 5, testTime.Add(time.Hour), good())
		},
	} {
		b, err := env()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := VerifyRecord(b, testTime); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := NewRecord(signer(1), RecordSpec{Name: "a b"}); err == nil {
		t.Error("made a record of a room without a proper name")
	}
}

func TestNewer(t *testing.T) {
	made := func(user byte, change func(s *RecordSpec)) *Record {
		s := testSpec()
		change(&s)
		return mustRecord(t, user, s)
	}
	old := made(1, func(*RecordSpec) {})
	order := []*Record{ // from old to new
		old,
		made(1, func(s *RecordSpec) { s.Issued = s.Issued.Add(time.Second) }),
		made(2, func(s *RecordSpec) {
			*s = RecordSpec{Epoch: 6, Issued: testTime, Expires: testTime.Add(time.Hour), OwnerRecord: old}
		}),
		made(2, func(s *RecordSpec) {
			*s = RecordSpec{Epoch: 1 << 63, Issued: testTime, Expires: testTime.Add(time.Hour), OwnerRecord: old}
		}),
		made(1, func(s *RecordSpec) { s.Epoch = 6 }), // the owner is back
	}
	for i, a := range order {
		if !Newer(a, nil) {
			t.Error("not newer than nothing")
		}
		for j, b := range order {
			if got := Newer(a, b); got != (i > j) {
				t.Errorf("Newer(%d, %d) = %v", i, j, got)
			}
		}
	}
	twin := made(1, func(s *RecordSpec) { s.Title = "twin" })
	if Newer(twin, old) == Newer(old, twin) {
		t.Error("peers would not agree about two records of the same moment")
	}
}

func FuzzVerifyRecord(f *testing.F) {
	body, err := proto.Marshal(&wire.RoomRecord{Owner: public(1), Name: "lobby", Mode: Broadcast, Epoch: 5,
		IssuedMs: testTime.UnixMilli(), ExpiresMs: testTime.Add(time.Hour).UnixMilli()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Fuzz(func(t *testing.T, body []byte) {
		_, _ = VerifyRecord(body, testTime)
		// Signed by a user who owns nothing: whatever it says, it is not of the test's room.
		var b wire.RoomRecord
		if proto.Unmarshal(body, &b) != nil {
			return
		}
		env, err := signer(4).Seal(testRoom, wire.Type_ROOM_RECORD, b.Epoch, time.UnixMilli(b.ExpiresMs), &b)
		if err != nil {
			return
		}
		if r, err := VerifyRecord(env, testTime); err == nil {
			t.Fatalf("accepted %+v", r)
		}
	})
}
