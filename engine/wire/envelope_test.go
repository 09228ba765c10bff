package wire

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

var testTime = time.UnixMilli(1_900_000_000_123)

const testRoom = RoomID("abcdefghijklmnopqrstuvwxyz")

func testKey(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func testPublic(n byte) ed25519.PublicKey { return testKey(n).Public().(ed25519.PublicKey) }

// testSigner signs with device key 2 of user key 1.
func testSigner() *Signer {
	var sequence uint64
	return &Signer{
		Device: testKey(2), Certificate: NewCertificate(testKey(1), testPublic(2), testTime),
		Sequence: func() uint64 { sequence++; return sequence },
	}
}

func mustSeal(t testing.TB, s *Signer, typ Type, body proto.Message) []byte {
	t.Helper()
	env, err := s.Seal(testRoom, typ, 9, testTime.Add(time.Minute), body)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

func TestEnvelopeOpens(t *testing.T) {
	s := testSigner()
	env := mustSeal(t, s, Type_ROOM_QUERY, &RoomQuery{Room: "lobby"})
	m, err := OpenEnvelope(env, testTime)
	if err != nil {
		t.Fatal(err)
	}
	clear(env) // nothing may alias it
	var q RoomQuery
	if err := proto.Unmarshal(m.Body, &q); err != nil || q.Room != "lobby" {
		t.Errorf("body is %v, %v", &q, err)
	}
	if m.Room != testRoom || m.Type != Type_ROOM_QUERY || !bytes.Equal(m.Device, testPublic(2)) || !bytes.Equal(m.User, testPublic(1)) ||
		m.Sequence != 1 || m.Epoch != 9 || !m.Expires.Equal(testTime.Add(time.Minute)) {
		t.Errorf("message is %+v", m)
	}
	if !bytes.Equal(s.User(), testPublic(1)) || !bytes.Equal(s.Public(), testPublic(2)) {
		t.Error("the signer names other keys")
	}
}

func TestEnvelopeExpires(t *testing.T) {
	env := mustSeal(t, testSigner(), Type_BEACON, &Beacon{})
	end := testTime.Add(time.Minute)
	for _, c := range []struct {
		now  time.Time
		want error
	}{
		{end.Add(-365 * 24 * time.Hour), nil}, // a clock that is behind
		{end, nil},
		{end.Add(Leeway), nil},
		{end.Add(Leeway + time.Millisecond), ErrExpired},
	} {
		if _, err := OpenEnvelope(env, c.now); !errors.Is(err, c.want) {
			t.Errorf("%v after the end: %v", c.now.Sub(end), err)
		}
	}
}

// Whatever is changed, the envelope does not open, or says just the same.
func TestEnvelopeDoesNotOpenWhenChanged(t *testing.T) {
	env := mustSeal(t, testSigner(), Type_BEACON, &Beacon{Audience: 7})
	want, err := OpenEnvelope(env, testTime)
	if err != nil {
		t.Fatal(err)
	}
	for i := range env {
		for bit := range 8 {
			bad := bytes.Clone(env)
			bad[i] ^= 1 << bit
			if m, err := OpenEnvelope(bad, testTime); err == nil && !bytes.Equal(m.Body, want.Body) {
				t.Fatalf("octet %d changed: opens as %+v", i, m)
			}
		}
		if _, err := OpenEnvelope(env[:i], testTime); err == nil {
			t.Fatalf("opens when cut to %d octets", i)
		}
	}
}

// sealRaw signs s as it is.
func sealRaw(t testing.TB, s *Signed) []byte {
	t.Helper()
	signed, err := proto.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	env, err := proto.Marshal(&Envelope{Signed: signed, Signature: sign(testKey(2), envelopeDomain, signed)})
	if err != nil {
		t.Fatal(err)
	}
	return env
}

func TestOpenEnvelopeRefuses(t *testing.T) {
	certificate := func(change func(c *DeviceCertificate)) []byte {
		c := NewCertificate(testKey(1), testPublic(2), testTime)
		change(c)
		b, err := proto.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, c := range map[string]struct {
		change func(s *Signed)
		want   error
	}{
		"nothing wrong":       {func(*Signed) {}, nil},
		"no room":             {func(s *Signed) { s.Room = "" }, nil},
		"room":                {func(s *Signed) { s.Room = "Lobby" }, ErrEnvelope},
		"short device key":    {func(s *Signed) { s.Device = s.Device[:31] }, ErrEnvelope},
		"another device":      {func(s *Signed) { s.Device = testPublic(3) }, ErrSignature},
		"garbled certificate": {func(s *Signed) { s.Certificate = []byte{0xFF} }, ErrCertificate},
		"another's": {func(s *Signed) {
			s.Certificate = certificate(func(c *DeviceCertificate) {
				proto.Reset(c)
				proto.Merge(c, NewCertificate(testKey(1), testPublic(3), testTime))
			})
		}, ErrCertificate},
		"another user's":       {func(s *Signed) { s.Certificate = certificate(func(c *DeviceCertificate) { c.User = testPublic(3) }) }, ErrCertificate},
		"another time":         {func(s *Signed) { s.Certificate = certificate(func(c *DeviceCertificate) { c.IssuedMs++ }) }, ErrCertificate},
		"unsigned certificate": {func(s *Signed) { s.Certificate = certificate(func(c *DeviceCertificate) { c.Signature = nil }) }, ErrCertificate},
		"certificate of old":   {func(s *Signed) { s.ExpiresMs = -1 << 63 }, ErrExpired},
	} {
		s := &Signed{
			Room: string(testRoom), Type: Type_BEACON, Device: testPublic(2), Certificate: certificate(func(*DeviceCertificate) {}),
			ExpiresMs: testTime.UnixMilli(),
		}
		c.change(s)
		if _, err := OpenEnvelope(sealRaw(t, s), testTime); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := OpenEnvelope(make([]byte, MaxEnvelope+1), testTime); !errors.Is(err, ErrEnvelope) {
		t.Errorf("an envelope over the limit: %v", err)
	}
	if _, err := testSigner().Seal("", Type_BEACON, 0, testTime, &RoomQuery{Room: string(make([]byte, MaxEnvelope))}); err == nil {
		t.Error("sealed a message over the limit")
	}
}

// A signature for one purpose is none for another, whatever stands in the bytes.
func TestDomainsAreApart(t *testing.T) {
	b := []byte("the same bytes")
	domains := []string{envelopeDomain, deviceDomain, ManifestDomain}
	for _, made := range domains {
		signature := sign(testKey(1), made, b)
		for _, asked := range domains {
			if got := verify(testPublic(1), asked, b, signature); got != (made == asked) {
				t.Errorf("made for %q, asked for %q: %v", made, asked, got)
			}
		}
	}
}

// An envelope without a certificate names no user.
func TestEnvelopeWithoutCertificate(t *testing.T) {
	s := testSigner()
	s.Certificate = nil
	m, err := OpenEnvelope(mustSeal(t, s, Type_TREE, &TreeMessage{}), testTime)
	if err != nil || m.User != nil {
		t.Errorf("user is %x, %v", m.User, err)
	}
}

// GREASE: fields and types of a newer castd are skipped, and its signatures hold.
func TestUnknownFieldsAndTypes(t *testing.T) {
	grease := protowire.AppendVarint(protowire.AppendTag(nil, 4242, protowire.VarintType), 7)
	grease = protowire.AppendString(protowire.AppendTag(grease, 536870911, protowire.BytesType), "new")
	body := &TreeMessage{Message: &TreeMessage_Probe{Probe: &Probe{Nonce: 5}}}
	body.ProtoReflect().SetUnknown(grease)
	body.GetProbe().ProtoReflect().SetUnknown(grease)
	b, err := proto.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	s := &Signed{Room: string(testRoom), Type: 4242, Device: testPublic(2), ExpiresMs: testTime.UnixMilli(), Body: b}
	s.ProtoReflect().SetUnknown(grease)
	m, err := OpenEnvelope(append(sealRaw(t, s), grease...), testTime)
	if err != nil || m.Type != 4242 || m.Room != testRoom {
		t.Fatalf("%+v, %v", m, err)
	}
	var got TreeMessage
	if err := proto.Unmarshal(m.Body, &got); err != nil || got.GetProbe().GetNonce() != 5 {
		t.Errorf("body is %v, %v", &got, err)
	}
	// A message of a kind that is not known is empty, not an error.
	var empty TreeMessage
	if err := proto.Unmarshal(grease, &empty); err != nil || empty.Message != nil {
		t.Errorf("a message of an unknown kind: %v, %v", &empty, err)
	}
}

func FuzzOpenEnvelope(f *testing.F) {
	good := mustSeal(f, testSigner(), Type_BEACON, &Beacon{Audience: 7})
	f.Add(good)
	var e Envelope
	if err := proto.Unmarshal(good, &e); err != nil {
		f.Fatal(err)
	}
	f.Add(e.Signed)
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := OpenEnvelope(b, testTime); err == nil && (m.Type != Type_BEACON || m.Sequence != 1) {
			t.Fatalf("a forged envelope opens: %+v", m)
		}
		// And with a signature that holds.
		if env, err := proto.Marshal(&Envelope{Signed: b, Signature: sign(testKey(2), envelopeDomain, b)}); err == nil {
			m, err := OpenEnvelope(env, testTime)
			if err == nil && (!bytes.Equal(m.Device, testPublic(2)) || m.User != nil && !bytes.Equal(m.User, testPublic(1))) {
				t.Fatalf("in the name of another: %+v", m)
			}
		}
	})
}
