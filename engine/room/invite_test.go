package room

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/castd/castd/engine/wire"
)

var testSeed = [SeedSize]byte{1, 2, 3}

func TestInviteIsRedeemed(t *testing.T) {
	inv := NewInvite(key(1), testRoom, testSeed, LinkSpec{Rights: Listen | Speak, Expires: testTime.Add(time.Hour)})
	read, err := DecodeInvite(EncodeInvite(inv))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Redeem(read, public(5), testRoom, testTime)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := VerifyChain(c, testRoom, public(1), public(5), testTime, 0); err != nil || got != Listen|Speak {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := VerifyChain(c, testRoom, public(1), public(5), testTime.Add(2*time.Hour), 0); !errors.Is(err, ErrChainExpired) {
		t.Errorf("later: %v", err)
	}
	// Somebody who was invited to moderate may invite on; his guest has the longest chain there is.
	c = NewChain(key(1), testRoom, LinkSpec{Subject: public(2), Rights: All})
	c = extend(t, c, 2, LinkSpec{Subject: public(3), Rights: Listen | Speak | Moderate})
	if inv, err = ExtendInvite(c, key(3), testRoom, testSeed, LinkSpec{Rights: Speak}); err != nil {
		t.Fatal(err)
	}
	if c, err = Redeem(inv, public(5), testRoom, testTime); err != nil {
		t.Fatal(err)
	}
	if got, err := VerifyChain(c, testRoom, public(1), public(5), testTime, 0); err != nil || got != Speak || len(c.Links) != MaxLinks {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := ExtendInvite(c, key(5), testRoom, testSeed, LinkSpec{Rights: Speak}); err == nil {
		t.Error("made an invite that nobody could redeem")
	}
}

func TestRedeemRefuses(t *testing.T) {
	make := func() *wire.Invite {
		c := NewChain(key(1), testRoom, LinkSpec{Subject: public(2), Rights: All, Expires: testTime.Add(time.Minute)})
		inv, err := ExtendInvite(c, key(2), testRoom, testSeed, LinkSpec{Rights: Speak})
		if err != nil {
			t.Fatal(err)
		}
		return inv
	}
	for name, c := range map[string]struct {
		change func(inv *wire.Invite)
		want   error
	}{
		"good":         {func(*wire.Invite) {}, nil},
		"no seed":      {func(inv *wire.Invite) { inv.Seed = nil }, ErrInvite},
		"another seed": {func(inv *wire.Invite) { inv.Seed = key(9).Seed() }, ErrChainSubject},
		"no chain":     {func(inv *wire.Invite) { inv.Chain = nil }, ErrInvite},
		"forged":       {func(inv *wire.Invite) { inv.Chain.Links[0].Nonce = []byte{9} }, ErrChainSigned},
		"wider":        {func(inv *wire.Invite) { inv.Chain.Links[1].Rights = 1 << 31 }, ErrChainWidens},
		"nil link":     {func(inv *wire.Invite) { inv.Chain.Links[1] = nil }, ErrChain},
	} {
		inv := make()
		c.change(inv)
		if _, err := Redeem(inv, public(5), testRoom, testTime); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := Redeem(make(), public(5), testRoom, testTime.Add(time.Hour)); !errors.Is(err, ErrChainExpired) {
		t.Errorf("expired: %v", err)
	}
	if _, err := Redeem(nil, public(5), testRoom, testTime); !errors.Is(err, ErrInvite) {
		t.Errorf("no invite: %v", err)
	}
}

func testLink(t testing.TB) *Link {
	id, err := wire.PeerID(public(101))
	if err != nil {
		t.Fatal(err)
	}
	return &Link{
		Room: testRoom, Name: "lobby",
		Via:        []string{"/ip4/192.0.2.1/udp/8471/quic-v1/p2p/" + id.String(), "/dns/example.org/tcp/8471/p2p/" + id.String()},
		Capability: EncodeInvite(NewInvite(key(1), testRoom, testSeed, LinkSpec{Rights: Speak})),
	}
}

func TestLinkRoundTrip(t *testing.T) {
	l := testLink(t)
	text := l.String()
	if !strings.HasPrefix(text, "castd://"+string(testRoom)+"/lobby?via=/ip4/192.0.2.1/udp/8471/quic-v1/p2p/12D3") {
		t.Errorf("link is %s", text)
	}
	got, err := ParseLink(text)
	if err != nil {
		t.Fatal(err)
	}
	if got.Room != l.Room || got.Name != l.Name || strings.Join(got.Via, " ") != strings.Join(l.Via, " ") || got.Capability != l.Capability {
		t.Errorf("got %+v", got)
	}
	if inv, err := got.Invite(); err != nil || string(inv.Seed) != string(testSeed[:]) {
		t.Errorf("invite: %v", err)
	}
	bare := &Link{Room: testRoom, Name: "a.b"}
	if got, err := ParseLink(bare.String()); err != nil || got.String() != bare.String() {
		t.Errorf("%v, %v", got, err)
	}
	if inv, err := bare.Invite(); inv != nil || err != nil {
		t.Errorf("invite of a bare link: %v, %v", inv, err)
	}
}

func TestParseLinkIsLenientWhereItCanBe(t *testing.T) {
	want := testLink(t).String()
	via := testLink(t).Via
	for _, s := range []string{
		strings.Replace(want, "castd://", "CASTD://", 1),
		strings.Replace(want, "/lobby?", "/Lobby?", 1),
		strings.Replace(want, "/lobby?", "/lobby/?", 1),
		strings.Replace(want, string(testRoom), strings.ToUpper(string(testRoom)), 1),
		strings.Replace(want, via[0], strings.ReplaceAll(via[0], "/", "%2F"), 1),
		strings.Replace(want, "?via=", "?new=1&via=", 1), // GREASE
		strings.Replace(want, "#k=", "#new=1&k=", 1),
	} {
		if got, err := ParseLink(s); err != nil || got.String() != want {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
}

func TestParseLinkRefuses(t *testing.T) {
	id := string(testRoom)
	for _, s := range []string{
		"", "castd", "castd:", "castd://", "http://" + id + "/lobby", "castd:" + id + "/lobby", "castd://short/lobby",
		"castd://" + id, "castd://" + id + "/", "castd://" + id + "/a/b", "castd://" + id + "/a%20b", "castd://u@" + id + "/a",
		"castd://" + id + ":1/a", "castd://" + id + "/a?via=", "castd://" + id + "/a?via=/ip4/192.0.2.1/tcp/1",
		"castd://" + id + "/a?via=%zz", "castd://" + id + "/a?via=x;y", "castd://" + id + "/a#k=!", "castd://" + id + "/a#k=AAAA",
		"castd://" + id + "/a?" + strings.Repeat("via="+testLink(t).Via[0]+"&", MaxVia+1),
		"castd://" + id + "/a?x=" + strings.Repeat("y", maxLink), "castd://" + id + "/a\x00", "castd://" + id + "/a\n",
		"castd://" + id + "/a#k=" + strings.Repeat("A", maxCapability+1),
	} {
		l, err := ParseLink(s)
		if err == nil {
			t.Errorf("%.80q is a link: %+v", s, l)
		} else if !strings.Contains(err.Error(), " link") {
			t.Errorf("%.80q: %v", s, err)
		}
	}
}

func TestParseRef(t *testing.T) {
	if r, err := ParseRef(" Lobby "); err != nil || r != (Ref{Name: "lobby"}) {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := ParseRef(strings.ToUpper(string(testRoom))); err != nil || r != (Ref{ID: testRoom}) {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := ParseRef(testLink(t).String()); err != nil || r.Link == nil || r.Link.Room != testRoom || r.Name != "" || r.ID != "" {
		t.Errorf("%+v, %v", r, err)
	}
	for _, s := range []string{"", "a b", "castd://", "http://x", strings.Repeat("x", 65)} {
		if r, err := ParseRef(s); err == nil {
			t.Errorf("%q is %+v", s, r)
		}
	}
}

func TestCleanName(t *testing.T) {
	for in, want := range map[string]string{
		" Ann\x00\x1b[31m ": "Ann[31m", "": "", "\u202eevil": "evil", "a\u2028b\nc": "abc", strings.Repeat("ä", 70): strings.Repeat("ä", 64),
		"\xff": "", "👩\u200d🔬": "👩\u200d🔬",
	} {
		if got := CleanName(in); got != want || CleanName(got) != got {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func FuzzParseLink(f *testing.F) {
	f.Add(testLink(f).String())
	f.Add("castd://" + string(testRoom) + "/a?via=%2Fip4#k=")
	f.Fuzz(func(t *testing.T, s string) {
		_, _ = ParseRef(s)
		l, err := ParseLink(s)
		if err != nil {
			return
		}
		again, err := ParseLink(l.String())
		if err != nil || again.String() != l.String() || again.Room != l.Room || len(again.Via) != len(l.Via) {
			t.Fatalf("%q does not survive: %q, %v", s, l, err)
		}
	})
}

func FuzzRedeem(f *testing.F) {
	f.Add(EncodeInvite(NewInvite(key(1), testRoom, testSeed, LinkSpec{Rights: Speak})))
	f.Fuzz(func(t *testing.T, s string) {
		inv, err := DecodeInvite(s)
		if err != nil {
			return
		}
		if c, err := Redeem(inv, public(5), testRoom, testTime); err == nil && len(c.Links) > MaxLinks {
			t.Fatalf("%d links", len(c.Links))
		}
	})
}
