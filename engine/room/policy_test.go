package room

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/wire"
)

func TestPolicy(t *testing.T) {
	chain := func(n byte, rights Rights) *wire.Chain {
		return NewChain(key(1), testRoom, LinkSpec{Subject: public(4), Rights: rights, NotBefore: testTime, Expires: testTime.Add(time.Hour), Nonce: nonce(n)})
	}
	counted := NewChain(key(1), testRoom, LinkSpec{Subject: public(4), Rights: Listen, Uses: 1, Issuer: []byte("peer"), Nonce: nonce(1)})
	who := wire.ParticipantID(public(4))
	by := func(revoked ...Revocation) *AccessSpec { s := accessSpec(1, revoked...); return &s }
	before := func(at time.Time) *AccessSpec { s := accessSpec(1); s.Before = at; return &s }
	for name, c := range map[string]struct {
		public, conference bool
		user               byte
		chain              *wire.Chain
		access             *AccessSpec
		at                 time.Duration
		want               Rights
		denied             string
	}{
		"owner":                          {user: 1, want: All},
		"delegate":                       {user: 2, want: All},
		"nobody":                         {user: 4, denied: DeniedNoInvite},
		"invited":                        {user: 4, chain: chain(1, Listen|Relay), want: Listen | Relay},
		"speaker":                        {user: 4, chain: chain(1, Listen|Speak), want: Listen | Speak},
		"with another's":                 {user: 5, chain: chain(1, Listen), denied: DeniedWrong},
		"by a delegate":                  {user: 4, chain: NewChain(key(2), testRoom, LinkSpec{Subject: public(4), Rights: Listen}), want: Listen},
		"by somebody":                    {user: 4, chain: NewChain(key(6), testRoom, LinkSpec{Subject: public(4), Rights: All}), denied: DeniedWrong},
		"too late":                       {user: 4, chain: chain(1, Listen), at: 2 * time.Hour, denied: DeniedExpired},
		"too early":                      {user: 4, chain: chain(1, Listen), at: -time.Hour, denied: DeniedEarly},
		"not redeemed":                   {user: 4, chain: counted, denied: DeniedUnspent},
		"invite revoked":                 {user: 4, chain: chain(1, Listen), access: by(Revocation{Invite: idOf(1)}), denied: DeniedRevoked},
		"another revoked":                {user: 4, chain: chain(1, Listen), access: by(Revocation{Invite: idOf(2)}), want: Listen},
		"person revoked":                 {user: 4, chain: chain(1, Listen), access: by(Revocation{Participant: who}), denied: DeniedRevoked},
		"speech revoked":                 {user: 4, chain: chain(1, Listen|Speak), access: by(Revocation{Invite: idOf(1), Rights: Speak | Video}), want: Listen},
		"all before":                     {user: 4, chain: chain(1, Listen), access: before(testTime.Add(time.Minute)), denied: DeniedRevoked},
		"all before then":                {user: 4, chain: chain(1, Listen), access: before(testTime), want: Listen},
		"owner revoked":                  {user: 1, access: by(Revocation{Participant: wire.ParticipantID(public(1))}), want: All},
		"public":                         {public: true, user: 4, want: Listen | Relay},
		"public, person revoked":         {public: true, user: 4, access: by(Revocation{Participant: who}), denied: DeniedRevoked},
		"public, speech revoked":         {public: true, user: 4, chain: chain(1, Listen|Speak), access: by(Revocation{Invite: idOf(1)}), want: Listen | Relay, denied: DeniedRevoked},
		"public conference":              {public: true, conference: true, user: 4, want: Listen | Relay | Speak | Video},
		"public conference, without mic": {public: true, conference: true, user: 4, access: by(Revocation{Participant: who, Rights: Speak}), want: Listen | Relay | Video},
		"private conference":             {conference: true, user: 4, chain: chain(1, Listen), want: Listen | Speak | Video},
		"private conference, no mic":     {conference: true, user: 4, chain: chain(1, Listen), access: by(Revocation{Invite: idOf(1), Rights: Speak}), want: Listen | Video},
	} {
		s := testSpec()
		s.Private = !c.public
		if c.conference {
			s.Mode = Conference
		}
		rec := mustRecord(t, 1, s)
		p := Policy{Record: rec}
		if c.access != nil {
			p.Access = mustAccess(t, 1, rec, *c.access)
		}
		got, err := p.Check(public(c.user), c.chain, testTime.Add(c.at))
		if got != c.want || Denial(err) != c.denied {
			t.Errorf("%s: %v, %v; want %v, %q", name, got, err, c.want, c.denied)
		}
		if _, err := p.May(public(c.user), c.chain, testTime.Add(c.at)); (err == nil) != c.want.Has(Listen) {
			t.Errorf("%s: may be in the room: %v", name, err)
		}
	}
	if _, err := (Policy{Record: privateRecord(t)}).May(nil, nil, testTime); Denial(err) != DeniedNoInvite {
		t.Errorf("without a certificate: %v", err)
	}
}

// No revocation ever gives anybody a right that he had not.
func TestAccessOnlyTakes(t *testing.T) {
	rec := privateRecord(t)
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		rights := Rights(rnd.IntN(256))
		c := NewChain(key(1), testRoom, LinkSpec{Subject: public(4), Rights: rights, Nonce: nonce(1)})
		var revoked []Revocation
		for range rnd.IntN(4) {
			revoked = append(revoked, Revocation{Invite: idOf(byte(rnd.IntN(2))), Rights: Rights(rnd.IntN(256))})
		}
		p := Policy{Record: rec, Access: mustAccess(t, 1, rec, accessSpec(1, revoked...))}
		got, _ := p.Check(public(4), c, testTime)
		if got&^rights != 0 {
			t.Fatalf("seed %d: %v of %v", seed, got, rights)
		}
		for _, v := range revoked {
			if v.Invite == idOf(1) && (v.Rights == 0 && got != 0 || got&v.Rights != 0) {
				t.Fatalf("seed %d: %v although %v was taken", seed, got, v.Rights)
			}
		}
	}
}

// A counted invite gives no right until the issuer has exchanged it, however it is extended.
func TestCountedInvite(t *testing.T) {
	seed := [SeedSize]byte{1}
	inv := NewInvite(key(1), testRoom, seed, LinkSpec{Rights: Listen, Uses: 2, Issuer: []byte("peer"), NotBefore: testTime, Expires: testTime.Add(time.Hour), Nonce: nonce(1)})
	c, err := Redeem(inv, public(4), testRoom, testTime)
	if err != nil {
		t.Fatal(err)
	}
	if issuer, ok := Counted(c); !ok || string(issuer) != "peer" {
		t.Errorf("issuer %q, %v", issuer, ok)
	}
	if _, err := VerifyChain(c, testRoom, public(1), public(4), testTime, 0); !errors.Is(err, ErrChainCounted) {
		t.Errorf("unredeemed: %v", err)
	}
	rights, link, err := VerifyCounted(c, testRoom, public(1), public(4), testTime, 0)
	if err != nil || rights != Listen || link.Uses != 2 || InviteID(link) != idOf(1) {
		t.Errorf("%v, %v, %v", rights, link, err)
	}
	if _, _, err := VerifyCounted(c, testRoom, public(1), public(5), testTime, 0); !errors.Is(err, ErrChainSubject) {
		t.Errorf("somebody else's: %v", err)
	}
	stolen := proto.Clone(c).(*wire.Chain)
	stolen.Links[1].Subject = public(5)
	if _, _, err := VerifyCounted(stolen, testRoom, public(1), public(5), testTime, 0); !errors.Is(err, ErrChainSigned) {
		t.Errorf("stolen on the way: %v", err)
	}
	for name, change := range map[string]func(l *wire.Link){
		"without a count": func(l *wire.Link) { l.Uses = 0 },
		"more uses":       func(l *wire.Link) { l.Uses = 3 },
		"another issuer":  func(l *wire.Link) { l.Issuer = []byte("other") },
	} {
		l := LinkSpec{Subject: public(4), Rights: Listen, Uses: 1, Issuer: []byte("peer")}
		forged, err := Extend(inv.Chain, bearer(seed[:]), testRoom, l)
		if err != nil {
			t.Fatal(err)
		}
		change(forged.Links[1])
		signLink(bearer(seed[:]), testRoom, forged.Links[0], forged.Links[1])
		if _, err := VerifyChain(forged, testRoom, public(1), public(4), testTime, 0); !errors.Is(err, ErrChainWidens) {
			t.Errorf("%s: %v", name, err)
		}
	}
	plain := NewChain(key(1), testRoom, LinkSpec{Subject: public(4), Rights: Listen})
	if _, _, err := VerifyCounted(plain, testRoom, public(1), public(4), testTime, 0); !errors.Is(err, ErrChain) {
		t.Errorf("not counted: %v", err)
	}
}

// A life of seconds does not become one of minutes because clocks differ.
func TestShortLives(t *testing.T) {
	for _, c := range []struct{ life, leeway time.Duration }{{2 * time.Second, 200 * time.Millisecond}, {time.Hour, wire.Leeway}, {15 * time.Minute, wire.Leeway}} {
		chain := NewChain(key(1), testRoom, LinkSpec{Subject: public(4), Rights: Listen, NotBefore: testTime, Expires: testTime.Add(c.life)})
		ends := testTime.Add(c.life + c.leeway)
		if !ExpiresAt(chain).Equal(ends) {
			t.Errorf("%v ends %v after its end", c.life, ExpiresAt(chain).Sub(testTime.Add(c.life)))
		}
		if _, err := VerifyChain(chain, testRoom, public(1), public(4), ends, 0); err != nil {
			t.Errorf("%v, at the end: %v", c.life, err)
		}
		if _, err := VerifyChain(chain, testRoom, public(1), public(4), ends.Add(time.Millisecond), 0); !errors.Is(err, ErrChainExpired) {
			t.Errorf("%v, after it: %v", c.life, err)
		}
	}
}

// Who loses the right to send loses his slots at once, and does not get them back by what he signed before.
func TestRosterTakesRightsBack(t *testing.T) {
	r := testRoster(t, nil)
	a := announce(4, "main")
	a.Chain = NewChain(key(1), testRoom, LinkSpec{Subject: public(4), Rights: Listen | Speak | Video, Nonce: nonce(1)})
	apply(t, r, 4, 10, a)
	apply(t, r, 1, 1, announce(1, "main"))
	list := mustAccess(t, 1, r.record, accessSpec(1, Revocation{Invite: idOf(1), Rights: Video}))
	if c := r.SetAccess(list, testTime); len(c.Ended) != 2 || len(r.Streams()) != 2 {
		t.Errorf("%+v", c)
	}
	if _, err := r.Apply(message(t, 4, 11, a), testTime); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("again: %v", err)
	}
	if c := r.SetAccess(list, testTime); !c.Empty() {
		t.Errorf("twice: %+v", c)
	}
	a.Streams = a.Streams[:1]
	if c := apply(t, r, 4, 12, a); len(c.Added) != 1 {
		t.Errorf("audio alone: %+v", c)
	}
}

func TestRekeysAreChecked(t *testing.T) {
	r := testRoster(t, nil)
	a := announce(1, "main")
	a.Streams[0].Rekeys = []*wire.Rekey{{Incarnation: 9, Generation: 4}}
	if c := apply(t, r, 1, 1, a); len(c.Added) != 2 || !slices.ContainsFunc(c.Added, func(s *Stream) bool { return slices.Equal(s.Rekeys, []Rekey{{9, 4}}) }) {
		t.Errorf("%+v", c)
	}
	a.Streams[0].Rekeys = append(a.Streams[0].Rekeys, &wire.Rekey{Incarnation: 10, Generation: 5})
	if c := apply(t, r, 1, 2, a); len(c.Updated) != 1 {
		t.Errorf("another key: %+v", c)
	}
	for name, k := range map[string][]*wire.Rekey{
		"incarnation": {{Incarnation: 1 << 16}}, "too many": slices.Repeat([]*wire.Rekey{{}}, MaxRekeys+1),
	} {
		a.Streams[0].Rekeys = k
		if _, err := r.Apply(message(t, 1, 3, a), testTime); !errors.Is(err, ErrAnnounce) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzCounted(f *testing.F) {
	inv := NewInvite(key(1), testRoom, [SeedSize]byte{1}, LinkSpec{Rights: Listen, Uses: 1, Issuer: []byte("peer"), Nonce: nonce(1)})
	c, err := Redeem(inv, public(4), testRoom, testTime)
	if err != nil {
		f.Fatal(err)
	}
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
		_, _ = Counted(&c)
		_ = ExpiresAt(&c)
		rights, link, err := VerifyCounted(&c, testRoom, public(1), public(4), testTime, 0)
		if err == nil && (rights != Listen || link.Uses != 1 || InviteID(link) != idOf(1)) {
			t.Fatalf("somebody has made %v of it", rights)
		}
		if r, err := VerifyChain(&c, testRoom, public(1), public(4), testTime, 0); err == nil {
			t.Fatalf("a counted invite gives %v by itself", r)
		}
	})
}
