//go:build linux

package plugins

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/plugins/sdk/protocol"
)

// red is Opus in a payload of RFC 2198 without anything older.
func red(payload []byte) []byte { return append([]byte{111}, payload...) }

// TestTapIn has a plugin get what each participant of a conference says and what happens there: what it was granted of what it wants.
func TestTapIn(t *testing.T) {
	h := newTestHost(t)
	h.service.media.mode = "conference"
	h.install("listener", Change{Grant: []string{"rooms", "audio", "chat"}, Set: []string{"do=conference"}})
	h.start()
	h.running("listener")
	h.said("listener", "attend lobby conference")
	tap := <-h.service.media.taps
	if want := (engine.TapOptions{Voices: true, Talking: true, Chat: true}); tap.options != want {
		t.Errorf("it listens in with %+v", tap.options)
	}
	ann := &engine.Voice{Participant: "a", Name: "Ann", Started: time.Now()}
	bob := &engine.Voice{Participant: "b", Name: "Bob\xff", RED: true, Stereo: true, Started: time.Now()}
	tap.tap.Voices([]*engine.Voice{ann, bob})
	h.said("listener", "voice 3 opus of a Ann")
	h.said("listener", "voice 4 red of b Bob?")
	now := engine.EventTime(time.Now())
	tap.tap.Happened(&engine.Event{Event: engine.EventTalking, Time: now, Participant: "a", Name: "Ann", State: "live"})
	tap.tap.Happened(&engine.Event{Event: engine.EventChat, Time: now, Participant: "b", Message: "hello"})
	h.said("listener", "event talking a live")
	h.said("listener", "event chat b hello")
	payload := h.service.media.payload()
	for n := range int64(60) {
		tap.tap.WriteVoice(ann, &engine.MediaPacket{Sequence: 40 + n, Timestamp: uint32(n) * 960, Payload: payload, Level: 30})
		tap.tap.WriteVoice(bob, &engine.MediaPacket{Sequence: 40 + n, Timestamp: uint32(n) * 960, Payload: red(payload), Level: 255})
		h.service.media.write(0, uint64(n)) // of the mix come samples
	}
	h.said("listener", "packet 3 50 9600 100")
	h.said("listener", "packet 4 50 9600 100")
	h.said("listener", "packet 1 50 48000 1920")
	tap.tap.Voices([]*engine.Voice{bob})
	tap.tap.WriteVoice(ann, &engine.MediaPacket{Sequence: 150, Payload: payload})
	tap.tap.WriteVoice(bob, &engine.MediaPacket{Sequence: 150, Timestamp: 5, Payload: red(payload)})
	if text := h.said("listener", "packet 4 150 5 100"); strings.Contains(text, "packet 3 150") {
		t.Error("a packet comes of who is not there")
	}

	// Another plugin without permissions gets nothing of it.
	h.install("outsider", Change{Grant: []string{"rooms"}, Set: []string{"do=conference"}})
	if err := h.Reload(); err != nil {
		t.Fatal(err)
	}
	other := <-h.service.media.taps
	if want := (engine.TapOptions{Talking: true}); other.options != want {
		t.Errorf("without permissions it listens in with %+v", other.options)
	}
	s := h.wait("outsider", "told what it lacks", func(s Status) bool { return s.Problem != "" })
	if !strings.Contains(s.Problem, "--grant audio") {
		t.Errorf("problem %q", s.Problem)
	}
	for _, name := range []string{"listener", "outsider"} {
		if err := h.store.Disable(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Reload(); err != nil {
		t.Fatal(err)
	}
	<-tap.closed
	<-other.closed
}

// TestRoomsArePushed: a room is attended as soon as it opens, left as it closes, and attended again when it is there again at once.
func TestRoomsArePushed(t *testing.T) {
	h := newTestHost(t)
	h.service.set(false)
	h.install("good", Change{Grant: []string{"rooms"}})
	h.start()
	h.running("good")
	count := func(what string) int {
		text, _ := os.ReadFile(h.store.folder("good") + "/log")
		return strings.Count(string(text), what)
	}
	until := func(what string, n int) {
		t.Helper()
		for began := time.Now(); count(what) != n; time.Sleep(time.Millisecond) {
			if time.Since(began) > patience {
				t.Fatalf("%q was said %d times, not %d", what, count(what), n)
			}
		}
	}
	var took []time.Duration
	for i := range 10 {
		began := time.Now()
		h.service.set(true)
		until("attend ", i+1)
		took = append(took, time.Since(began))
		h.service.set(false)
		until("left ", i+1)
	}
	// There again before the plugin has left, it is attended again, or still.
	h.service.set(true)
	until("attend ", 11)
	h.service.set(false)
	time.Sleep(lookGap / 2)
	h.service.set(true)
	time.Sleep(4 * lookGap)
	for began := time.Now(); count("attend ")-count("left ") != 1; time.Sleep(time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("it attends %d times and leaves %d times", count("attend "), count("left "))
		}
	}
	slices.Sort(took)
	t.Logf("a room is attended after %v, at most %v", took[5], took[9])
	if took[5] > 400*time.Millisecond {
		t.Errorf("it takes %v", took)
	}
}

// set opens or closes the room.
func (s *testService) set(there bool) {
	s.mu.Lock()
	s.gone = !there
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// TestVoicesOutOfOrder: the gap of what was dropped of packets that came out of order holds all of them.
func TestVoicesOutOfOrder(t *testing.T) {
	var o outbox
	tr, other := &track{id: 1}, &track{id: 2}
	pool := new(buffers)
	now := time.Now()
	for _, n := range []uint64{7, 5, 9, 6} {
		o.add(now, tr, &protocol.Media{Number: n}, pool)
	}
	o.add(now.Add(batchTime), other, &protocol.Media{Number: 1}, pool)
	o.add(now.Add(2*maxWait), other, &protocol.Media{Number: 2}, pool)
	if len(o.gapped) == 0 || tr.gapFirst != 5 || tr.gapLast != 9 {
		t.Errorf("the gap is %d to %d", tr.gapFirst, tr.gapLast)
	}
}
