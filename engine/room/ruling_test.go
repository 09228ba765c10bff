package room

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/wire"
)

// rule returns a list in which orders were followed one after another, a minute apart.
func rule(t testing.TB, orders ...Order) *Access {
	t.Helper()
	a := &Access{}
	for i, o := range orders {
		all, err := a.Rule(o, testTime.Add(time.Duration(i-len(orders))*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		a = &Access{Rulings: all}
	}
	return a
}

const (
	guestA = "aaaaaaaaaaaaaaaa"
	guestB = "bbbbbbbbbbbbbbbb"
)

// Somebody's standing follows from what was ruled, about him, about his peer's user and about all; the later word holds.
func TestRulings(t *testing.T) {
	rec := conferenceRecord(t)
	via := ed25519.PublicKey(public(4))
	user := wire.ParticipantID(via)
	guest, self := Standing{Participant: guestA, User: via}, Standing{Participant: guestB, User: via, Self: true}
	host := Standing{Participant: guestB, User: rec.Owner, Self: true}
	of := func(verb, who string) Order { return Order{Verb: verb, Participant: who, Via: user} }
	own := func(verb string) Order { return Order{Verb: verb, Participant: user} }
	all := func(verb string) Order { return Order{Verb: verb} }
	tests := []struct {
		orders                []Order
		who                   Standing
		muted, out, moderates bool
	}{
		{nil, guest, false, false, false},
		{[]Order{of(Mute, guestA)}, guest, true, false, false},
		{[]Order{of(Mute, guestA), of(Unmute, guestA)}, guest, false, false, false},
		{[]Order{own(Mute)}, guest, true, false, false}, // with all guests of his
		{[]Order{own(Mute)}, self, true, false, false},
		{[]Order{all(MuteAll)}, guest, true, false, false},
		{[]Order{all(MuteAll), of(Unmute, guestA)}, guest, false, false, false},
		{[]Order{all(MuteAll), of(Mic, guestA)}, guest, false, false, false},
		{[]Order{all(MuteAll), of(Mic, guestA), of(Mic, guestB)}, guest, true, false, false},
		{[]Order{all(MuteAll), of(Mic, guestA), all(MuteAll)}, guest, true, false, false},
		{[]Order{all(MuteAll), {Verb: Unmute, Participant: guestA, Via: guestB}}, guest, true, false, false}, // of another peer's guest
		{[]Order{all(MuteAll), all(UnmuteAll)}, guest, false, false, false},
		{[]Order{all(MuteAll)}, host, false, false, false},
		{[]Order{of(Mute, guestB)}, host, false, false, false},
		{[]Order{all(MuteAll), of(Grant, guestA)}, guest, false, false, true},
		{[]Order{{Verb: Grant, Participant: guestA, Via: guestB}}, guest, false, false, false},
		{[]Order{own(Grant)}, self, false, false, true},
		{[]Order{own(Grant)}, guest, false, false, false},
		{[]Order{of(Grant, guestA), of(Revoke, guestA)}, guest, false, false, false},
		{[]Order{of(Grant, guestA), of(Mute, guestA)}, guest, true, false, true},
		{[]Order{{Verb: Kick, Participant: guestA, For: time.Hour}}, guest, true, true, false},
		{[]Order{{Verb: Kick, Participant: guestA, For: time.Hour}}, self, false, false, false},
		{[]Order{{Verb: Kick, Participant: guestA}, {Verb: Lock}}, guest, false, false, false}, // it ended before the lock
	}
	for _, tt := range tests {
		var verbs []string
		for _, o := range tt.orders {
			verbs = append(verbs, o.Verb)
		}
		p := Policy{Record: rec, Access: rule(t, tt.orders...)}
		if got := p.Muted(tt.who, testTime); got != tt.muted {
			t.Errorf("%v: muted is %v", verbs, got)
		}
		if got := p.PutOut(tt.who, testTime); got != tt.out {
			t.Errorf("%v: put out is %v", verbs, got)
		}
		if got := p.MayModerate(tt.who, nil, testTime); got != tt.moderates && !p.Record.IsOwner(tt.who.User) {
			t.Errorf("%v: may moderate is %v", verbs, got)
		}
		if p.Muted(tt.who, testTime.Add(maxRulingLife)) || p.PutOut(tt.who, testTime.Add(maxRulingLife)) {
			t.Errorf("%v: it has no end", verbs)
		}
	}
	locked := Policy{Record: rec, Access: rule(t, Order{Verb: Lock}, Order{Verb: MuteAll})}
	if !locked.Locked(testTime) || !locked.MutedAll(testTime) {
		t.Error("one of the words about all took the other's place")
	}
	if _, err := (*Access)(nil).Rule(Order{Verb: "tickle"}, testTime); !errors.Is(err, ErrVerb) {
		t.Errorf("an unknown verb: %v", err)
	}
	kicked := Policy{Record: rec, Access: rule(t, Order{Verb: Kick, Participant: user, For: time.Hour})}
	if _, err := kicked.Check(via, nil, testTime); !errors.Is(err, ErrPutOut) || Denial(err) != DeniedPutOut {
		t.Errorf("who was put out: %v", err)
	}
	granted := Policy{Record: rec, Access: rule(t, Order{Verb: Grant, Participant: user, Rights: CallOut})}
	if rights, _ := granted.Check(via, nil, testTime); !rights.Has(CallOut) {
		t.Errorf("who was granted a right has %v", rights)
	}
}

func conferenceRecord(t testing.TB) *Record {
	t.Helper()
	rec := *privateRecord(t)
	rec.Private, rec.Mode = false, Conference
	return &rec
}

// Lists that were signed at the same time come to the same, whoever merges them, and the later word about each holds.
func TestRulingsMerge(t *testing.T) {
	verbs := []string{Mute, Unmute, Kick, Grant, Revoke, Mic}
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		some := func() *Access {
			a := &Access{}
			for range rnd.IntN(30) {
				who := strings.Repeat(string(rune('a'+rnd.IntN(20))), 16)
				all, err := a.Rule(Order{Verb: verbs[rnd.IntN(len(verbs))], Participant: who, Via: guestA}, testTime.Add(-time.Duration(rnd.IntN(50))*time.Second))
				if err != nil {
					t.Fatal(err)
				}
				a = &Access{Rulings: all}
			}
			return a
		}
		a, b := some(), some()
		ab, _ := MergeRulings(a, b, testTime)
		ba, _ := MergeRulings(b, a, testTime)
		if !slices.Equal(ab, ba) {
			t.Fatalf("seed %d: %v and %v", seed, ab, ba)
		}
		both := &Access{Rulings: ab}
		for _, l := range []*Access{a, b} {
			if _, more := MergeRulings(both, l, testTime); more {
				t.Fatalf("seed %d: something is missing", seed)
			}
		}
		for _, r := range ab {
			for _, l := range []*Access{a, b} {
				if o := l.ruling(r.Participant, testTime); o.At.After(r.At) {
					t.Fatalf("seed %d: an earlier word holds", seed)
				}
			}
		}
	}
}

// A full list still fits into an envelope; what says nothing any more gives way first.
func TestRulingsAreBounded(t *testing.T) {
	rec := privateRecord(t)
	id := func(n int) string {
		return fmt.Sprintf("%s%c%c%c%c", strings.Repeat("a", 12), 'a'+n/26/26/26%26, 'a'+n/26/26%26, 'a'+n/26%26, 'a'+n%26)
	}
	var revoked []Revocation
	for i := range MaxRevoked {
		revoked = append(revoked, Revocation{Participant: id(i), Rights: Speak | Video, At: testTime, Expires: testTime.Add(time.Hour)})
	}
	a := mustAccess(t, 1, rec, accessSpec(1, revoked...))
	for i := range MaxRulings {
		all, err := a.Rule(Order{Verb: Grant, Participant: id(i), Via: guestB}, testTime)
		if err != nil {
			t.Fatal(err)
		}
		a = &Access{Rulings: all, Revoked: a.Revoked}
	}
	spec := accessSpec(2, revoked...)
	spec.Rulings = a.Rulings
	full := mustAccess(t, 1, rec, spec)
	if len(full.Rulings) != MaxRulings || len(full.Envelope) > wire.MaxEnvelope {
		t.Fatalf("%d rulings in %d octets", len(full.Rulings), len(full.Envelope))
	}
	if _, err := full.Rule(Order{Verb: Mute, Participant: id(5000)}, testTime); !errors.Is(err, ErrAccessFull) {
		t.Errorf("one ruling more: %v", err)
	}
	all, err := full.Rule(Order{Verb: Revoke, Participant: id(3)}, testTime)
	if err != nil {
		t.Fatal(err)
	}
	if all, err = (&Access{Rulings: all}).Rule(Order{Verb: Mute, Participant: id(5000)}, testTime); err != nil || len(all) != MaxRulings {
		t.Errorf("in the place of one that says nothing: %d, %v", len(all), err)
	}
}

// A list whose rulings make no sense is refused as a whole: above all one whose words come from the future, because they would hold
// against all that are said from then on.
func TestRulingsAreChecked(t *testing.T) {
	rec := privateRecord(t)
	good := Ruling{Participant: guestA, At: testTime, Expires: testTime.Add(time.Hour), Denied: Speak}
	change := func(f func(*Ruling)) []Ruling {
		r := good
		f(&r)
		return []Ruling{r}
	}
	for name, bad := range map[string][]Ruling{
		"future":      change(func(r *Ruling) { r.At, r.Expires = testTime.Add(time.Hour), testTime.Add(2*time.Hour) }),
		"for ever":    change(func(r *Ruling) { r.Expires = testTime.AddDate(1, 0, 0) }),
		"ended first": change(func(r *Ruling) { r.Expires = r.At }),
		"nobody":      change(func(r *Ruling) { r.Participant = "Bob" }),
		"via nobody":  change(func(r *Ruling) { r.Via = "\x00" }),
		"twice":       {good, good},
		"too many":    slices.Repeat([]Ruling{good}, MaxRulings+1),
	} {
		spec := accessSpec(1)
		spec.Rulings = bad
		if a, err := NewAccess(signer(1), rec, spec); !errors.Is(err, ErrAccess) && !errors.Is(err, ErrAccessFull) {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
	spec := accessSpec(1)
	spec.Rulings = []Ruling{good}
	if a := mustAccess(t, 1, rec, spec); len(a.Rulings) != 1 || !a.Rulings[0].At.Equal(good.At) || a.Rulings[0].Denied != Speak {
		t.Errorf("%+v", a.Rulings)
	}
}

func FuzzRulings(f *testing.F) {
	b, err := proto.Marshal(&wire.Access{Number: 1, Rulings: rulingsToWire([]Ruling{{Participant: guestA, At: testTime, Expires: testTime.Add(time.Hour), Denied: Speak}})})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, Mute, guestA)
	f.Add(b, MuteAll, "")
	f.Add(b, Mic, guestB)
	rec := conferenceRecord(f)
	f.Fuzz(func(t *testing.T, body []byte, verb, who string) {
		var w wire.Access
		if proto.Unmarshal(body, &w) != nil {
			return
		}
		all, err := rulingsFromWire(w.Rulings, testTime)
		if err != nil {
			return
		}
		a := &Access{Rulings: all}
		p := Policy{Record: rec, Access: a}
		s := Standing{Participant: who, User: ed25519.PublicKey(public(4))}
		if p.MayModerate(s, nil, testTime) && !slices.ContainsFunc(all, func(r Ruling) bool { return r.Granted.Has(Moderate) }) {
			t.Fatal("a stranger moderates")
		}
		p.Roles(s, nil, testTime)
		ruled, err := a.Rule(Order{Verb: verb, Participant: who}, testTime)
		if err != nil {
			return
		}
		if len(ruled) > MaxRulings {
			t.Fatalf("%d rulings", len(ruled))
		}
		if _, more := MergeRulings(&Access{Rulings: ruled}, a, testTime); more && len(all) < MaxRulings {
			t.Fatal("an order lost something")
		}
	})
}

// No relay keeps a stream of a publisher who is muted, nor of a guest who is, whatever they sign; what the host sends of others goes on.
func TestRosterObeysRulings(t *testing.T) {
	r := testRoster(t, func(s *RecordSpec) { s.Mode, s.Delegates = Conference, []ed25519.PublicKey{public(2)} })
	for user := byte(1); user <= 4; user++ {
		apply(t, r, user, 1, announce(user, "main"))
	}
	var orders []Order
	for user := byte(1); user <= 3; user++ {
		orders = append(orders, Order{Verb: Mute, Participant: wire.ParticipantID(public(user))})
	}
	a := rule(t, orders...)
	if c := r.SetAccess(a, testTime); len(c.Ended) != 2 || c.Ended[0].Participant != wire.ParticipantID(public(3)) {
		t.Errorf("ended is %+v", c.Ended)
	}
	if _, err := r.Apply(message(t, 3, 2, announce(3, "other")), testTime); !errors.Is(err, ErrNotAllowed) || !errors.Is(err, ErrMuted) {
		t.Errorf("another slot of who is muted: %v", err)
	}
	all, err := a.Rule(Order{Verb: Unmute, Participant: wire.ParticipantID(public(3))}, testTime)
	if err != nil {
		t.Fatal(err)
	}
	r.SetAccess(&Access{Rulings: all}, testTime)
	if c := apply(t, r, 3, 3, announce(3, "main")); len(c.Added) != 2 {
		t.Errorf("who is muted no longer: %+v", c)
	}
	kick := rule(t, Order{Verb: Kick, Participant: wire.ParticipantID(public(4)), For: time.Hour})
	if c := r.SetAccess(kick, testTime); len(c.Ended) != 2 {
		t.Errorf("who was put out: %+v", c)
	}
}

// TestKnock: in a locked room somebody waits where there is a waiting list, until he is let in; a guest by way of his own peer only.
func TestKnock(t *testing.T) {
	rec := conferenceRecord(t)
	via, other := ed25519.PublicKey(public(4)), ed25519.PublicKey(public(5))
	guest := Standing{Participant: guestA, User: via}
	admit := Order{Verb: Admit, Participant: guestA, Via: wire.ParticipantID(via)}
	for _, test := range []struct {
		orders                   []Order
		locked, knocks, admitted bool
	}{
		{nil, false, false, false},
		{[]Order{{Verb: Lock}}, true, false, false},
		{[]Order{{Verb: Knock}}, true, true, false},
		{[]Order{{Verb: Lock}, {Verb: Knock}}, true, true, false},
		{[]Order{{Verb: Knock}, {Verb: Lock}}, true, false, false},
		{[]Order{{Verb: Knock}, {Verb: Unlock}}, false, false, false},
		{[]Order{{Verb: Knock}, admit}, true, true, true},
		{[]Order{{Verb: Knock}, admit, {Verb: Refuse, Participant: guestA}}, true, true, false},
		{[]Order{{Verb: Knock}, {Verb: MuteAll}, admit, {Verb: UnmuteAll}}, true, true, true},
	} {
		p := Policy{Record: rec, Access: rule(t, test.orders...)}
		if got := p.Locked(testTime); got != test.locked {
			t.Errorf("%v: locked %v", test.orders, got)
		}
		if got := p.Knocks(testTime); got != test.knocks {
			t.Errorf("%v: knocks %v", test.orders, got)
		}
		if got := p.Admitted(guest, testTime); got != test.admitted {
			t.Errorf("%v: admitted %v", test.orders, got)
		}
		if p.Admitted(Standing{Participant: guestA, User: other}, testTime) {
			t.Errorf("%v: somebody else's guest is let in by his name", test.orders)
		}
		if p.Muted(guest, testTime) {
			t.Errorf("%v: muted", test.orders)
		}
	}
}

// TestSettings: settings are changed by verbs and kept in the record; of a bit that this version does not know too.
func TestSettings(t *testing.T) {
	s := Settings(1 << 20)
	for _, verb := range []string{TonesOff, Wait, Music, MusicOff} {
		var ok bool
		if s, ok = s.After(verb); !ok {
			t.Fatalf("%s changes no settings", verb)
		}
	}
	if s != 1<<20|NoTones|WaitForHost {
		t.Errorf("settings %b", s)
	}
	if _, ok := s.After(Mute); ok {
		t.Error("mute changes settings")
	}
	for _, verb := range AboutAll {
		if _, ok := s.After(verb); ok == slices.Contains([]string{MuteAll, UnmuteAll, Lock, Knock, Unlock, Title}, verb) {
			t.Errorf("%s changes settings: %v", verb, ok)
		}
	}
}
