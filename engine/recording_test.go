package engine

import (
	"fmt"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Of what peers say the newest counts, in whatever order it comes and however often; who is silent is forgotten; and nobody fills the list.
func TestRecordings(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := make(recordings)
	said := func(on bool, sequence uint64) recording {
		return recording{on: on, since: now, sequence: sequence, heard: now}
	}
	steps := []struct {
		id       peer.ID
		on       bool
		sequence uint64
		changes  bool
		many     int
	}{
		{"a", false, 1, false, 0}, // nobody has said that he did
		{"a", true, 2, true, 1},
		{"a", true, 3, false, 1},
		{"a", false, 2, false, 1}, // older
		{"b", true, 1, true, 2},
		{"a", false, 4, true, 1},
		{"a", true, 3, false, 1}, // repeated by somebody
		{"a", true, 5, true, 2},
	}
	for i, s := range steps {
		if got := r.take(s.id, said(s.on, s.sequence)); got != s.changes || len(r.list()) != s.many {
			t.Errorf("step %d: changes %v, %d record", i, got, len(r.list()))
		}
	}
	for i := range 3 * maxRecordings {
		id := peer.ID(fmt.Sprint("liar", i))
		r.take(id, said(true, 1))
		r.take(id, said(false, 2))
	}
	if len(r) > maxRecordings {
		t.Errorf("%d are remembered", len(r))
	}
	if !r.take("honest", said(true, 1)) {
		t.Error("those who have ended keep others from being shown")
	}
	if ended := r.forget(now.Add(recordingLife - 1)); len(ended) > 0 {
		t.Errorf("%v ended too soon", ended)
	}
	if ended := r.forget(now.Add(recordingLife)); len(ended) != 3 || len(r.list()) > 0 {
		t.Errorf("%v ended, %v record", ended, r.list())
	}
	if r.take("b", said(true, 1)); len(r.list()) > 0 {
		t.Error("what was said before counts again")
	}
	if r.forget(now.Add(time.Hour)); len(r) > 0 {
		t.Errorf("%d are remembered for ever", len(r))
	}
}
