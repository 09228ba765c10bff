//go:build linux

package e2e_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// explain prints what the tree of a peer's children did after it was hit, where E2E_LOG=debug has them write it down, and of a leaf that
// saw nothing for long what all others did that has to do with it.
func (c *chaos) explain(t *testing.T, at time.Duration, hit place, samples []chaosSample) {
	if len(chaosLog()) == 0 {
		return
	}
	for i, s := range samples {
		if s.gap[videoTrack] < shortBound/8 {
			continue
		}
		leaf, story := c.leaves[i], strings.Builder{}
		for _, p := range c.peers() {
			for _, l := range p.logged(at, at+2*time.Second) {
				if p != leaf && strings.Contains(l.what, leaf.id()) {
					fmt.Fprintf(&story, "%8.1f ms  %s: %s\n", float64(l.at)/1e6, p.name, c.names().Replace(l.what))
				}
			}
		}
		t.Logf("%s saw nothing for %v; of it the others say:\n%s", leaf.name, s.gap[videoTrack], story.String())
	}
	for _, p := range c.peers() {
		if p.at.Parent != hit.Peer {
			continue
		}
		var story strings.Builder
		for _, l := range p.logged(at, at+2*time.Second) {
			fmt.Fprintf(&story, "%8.1f ms  %s\n", float64(l.at)/1e6, c.names().Replace(l.what))
		}
		t.Logf("%s, whose backup is %s:\n%s", p.name, c.names().Replace(p.at.Backup), story.String())
	}
}

// names replaces the ids of peers by their names.
func (r *faultRoom) names() *strings.Replacer {
	var pairs []string
	for _, p := range append(append([]*faultPeer{r.origin}, r.inner...), r.leaves...) {
		pairs = append(pairs, p.id(), p.name)
	}
	return strings.NewReplacer(pairs...)
}

// logLine is what a peer's tree did at a time.
type logLine struct {
	at   time.Duration
	what string
}

// logged returns what a peer's log says of its tree and its hops in a time, with times since its beginning.
func (p *faultPeer) logged(from, to time.Duration) (lines []logLine) {
	for line := range strings.Lines(p.stderr()) {
		var entry struct {
			Time                    time.Time
			Msg, What, Peer, Reason string
		}
		if json.Unmarshal([]byte(line), &entry) != nil {
			continue
		}
		switch entry.Msg {
		case "tree":
		case "hop up", "hop down":
			entry.What = fmt.Sprintf("transport: %s %s %s", entry.Msg, entry.Peer, entry.Reason)
		default:
			continue
		}
		if d := entry.Time.Sub(began.Add(from)); d >= 0 && d < to-from {
			lines = append(lines, logLine{d, entry.What})
		}
	}
	return lines
}
