package engine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/enginetest"
)

// Who joins in the middle of a group of pictures sees it at once: all of it comes from its key frame on, without a hole, and within a
// second he is as near to live as everybody else. The joins are at different moments of a group, also when a new one has begun
// and no manifest has come for it yet, and under parents that have joined during the same group.
//
// Round trips of a join, 50 ms each here: QUIC connection to the bootstrap peer and the question for the room (Join returns when
// it is answered), then probe, join, hop offer, ICE, and two of DTLS, after which media is on its way already.
//
//	go test -run TestVNetLateJoin -v ./engine
func TestVNetLateJoin(t *testing.T) {
	const roundTrip = 50 * time.Millisecond
	onVNet(t, 31, roundTrip/2, 2, func(t *testing.T, s *vstage) {
		s.listen(3, 2)
		asked := 0
		pub, err := s.room.Publish(t.Context(), videoSlot(func() { asked++ }))
		if err != nil {
			t.Fatal(err)
		}
		p := startProgramme(t, pub)
		time.Sleep(10 * time.Second)
		var late []*lateJoiner
		for i := range 8 {
			time.Sleep(900*time.Millisecond + time.Duration(i)*40*time.Millisecond)
			late = append(late, s.joinLate(fmt.Sprintf("late%d", i)))
		}
		time.Sleep(3 * time.Second)
		p.end()
		time.Sleep(time.Second)
		t.Logf("round trip %v; after starting: room known; after that: first packet, all of the group, live (so long after it was sent)", roundTrip)
		for _, l := range late {
			l.check(t, s, p, roundTrip)
		}
		if asked > 0 {
			t.Errorf("the source was asked for %d key frames although groups are 2 s long", asked)
		}
	})
}

type lateJoiner struct {
	name          string
	began, joined time.Time
	room          *engine.Room
	sink          *enginetest.Sink
}

func (s *vstage) joinLate(name string) *lateJoiner {
	s.t.Helper()
	l := &lateJoiner{name: name, began: time.Now(), sink: &enginetest.Sink{}}
	v, err := s.net.Add(name, 1, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if l.room, err = v.Join(s.t.Context(), "lobby", engine.JoinOptions{Listen: true, Wait: 10 * time.Second}); err != nil {
		s.t.Fatal(err)
	}
	l.joined = time.Now()
	if _, err := l.room.Subscribe(l.sink, engine.SinkOptions{Backlog: true}); err != nil {
		s.t.Fatal(err)
	}
	return l
}

func (l *lateJoiner) check(t *testing.T, s *vstage, p *programme, roundTrip time.Duration) {
	t.Helper()
	video := stateOf(t, s.room, "video")
	var first, live, group time.Time // when the first came, playout was live, and the group was complete
	var age time.Duration            // of what was live
	next, backlog := uint64(0), 0
	for _, g := range l.sink.Packets() {
		if g.Stream != video.ID {
			continue
		}
		if first.IsZero() {
			first = g.At
			if !g.Header.KeyFrame || !g.Header.FrameStart || !g.Backlog {
				t.Errorf("%s: the first packet is %+v, want the start of a key frame, as backlog", l.name, g.Header)
			}
		} else if g.Header.Number != next {
			t.Errorf("%s: after video packet %d came %d", l.name, next-1-video.First, g.Header.Number-video.First)
		}
		next = g.Header.Number + 1
		if g.Backlog {
			backlog, group = backlog+1, g.At
		}
		if d := g.At.Sub(p.sent["video"][g.Header.Number-video.First]); live.IsZero() && d < 5*roundTrip {
			live, age = g.At, d
		}
	}
	if first.IsZero() {
		t.Errorf("%s: nothing came", l.name)
		return
	}
	if n := int(next - video.First); n != p.count("video") {
		t.Errorf("%s: playout ends after %d of %d packets", l.name, n, p.count("video"))
	}
	since := func(at time.Time) time.Duration { return at.Sub(l.joined).Round(time.Millisecond) }
	t.Logf("%s, depth %d: %v; %v, %v (%d packets), %v (%v)", l.name, l.room.Tree().Depth, l.joined.Sub(l.began).Round(time.Millisecond),
		since(first), since(group), backlog, since(live), age.Round(time.Millisecond))
	if since(first) > 150*time.Millisecond+7*roundTrip {
		t.Errorf("%s: the first packet came %v after joining", l.name, since(first))
	}
	if live.IsZero() || since(live) > time.Second {
		t.Errorf("%s: live %v after joining", l.name, since(live))
	}
}
