package engine

import (
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// TestMixSender: who sends his mix himself is the standby before others, also where the hub that has died did so a moment ago, and of others
// the one who did last.
func TestMixSender(t *testing.T) {
	now := time.Unix(1000, 0)
	var media []*stream
	for i, author := range []peer.ID{"me", "hub", "standby", "old", "other"} {
		s := &stream{author: author}
		if author != "other" {
			s.directAt.Store(now.Add(-time.Duration(i) * 100 * time.Millisecond).UnixNano())
		}
		media = append(media, s)
	}
	for range media {
		media = append(media[1:], media[0])
		for standby, want := range map[peer.ID]peer.ID{"standby": "standby", "old": "old", "other": "hub", "": "hub"} {
			if got := mixSender(media, "me", standby, now); got != want {
				t.Fatalf("with the standby %q it is %q, want %q", standby, got, want)
			}
		}
	}
	if got := mixSender(media, "me", "standby", now.Add(time.Minute)); got != "" {
		t.Errorf("a minute later it is %q", got)
	}
}
