//go:build linux

package e2e_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// explain prints what the tree of a peer's children did after it was hit, where E2E_LOG=debug has them write it down.
func (c *chaos) explain(t *testing.T, at time.Duration, hit place) {
	if len(chaosLog()) == 0 {
		return
	}
	for _, p := range c.peers() {
		if p.at.Parent != hit.Peer {
			continue
		}
		t.Logf("%s, whose backup is %s:\n%s", p.name, c.nameOf(p.at.Backup), strings.Join(c.named(p.logged(at, at+2*time.Second)), "\n"))
	}
}

func (r *faultRoom) nameOf(id string) string {
	if p := r.peer(id); p != nil {
		return p.name
	}
	return id
}

// named replaces the ids of peers by their names.
func (r *faultRoom) named(lines []string) []string {
	var pairs []string
	for _, p := range r.peers() {
		pairs = append(pairs, p.id(), p.name)
	}
	names := strings.NewReplacer(pairs...)
	out := slices.Clone(lines)
	for i := range out {
		out[i] = names.Replace(out[i])
	}
	return out
}

// logged returns what a peer's log says of its tree in a time, with milliseconds since its beginning.
func (p *faultPeer) logged(from, to time.Duration) (lines []string) {
	for line := range strings.Lines(p.stderr()) {
		var entry map[string]any
		if json.Unmarshal([]byte(line), &entry) != nil || entry["msg"] != "tree" {
			continue
		}
		when, err := time.Parse(time.RFC3339Nano, fmt.Sprint(entry["time"]))
		if err != nil {
			continue
		}
		if d := when.Sub(began.Add(from)); d >= 0 && d < to-from {
			lines = append(lines, fmt.Sprintf("%8.1f ms  %v", float64(d)/1e6, entry["what"]))
		}
	}
	return lines
}
