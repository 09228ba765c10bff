package guest

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Limits of the candidates that are taken of a guest in one ICE generation: each is an address that this peer sends checks to. A
// machine with many networks (bridges of containers, VPNs) has more, and must be let in all the same: what is too much is
// ignored. Hosts may not fill it all, since behind a NAT only the reflexive and relayed ones, the least in priority, may work.
const (
	maxCandidates     = 32
	maxHostCandidates = 24
)

// budget counts the candidates that were taken of a guest in one ICE generation. Its zero value has taken none.
type budget struct{ all, hosts int }

// take returns those of the candidates (values of a=candidate, RFC 8839 section 5.1) that may still be used, of the highest
// priority first. Those that nobody can send to, malformed ones and active TCP (RFC 6544 section 4.5), count nothing.
func (b *budget) take(list []string) []string {
	type candidate struct {
		text     string
		priority uint64
		host     bool
	}
	var usable []candidate
	for _, text := range list {
		f := strings.Fields(text)
		if len(f) < 8 || f[6] != "typ" {
			continue
		}
		priority, err := strconv.ParseUint(f[3], 10, 32)
		active := slices.Contains(f[8:], "tcptype") && slices.Contains(f[8:], "active")
		if err == nil && !active {
			usable = append(usable, candidate{text, priority, f[7] == "host"})
		}
	}
	slices.SortStableFunc(usable, func(a, c candidate) int { return cmp.Compare(c.priority, a.priority) })
	var taken []string
	for _, c := range usable {
		if b.all == maxCandidates || c.host && b.hosts == maxHostCandidates {
			continue
		}
		b.all++
		if c.host {
			b.hosts++
		}
		taken = append(taken, c.text)
	}
	return taken
}
