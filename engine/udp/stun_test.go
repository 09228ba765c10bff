package udp

import (
	"bytes"
	"testing"

	"github.com/pion/stun/v4"
)

func request(t testing.TB, setters ...stun.Setter) []byte {
	t.Helper()
	m, err := stun.Build(append([]stun.Setter{stun.TransactionID, stun.BindingRequest}, setters...)...)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

func TestRequestFor(t *testing.T) {
	software := stun.NewSoftware("x") // an attribute with padding before the user name
	good := request(t, software, stun.NewUsername("mine:theirs"))
	response, err := stun.Build(stun.TransactionID, stun.BindingSuccess, stun.NewUsername("mine:theirs"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		b    []byte
		want string
	}{
		{"a request", good, "mine"},
		{"a response", response.Raw, ""},
		{"no user name", request(t, software), ""},
		{"no colon", request(t, stun.NewUsername("mine")), ""},
		{"nobody", request(t, stun.NewUsername(":theirs")), ""},
		{"cut", good[:len(good)-4], ""},
		{"DTLS", append([]byte{22}, good[1:]...), ""},
		{"nothing", nil, ""},
	} {
		if got := requestFor(c.b); string(got) != c.want {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

func FuzzRequestFor(f *testing.F) {
	f.Add(request(f, stun.NewUsername("a:b")))
	f.Add(request(f, stun.NewSoftware("abc"), stun.NewUsername("a:b")))
	f.Fuzz(func(t *testing.T, b []byte) {
		name := requestFor(b)
		if name == nil {
			return
		}
		m := &stun.Message{Raw: b}
		var user stun.Username
		if err := m.Decode(); err == nil && user.GetFrom(m) == nil && !bytes.HasPrefix(user, append(bytes.Clone(name), ':')) {
			t.Errorf("%q of %q", name, user)
		}
	})
}
