package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/castd/castd/plugins/sdk"
)

// talk finds out who speaks when. It is a value: times come with what it is given.
type talk struct {
	began  time.Time
	quiet  uint8
	pause  time.Duration
	tracks map[uint32]*speaker
	people map[string]*speaker // of a conference, by participant
}

// speaker is a stream of sound, or somebody in a conference.
type speaker struct {
	name     string
	from, to time.Time // what he says at the moment; zero: nothing
	talks    bool      // castd says so, and will say when he does not any more
}

// cue is one thing that somebody said.
type cue struct {
	from, to time.Duration // since the file began
	name     string
}

func newTalk(began time.Time, quiet uint8, pause time.Duration) *talk {
	return &talk{began: began, quiet: quiet, pause: pause, tracks: make(map[uint32]*speaker), people: make(map[string]*speaker)}
}

// streams notes who is there.
func (t *talk) streams(all []sdk.Stream) {
	for _, s := range all {
		if s.Kind != "audio" {
			continue
		}
		if t.tracks[s.Track] == nil {
			t.tracks[s.Track] = new(speaker)
		}
		t.tracks[s.Track].name = cmp.Or(s.Name, s.Slot+" of "+s.Participant)
	}
}

// packetTime is how long a packet of Opus usually lasts.
const packetTime = 20 * time.Millisecond

// packet notes whether a packet is speech: by its loudness, or where its source does not tell, by its size, as Opus says silence with less
// than eight octets.
func (t *talk) packet(p *sdk.Packet) {
	s := t.tracks[p.Track]
	if s == nil {
		return
	}
	if p.Level > 0 {
		if p.Level-1 > t.quiet {
			return
		}
	} else if len(p.Payload) < 8 {
		return
	}
	at := time.UnixMicro(cmp.Or(p.WallUs, p.ArrivedUs)) // the speaker's own clock, where it is known
	if s.from.IsZero() {
		s.from = at
	}
	s.to = at.Add(packetTime)
}

// event takes what castd says of who talks in a conference.
func (t *talk) event(e *sdk.Event) {
	var ev sdk.ParticipantEvent
	if e.Name != "talking" || e.Decode(&ev) != nil {
		return
	}
	s := t.people[ev.Participant]
	if s == nil {
		if ev.State != "live" {
			return
		}
		s = new(speaker)
		t.people[ev.Participant] = s
	}
	s.name, s.talks = cmp.Or(ev.Name, s.name, ev.Participant), ev.State == "live"
	if s.from.IsZero() {
		s.from = e.At()
	}
	s.to = e.At()
}

// look returns what was said and has ended by now.
func (t *talk) look(now time.Time) []cue {
	return t.take(func(s *speaker) bool { return !s.talks && now.Sub(s.to) > t.pause })
}

// end returns all that is left, where the room ends now.
func (t *talk) end(now time.Time) []cue {
	return t.take(func(s *speaker) bool {
		if s.talks {
			s.to = now
		}
		return true
	})
}

func (t *talk) take(over func(*speaker) bool) []cue {
	var out []cue
	for _, s := range slices.AppendSeq(slices.Collect(maps.Values(t.tracks)), maps.Values(t.people)) {
		if s.from.IsZero() || !over(s) {
			continue
		}
		out = append(out, cue{max(0, s.from.Sub(t.began)), max(0, s.to.Sub(t.began)), s.name})
		s.from, s.to = time.Time{}, time.Time{}
	}
	maps.DeleteFunc(t.people, func(_ string, s *speaker) bool { return s.from.IsZero() })
	slices.SortFunc(out, func(a, b cue) int { return cmp.Or(cmp.Compare(a.from, b.from), strings.Compare(a.name, b.name)) })
	return out
}

// String writes the cue as WebVTT does.
func (c cue) String() string {
	name := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\n", " ", "\r", " ").Replace(c.name)
	return fmt.Sprintf("%s --> %s\n<v %s>%s\n\n", stamp(c.from), stamp(max(c.to, c.from+time.Millisecond)), name, name)
}

func stamp(d time.Duration) string {
	ms := d.Milliseconds()
	return fmt.Sprintf("%02d:%02d:%02d.%03d", ms/3_600_000, ms/60_000%60, ms/1000%60, ms%1000)
}
