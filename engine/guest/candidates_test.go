package guest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/castd/castd/engine"
)

// TestBudget takes candidates of a machine with more addresses than a session may have.
func TestBudget(t *testing.T) {
	host := func(n, priority int) string {
		return fmt.Sprintf("1 1 udp %d 192.0.2.%d 4000 typ host generation 0", priority, n)
	}
	const reflexive, relayed = "2 1 UDP 1686052607 203.0.113.7 5000 typ srflx raddr 0.0.0.0 rport 0", "3 1 udp 41885439 203.0.113.9 6000 typ relay raddr 0.0.0.0 rport 0"
	var many []string
	for i := range 60 {
		many = append(many, host(i, 2_000_000_000+i))
	}
	for name, c := range map[string]struct {
		lists      [][]string
		taken      int
		has, lacks []string // of the last list
	}{
		"none":                 {[][]string{nil}, 0, nil, nil},
		"few":                  {[][]string{{host(1, 1), reflexive, relayed}}, 3, []string{host(1, 1), reflexive, relayed}, nil},
		"many, and behind NAT": {[][]string{append(many, reflexive, relayed)}, maxHostCandidates + 2, []string{many[59], many[36], reflexive, relayed}, many[:36]},
		"NAT's come later":     {[][]string{many, {many[0], reflexive}, {relayed}}, 1, []string{relayed}, nil},
		"too many of the rest": {[][]string{many, slices.Repeat([]string{reflexive}, 20)}, maxCandidates - maxHostCandidates, nil, nil},
		"of no use": {[][]string{{
			"", "nonsense", "1 1 udp 1 192.0.2.1 6 typ", "1 1 udp -1 192.0.2.1 6 typ host", "1 1 udp 4294967296 192.0.2.1 6 typ host", "1 1 udp 1 192.0.2.1 6 kind host",
			"1 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active generation 0",
		}}, 0, nil, nil},
		"passive TCP": {[][]string{{"1 1 tcp 1518280447 192.0.2.1 700 typ host tcptype passive"}}, 1, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var b budget
			var taken []string
			for _, list := range c.lists {
				taken = b.take(list)
			}
			if len(taken) != c.taken || b.all > maxCandidates || b.hosts > maxHostCandidates {
				t.Errorf("%d taken, %+v: %q", len(taken), b, taken)
			}
			all := strings.Join(taken, "\n")
			for _, w := range c.has {
				if !strings.Contains(all, w) {
					t.Errorf("lacks %q", w)
				}
			}
			for _, w := range c.lacks {
				if strings.Contains(all, w) {
					t.Errorf("has %q", w)
				}
			}
		})
	}
}

// TestManyNetworks publishes from a machine with a hundred addresses: the offer is taken.
func TestManyNetworks(t *testing.T) {
	bubble(t, func(b *bench) {
		candidates := "a=setup:actpass\n"
		for i := range 100 {
			candidates += fmt.Sprintf("a=candidate:9 1 udp 2122260223 192.0.2.%d 40000 typ host\n", i)
		}
		s, err := b.service.Publish(b.Context(), b.room, crlf(strings.ReplaceAll(browserOffer, "a=setup:actpass\n", candidates)), engine.GuestOptions{Remote: remote})
		if err != nil {
			t.Fatal(err)
		}
		_ = s.Close()
	})
}
