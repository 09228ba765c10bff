package engine

import (
	"time"

	"github.com/castd/castd/engine/room"
)

// Whoever has a seat at a conference is not always part of it. In a locked room with a waiting list he is outside until a moderator lets
// him in; and where the room's record says so, all but moderators wait while none of these is there. Who waits hears music, is not heard,
// and keeps his seat: he is let in at a tick of the mix, and need not join again. Mixer and standby come to the same by what is signed;
// who waits to be let in the standby is told by his own peer.

// What people wait for.
const (
	WaitingHost      = "host"      // for somebody who may moderate
	WaitingAdmission = "admission" // to be let in by a moderator
)

const (
	// hostPatience is how long a room that waits for its host goes on after the last moderator has left: he may come back.
	hostPatience = time.Minute
	// maxWaiting bounds those who wait to be let in.
	maxWaiting = 64
	// toneMost is how many may be there at most for a tone to be heard when somebody comes or goes, and toneGap the least time between two
	// of these tones: of many who come at once, one tells.
	toneMost = 8
	toneGap  = time.Second
)

// lobby is what a mix knows of those who wait.
type lobby struct {
	hosted time.Time // when somebody who may moderate was there last; zero: never
	open   bool      // nobody has to wait for the host
	held   bool      // who only listen hear music
	toned  time.Time // when somebody was last announced by a tone
	here   int       // how many are present
}

// presence is what the lobby knows of a seat. The room's goroutine owns it.
type presence struct {
	inside   bool   // he need not be let in
	waits    string // what he waits for; "": nothing
	present  bool   // he takes part
	held     bool   // he is on hold
	ready    bool   // he takes what was written before he came
	welcomed bool   // and was told
}

// settingsInfo returns the settings of a conference, nil of a broadcast.
func settingsInfo(rec *room.Record) *SettingsInfo {
	if rec.Mode != room.Conference {
		return nil
	}
	return showSettings(rec.Settings)
}

func showSettings(s room.Settings) *SettingsInfo {
	return &SettingsInfo{Tones: !s.Has(room.NoTones), Wait: s.Has(room.WaitForHost), Music: s.Has(room.MusicAlone)}
}

// bits returns what showSettings shows.
func (i *SettingsInfo) bits() (s room.Settings) {
	if !i.Tones {
		s |= room.NoTones
	}
	if i.Wait {
		s |= room.WaitForHost
	}
	if i.Music {
		s |= room.MusicAlone
	}
	return s
}

// knownWaiting returns what another peer says that somebody waits for, where this one knows it.
func knownWaiting(s string) string {
	if s == WaitingHost || s == WaitingAdmission {
		return s
	}
	return ""
}

// outsider returns the state that somebody is told who waits for something. Who is not let in yet is not told who is there.
func outsider(s *CallState, self, waits string) *CallState {
	if waits == "" {
		return s
	}
	is := *s
	if is.Waiting = waits; waits == WaitingAdmission {
		is.Participants, is.Dominant, is.Hands = []CallParticipant{}, "", nil
		for _, p := range s.Participants {
			if p.Participant == self {
				is.Participants = append(is.Participants, p)
			}
		}
	}
	return &is
}

// hostedLoop reports whether nobody has to wait for the host.
func (r *Room) hostedLoop(now time.Time) bool {
	p, l := r.policy(), &r.mixing.lobby
	if !p.Record.Settings.Has(room.WaitForHost) {
		return true
	}
	for s := range r.mixing.seats {
		if !s.announces && p.MayModerate(s.who, s.chain, now) {
			l.hosted = now
		}
	}
	return !l.hosted.IsZero() && now.Sub(l.hosted) < hostPatience
}

// lobbyLoop says who waits and for what, puts them on hold, and lets in whose waiting is over. The mix is heard by those who only listen
// while somebody takes part in it.
func (r *Room) lobbyLoop(p room.Policy, now time.Time) {
	m := r.mixing
	l := &m.lobby
	l.open = r.hostedLoop(now)
	here, all := 0, 0
	for s := range m.seats {
		if s.announces {
			continue
		}
		all++
		moderates := p.MayModerate(s.who, s.chain, now)
		if moderates || !p.Locked(now) || p.Admitted(s.who, now) {
			s.inside = true
		}
		waits := ""
		switch {
		case !s.inside:
			waits = WaitingAdmission
		case !moderates && !l.open:
			waits = WaitingHost
		default:
			here++
		}
		if s.inside {
			r.satLoop(s.info.Participant)
			r.greetLoop(s)
		}
		if s.waits != waits {
			s.waits = waits
			s.tell.wait(waits)
		}
	}
	was := l.here
	l.here = here
	entered := false
	for s := range m.seats {
		if s.announces {
			continue
		}
		alone := here == 1 && s.waits == "" && p.Record.Settings.Has(room.MusicAlone) && r.audience() == 0
		if hold := s.waits != "" || alone; hold != s.held {
			s.held = hold
			s.Hold(hold)
		}
		if present := s.waits == ""; present != s.present {
			s.present = present
			entered = entered || present
		}
		if here == 1 && was > 1 && s.present && !entered && !p.Record.Settings.Has(room.NoTones) && !r.unheardLoop() {
			s.Tone(ToneAlone)
		}
	}
	if held := here == 0 && (all > 0 || r.entertainsLoop()); held != l.held {
		l.held = held
		m.mix.Hold(held)
	}
	if entered {
		r.toneLoop(ToneEnter, now)
	}
}

// entertainsLoop reports whether those who only listen hear music although nobody takes part: they wait for the host.
func (r *Room) entertainsLoop() bool {
	return r.mixesLoop() && r.record.Load().Settings.Has(room.WaitForHost) && r.audience() > 0
}

// entertainLoop begins a mix for them, and ends it.
func (r *Room) entertainLoop(now time.Time) {
	switch entertains := r.entertainsLoop(); {
	case entertains && r.mixing == nil && r.e.mixing != nil:
		if err := r.mixLoop(); err != nil {
			r.e.log.Debug("cannot play music", "err", err)
			return
		}
		r.lobbyLoop(r.policy(), now)
	case !entertains && r.mixing != nil:
		r.unmixLoop(false)
	}
}

// leftLoop tells the others that somebody has left who took part.
func (r *Room) leftLoop(s *roomSeat) {
	if s.present {
		r.toneLoop(ToneLeave, time.Now())
	}
}

// toneLoop has all hear that somebody comes or goes.
func (r *Room) toneLoop(t Tone, now time.Time) {
	l := &r.mixing.lobby
	if r.record.Load().Settings.Has(room.NoTones) || r.unheardLoop() || l.here > toneMost || now.Sub(l.toned) < toneGap {
		return
	}
	l.toned = now
	r.mixing.mix.Tone(t)
}

// mutedTone tells a participant that a moderator has muted him, or lets him speak again.
func (s *roomSeat) mutedTone(muted bool, p room.Policy) {
	switch {
	case p.Record.Settings.Has(room.NoTones), s.room.unheardLoop(): // his own peer tells him, see call.obey
	case muted:
		s.Tone(ToneMuted)
	default:
		s.Tone(ToneUnmuted)
	}
}

// greetLoop tells somebody who has come in what was written before.
func (r *Room) greetLoop(s *roomSeat) {
	if s.ready && s.inside && !s.welcomed {
		s.welcomed = true
		r.floor.welcome(s)
	}
}

// waitLoop notes, at a standby, whether who mixes has somebody wait to be let in, as his peer says.
func (r *Room) waitLoop(s *roomSeat, on bool) {
	if r.mixing == nil || r.mixing.follows == "" || !r.mixing.seats[s] || s.inside == !on {
		return
	}
	if s.inside = !on; on {
		delete(r.sat, s.info.Participant)
	}
	r.reseatLoop()
}

// waitersLoop counts those who wait to be let in.
func (r *Room) waitersLoop() (n int) {
	for s := range r.mixing.seats {
		if !s.inside && !s.announces {
			n++
		}
	}
	return n
}

// wait notes what he waits for.
func (t *teller) wait(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waits = what
}
