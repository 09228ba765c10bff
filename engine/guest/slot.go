package guest

import (
	"slices"
	"strings"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// defaultSlot is what an empty slot name means.
const defaultSlot = "main"

// slotKey names a slot of a publishing device.
type slotKey struct {
	device, participant, slot string
}

func keyOf(st *engine.StreamState) slotKey {
	return slotKey{device: st.Device, participant: st.Participant, slot: st.Slot}
}

// programme is what a viewer is being shown: one slot's audio and video. Values are immutable.
type programme struct {
	key   slotKey
	audio *engine.StreamState // nil if there is none, or none that the viewer can take
	video *engine.StreamState
	// misfit is set when the slot has streams that the viewer asked for, but none in a codec that he offered.
	misfit bool
}

// wish is what a viewer asked to be shown. The zero value is whatever there is.
type wish struct {
	slot        string // name; "" for any
	participant string // whose; "" for anybody's
}

func (w wish) matches(st *engine.StreamState) bool {
	return (w.slot == "" || sameSlot(st.Slot, w.slot)) && (w.participant == "" || st.Participant == w.participant)
}

// choosePlaying returns what to show of the streams: the slot that is being shown while it lives, else the one that has been
// live longest of those that match the wish. fits reports whether the viewer can take a stream, wants whether he asked
// for its kind. It returns nil while nothing is live.
func choosePlaying(all []*engine.StreamState, want wish, now *programme, fits func(*engine.StreamState) bool) *programme {
	var best *engine.StreamState
	for _, st := range all {
		if !st.Live || st.Kind != wire.KindAudio && st.Kind != wire.KindVideo || !want.matches(st) {
			continue
		}
		if now != nil && keyOf(st) == now.key {
			best = st
			break
		}
		if best == nil || before(st, best) {
			best = st
		}
	}
	if best == nil {
		return nil
	}
	p := &programme{key: keyOf(best)}
	some := false
	for _, st := range all {
		if !st.Live || keyOf(st) != p.key || st.Kind != wire.KindAudio && st.Kind != wire.KindVideo {
			continue
		}
		some = true
		if !fits(st) {
			continue
		}
		switch {
		case st.Kind == wire.KindAudio && (p.audio == nil || st.Label < p.audio.Label):
			p.audio = st
		case st.Kind == wire.KindVideo && (p.video == nil || st.Label < p.video.Label):
			p.video = st
		}
	}
	p.misfit = some && p.audio == nil && p.video == nil
	return p
}

// chooseConference is choosePlaying in a conference: the mix is heard whatever is seen, and without a wish whose camera has been live longest
// is seen, who is kept while he is.
func chooseConference(all []*engine.StreamState, want wish, now *programme, fits func(*engine.StreamState) bool) *programme {
	mix := choosePlaying(all, wish{slot: mixSlot}, now, fits)
	var seen *programme
	if want != (wish{}) || mix == nil {
		seen = choosePlaying(all, want, now, fits)
	} else {
		var cameras []*engine.StreamState
		for _, st := range all {
			if st.Kind == wire.KindVideo {
				cameras = append(cameras, st)
			}
		}
		if seen = choosePlaying(cameras, want, now, fits); seen != nil && seen.misfit && mix != nil {
			seen = nil
		}
	}
	if seen == nil {
		return mix
	}
	if seen.audio == nil && mix != nil {
		seen.audio = mix.audio
		seen.misfit = seen.misfit && seen.audio == nil
	}
	return seen
}

// encodings returns the live streams of a picture's slot that fit, by label: the largest first where their source keeps to what is usual.
func encodings(all []*engine.StreamState, picture *engine.StreamState, fits func(*engine.StreamState) bool) (list []*engine.StreamState) {
	for _, st := range all {
		if st.Live && st.Kind == wire.KindVideo && keyOf(st) == keyOf(picture) && fits(st) {
			list = append(list, st)
		}
	}
	slices.SortFunc(list, func(a, b *engine.StreamState) int { return strings.Compare(a.Label, b.Label) })
	return list
}

// mixSlot is the slot of what is heard of a conference.
const mixSlot = "mix"

// before orders streams by when they became live; ties are broken by name, so that all peers choose alike.
func before(a, b *engine.StreamState) bool {
	if a.StartedMs != b.StartedMs {
		return a.StartedMs < b.StartedMs
	}
	return a.ID < b.ID
}

func sameSlot(a, b string) bool {
	if a == "" {
		a = defaultSlot
	}
	if b == "" {
		b = defaultSlot
	}
	return strings.EqualFold(a, b)
}
