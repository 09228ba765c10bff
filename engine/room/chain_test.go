package room

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/wire"
)

var testTime = time.UnixMilli(1_900_000_000_000)

func key(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func public(n byte) ed25519.PublicKey { return key(n).Public().(ed25519.PublicKey) }

// Users of the tests: 1 owns the room, 2 to 9 are others; devices are 100 and the user.
var testRoom = wire.NewRoomID(public(1), "lobby")

func TestRightsAsText(t *testing.T) {
	for _, c := range []struct {
		r    Rights
		text string
	}{{0, "none"}, {Listen, "listen"}, {Speak | Video, "speak,video"}, {All, "listen,speak,video,relay,mix,record,moderate,call-out"}} {
		if c.r.String() != c.text {
			t.Errorf("%b is %q", c.r, c.r)
		}
		if got, err := ParseRights(c.text); err != nil || got != c.r {
			t.Errorf("%q is %v, %v", c.text, got, err)
		}
	}
	if got, err := ParseRights(" Speak, VIDEO "); err != nil || got != Speak|Video {
		t.Errorf("%v, %v", got, err)
	}
	for _, s := range []string{"", "speak,", "shout", "listen;speak"} {
		if _, err := ParseRights(s); err == nil {
			t.Errorf("%q is a right", s)
		}
	}
	if got := (Speak | 1<<30).String(); got != "speak,0x40000000" {
		t.Errorf("a right of a newer castd reads %q", got)
	}
	// Their bits are part of signed links.
	if Listen != 1 || Speak != 2 || Video != 4 || Relay != 8 || Mix != 16 || Recording != 32 || Moderate != 64 || CallOut != 128 {
		t.Error("bits have moved")
	}
}

func extend(t *testing.T, c *wire.Chain, signer byte, l LinkSpec) *wire.Chain {
	t.Helper()
	out, err := Extend(c, key(signer), testRoom, l)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func longChain(t *testing.T) *wire.Chain {
	c := NewChain(key(1), testRoom, LinkSpec{
		Subject: public(2), Rights: All, NotBefore: testTime.Add(-time.Hour), Expires: testTime.Add(time.Hour), EpochFloor: 3, Nonce: []byte{1},
	})
	c = extend(t, c, 2, LinkSpec{Subject: public(3), Rights: Listen | Speak | Video})
	c = extend(t, c, 3, LinkSpec{Subject: public(4), Rights: Listen | Speak, Expires: testTime.Add(time.Minute)})
	return extend(t, c, 4, LinkSpec{Subject: public(5), Rights: Speak, EpochFloor: 5})
}

func TestChainVerifies(t *testing.T) {
	c := longChain(t)
	for n, want := range []Rights{All, Listen | Speak | Video, Listen | Speak, Speak} {
		part := &wire.Chain{Links: c.Links[:n+1]}
		got, err := VerifyChain(part, testRoom, public(1), public(byte(2+n)), testTime, 5)
		if err != nil || got != want {
			t.Errorf("%d links give %v, %v; want %v", n+1, got, err, want)
		}
	}
	if _, err := Extend(c, key(5), testRoom, LinkSpec{Subject: public(6), Rights: Speak}); !errors.Is(err, ErrChain) {
		t.Errorf("a fifth link: %v", err)
	}
}

func TestChainRefuses(t *testing.T) {
	end := testTime.Add(time.Minute)
	other := wire.NewRoomID(public(1), "other")
	for name, c := range map[string]struct {
		change  func(c *wire.Chain)
		id      wire.RoomID
		owner   byte
		subject byte
		now     time.Time
		epoch   uint64
		want    error
	}{
		"good":            {},
		"at the end":      {now: end.Add(wire.Leeway)},
		"another room":    {id: other, want: ErrChainSigned},
		"another owner":   {owner: 2, want: ErrChainSigned},
		"another subject": {subject: 6, want: ErrChainSubject},
		"an earlier one":  {subject: 4, want: ErrChainSubject},
		"expired":         {now: end.Add(wire.Leeway + time.Second), want: ErrChainExpired},
		"early":           {now: testTime.Add(-2 * time.Hour), want: ErrChainEarly},
		"old epoch":       {epoch: 4, want: ErrChainEarly},
		"no links":        {change: func(c *wire.Chain) { c.Links = nil }, want: ErrChain},
		"five links":      {change: func(c *wire.Chain) { c.Links = append(c.Links, c.Links[3]) }, want: ErrChain},
		"empty link":      {change: func(c *wire.Chain) { c.Links[1] = &wire.Link{} }, want: ErrChain},
		"long nonce":      {change: func(c *wire.Chain) { c.Links[0].Nonce = make([]byte, 33) }, want: ErrChain},
		"more rights":     {change: func(c *wire.Chain) { c.Links[3].Rights |= uint32(Moderate) }, want: ErrChainWidens},
		"more time":       {change: func(c *wire.Chain) { c.Links[3].ExpiresMs++ }, want: ErrChainWidens},
		"for ever":        {change: func(c *wire.Chain) { c.Links[3].ExpiresMs = 0 }, want: ErrChainWidens},
		"earlier":         {change: func(c *wire.Chain) { c.Links[3].NotBeforeMs-- }, want: ErrChainWidens},
		"lower floor":     {change: func(c *wire.Chain) { c.Links[1].EpochFloor-- }, want: ErrChainWidens},
		"fewer rights":    {change: func(c *wire.Chain) { c.Links[3].Rights = 0 }, want: ErrChainSigned},
		"first changed":   {change: func(c *wire.Chain) { c.Links[0].Nonce[0]++ }, want: ErrChainSigned},
		"link left out":   {change: func(c *wire.Chain) { c.Links = append(c.Links[:1], c.Links[2:]...) }, want: ErrChainSigned},
		"first link only": {change: func(c *wire.Chain) { c.Links = c.Links[3:] }, want: ErrChainSigned},
		"swapped signature": {change: func(c *wire.Chain) {
			c.Links[2].Signature, c.Links[3].Signature = c.Links[3].Signature, c.Links[2].Signature
		}, want: ErrChainSigned},
	} {
		chain := longChain(t)
		if c.change != nil {
			c.change(chain)
		}
		if c.id == "" {
			c.id = testRoom
		}
		if c.owner == 0 {
			c.owner = 1
		}
		if c.subject == 0 {
			c.subject = 5
		}
		if c.now.IsZero() {
			c.now = testTime
		}
		if c.epoch == 0 {
			c.epoch = 5
		}
		if _, err := VerifyChain(chain, c.id, public(c.owner), public(c.subject), c.now, c.epoch); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := VerifyChain(nil, testRoom, public(1), public(2), testTime, 0); !errors.Is(err, ErrChain) {
		t.Errorf("no chain: %v", err)
	}
	if _, err := VerifyChain(&wire.Chain{Links: []*wire.Link{nil}}, testRoom, public(1), nil, testTime, 0); !errors.Is(err, ErrChain) {
		t.Errorf("a nil link: %v", err)
	}
}

// A link may not be taken over into another chain, even if all else is equal.
func TestLinksHoldInTheirChainOnly(t *testing.T) {
	first := LinkSpec{Subject: public(2), Rights: All}
	a := NewChain(key(1), testRoom, first)
	first.Nonce = []byte{1}
	b := NewChain(key(1), testRoom, first)
	a = extend(t, a, 2, LinkSpec{Subject: public(3), Rights: Speak})
	b = extend(t, b, 2, LinkSpec{Subject: public(3), Rights: Listen})
	b.Links[1] = a.Links[1]
	if _, err := VerifyChain(b, testRoom, public(1), public(3), testTime, 0); !errors.Is(err, ErrChainSigned) {
		t.Errorf("got %v", err)
	}
}

func TestExtendRefuses(t *testing.T) {
	c := NewChain(key(1), testRoom, LinkSpec{Subject: public(2), Rights: Listen, Expires: testTime, NotBefore: testTime.Add(-time.Hour), EpochFloor: 2, Uses: 5})
	for name, l := range map[string]LinkSpec{
		"rights": {Subject: public(3), Rights: Listen | Speak},
		"time":   {Subject: public(3), Expires: testTime.Add(time.Second)},
		"start":  {Subject: public(3), NotBefore: testTime.Add(-2 * time.Hour)},
		"uses":   {Subject: public(3), Uses: 6},
	} {
		if _, err := Extend(c, key(2), testRoom, l); !errors.Is(err, ErrChainWidens) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Extend(c, key(3), testRoom, LinkSpec{Subject: public(3)}); !errors.Is(err, ErrChainSubject) {
		t.Errorf("another signer: %v", err)
	}
	if _, err := Extend(nil, key(3), testRoom, LinkSpec{Subject: public(3)}); !errors.Is(err, ErrChain) {
		t.Errorf("no chain: %v", err)
	}
	longer := extend(t, c, 2, LinkSpec{Subject: public(3), Rights: Listen})
	l := longer.Links[1]
	if l.ExpiresMs != c.Links[0].ExpiresMs || l.NotBeforeMs != c.Links[0].NotBeforeMs || l.EpochFloor != 2 || l.Uses != 5 || len(c.Links) != 1 {
		t.Errorf("not taken over: %v", l)
	}
}

// GREASE: a field of a newer castd is covered by the signature and kept by an old one.
func TestLinkWithUnknownField(t *testing.T) {
	l := newLink(LinkSpec{Subject: public(2), Rights: Speak})
	l.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 77, protowire.VarintType), 5))
	signLink(key(1), testRoom, nil, l)
	b, err := proto.Marshal(&wire.Chain{Links: []*wire.Link{l}})
	if err != nil {
		t.Fatal(err)
	}
	var c wire.Chain
	if err := proto.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	if got, err := VerifyChain(&c, testRoom, public(1), public(2), testTime, 0); err != nil || got != Speak {
		t.Errorf("%v, %v", got, err)
	}
	c.Links[0].ProtoReflect().SetUnknown(nil)
	if _, err := VerifyChain(&c, testRoom, public(1), public(2), testTime, 0); !errors.Is(err, ErrChainSigned) {
		t.Errorf("without the field: %v", err)
	}
}

func FuzzChain(f *testing.F) {
	c := NewChain(key(1), testRoom, LinkSpec{Subject: public(2), Rights: Speak})
	good, err := proto.Marshal(c)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		var c wire.Chain
		if proto.Unmarshal(b, &c) != nil {
			return
		}
		if r, err := VerifyChain(&c, testRoom, public(1), public(2), testTime, 0); err == nil && r != Speak {
			t.Fatalf("a forged chain gives %v", r)
		}
		_, _ = Extend(&c, key(2), testRoom, LinkSpec{Subject: public(3)})
	})
}
