package bench

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

var (
	here  = netip.MustParseAddrPort("192.0.2.1:1000")
	there = netip.MustParseAddrPort("192.0.2.2:2000")
	third = netip.MustParseAddrPort("192.0.2.3:3000")
	start = time.Unix(1000, 0)
)

// pair returns two agents that know each other's parameters.
func pair() (a, b checker) {
	a, b = newChecker(), newChecker()
	a.begin(&answer{ufrag: b.localUfrag, pwd: b.localPwd, candidates: []netip.AddrPort{third, there}}, there.Addr())
	b.begin(&answer{ufrag: a.localUfrag, pwd: a.localPwd}, netip.Addr{})
	return a, b
}

func TestCheck(t *testing.T) {
	a, b := pair()
	to, msg := a.tick(start)
	if to != there {
		t.Fatalf("checks %v first, want the address that HTTP came from", to)
	}
	m := &stun.Message{Raw: msg}
	if err := m.Decode(); err != nil || m.Type != stun.BindingRequest || !m.Contains(stun.AttrUseCandidate) || !m.Contains(stun.AttrICEControlling) {
		t.Fatalf("check %v, %v", m, err)
	}
	var name stun.Username
	if err := name.GetFrom(m); err != nil || name.String() != b.localUfrag+":"+a.localUfrag {
		t.Errorf("user %v, %v", name, err)
	}
	reply, chosen := b.receive(msg, here, start)
	if reply == nil || chosen {
		t.Fatalf("the other end answers %x, %v", reply, chosen)
	}
	if _, chosen := a.receive(reply, third, start); chosen {
		t.Fatal("an answer from another address counts")
	}
	if _, chosen := a.receive(reply, there, start); !chosen || a.selected != there {
		t.Fatalf("selected %v, %v", chosen, a.selected)
	}
	if _, chosen := a.receive(reply, there, start); chosen {
		t.Error("the same answer selects twice")
	}
	// From now on only consent is asked for, now and then.
	if to, _ := a.tick(start.Add(consentEvery - time.Millisecond)); to.IsValid() {
		t.Error("a check too early")
	}
	if to, _ := a.tick(start.Add(consentEvery)); to != there {
		t.Errorf("asks %v for consent", to)
	}
	// The other end has learned an address from the check, and may check it.
	if to, _ := b.tick(start); to != here {
		t.Errorf("the other end checks %v", to)
	}
}

func TestCheckRefused(t *testing.T) {
	a, b := pair()
	_, msg := a.tick(start)
	stranger := newChecker()
	if reply, _ := stranger.receive(msg, here, start); reply != nil {
		t.Error("a check with another's password is answered")
	}
	if reply, _ := b.receive(msg[:len(msg)-3], here, start); reply != nil {
		t.Error("a mutilated check is answered")
	}
	forged := &stun.Message{Type: stun.BindingSuccess}
	copy(forged.TransactionID[:], msg[8:20])
	forged.WriteHeader()
	if _, chosen := a.receive(forged.Raw, there, start); chosen {
		t.Error("an answer without integrity counts")
	}
}

// TestCheckPace checks that candidates are tried in turns, none too often.
func TestCheckPace(t *testing.T) {
	a, _ := pair()
	counts := map[netip.AddrPort]int{}
	for now := start; now.Before(start.Add(time.Second)); now = now.Add(clerkEvery) {
		if to, _ := a.tick(now); to.IsValid() {
			counts[to]++
		}
	}
	for addr, n := range counts {
		if n < 9 || n > 10 {
			t.Errorf("%d checks of %v within a second", n, addr)
		}
	}
	if len(counts) != 2 {
		t.Errorf("checked %v", counts)
	}
	idle := newChecker()
	if to, _ := idle.tick(start); to.IsValid() {
		t.Error("checks before the answer")
	}
}

func FuzzCheck(f *testing.F) {
	_, b := pair()
	b.localPwd = "passwordpasswordpassword"
	m, _ := stun.Build(stun.BindingRequest, stun.NewTransactionIDSetter([12]byte{1}), stun.NewShortTermIntegrity(b.localPwd), stun.Fingerprint)
	f.Add(m.Raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, _ := pair()
		a.localPwd = "passwordpasswordpassword"
		a.tick(start)
		if _, chosen := a.receive(raw, there, start); chosen {
			t.Errorf("%x selects", raw)
		}
		if len(a.remotes) > maxCandidates {
			t.Errorf("%d candidates", len(a.remotes))
		}
	})
}
