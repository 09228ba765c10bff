package room

import (
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/wire"
)

// Bounds of what an announce says of a stream.
const (
	maxFmtp      = 512 // octets
	maxClockRate = 1 << 20
	maxChannels  = 8
	// MaxRekeys is how many changes of its media key a stream tells of: those whose packets may still be on their way.
	MaxRekeys = 4
)

// MainSlot is the slot that is meant where none is named.
const MainSlot = "main"

var (
	slotForm        = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)
	codecForm       = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,15}$`)
	participantForm = regexp.MustCompile(`^[a-z2-7]{16}$`)
)

// NormalSlot returns the lower-case form of a slot's name, MainSlot for an empty one. Slots are named as rooms are.
func NormalSlot(s string) (string, error) {
	if s == "" {
		return MainSlot, nil
	}
	n := strings.ToLower(s)
	if !slotForm.MatchString(n) {
		return "", fmt.Errorf("%q is not a slot name: use 1 to 64 letters, digits, '-', '_' or '.', beginning with a letter or digit", s)
	}
	return n, nil
}

// check decodes an announce and checks everything but the right to send. It returns the streams sorted by id.
func (r *Roster) check(m *wire.Message) (*wire.Announce, []*Stream, error) {
	if m.Type != wire.Type_ANNOUNCE || m.Room != r.record.ID || m.User == nil {
		return nil, nil, fmt.Errorf("%w: of another type or room, or without a certificate", ErrAnnounce)
	}
	var a wire.Announce
	if err := proto.Unmarshal(m.Body, &a); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrAnnounce, err)
	}
	// A guest's participant id is whatever the device that serves him says it is, and the right is that device's user's.
	if !participantForm.MatchString(a.Participant) || !slotForm.MatchString(a.Slot) {
		return nil, nil, fmt.Errorf("%w: participant or slot", ErrAnnounce)
	}
	id := func(label string) uint64 {
		return uint64(wire.NewStreamID(m.Room, m.Device, a.Participant, a.Slot, label))
	}
	if a.Record != id(wire.RecordLabel) {
		return nil, nil, fmt.Errorf("%w: record stream's id does not follow from device, participant and slot", ErrAnnounce)
	}
	if a.RecordFirst > wire.MaxNumber {
		return nil, nil, fmt.Errorf("%w: number of the record stream", ErrAnnounce)
	}
	if len(a.Streams) > MaxStreams || len(a.Streams) == 0 && !a.Ended {
		return nil, nil, fmt.Errorf("%w: %d streams", ErrAnnounce, len(a.Streams))
	}
	name := CleanName(a.Name)
	var streams []*Stream
	for _, s := range a.Streams {
		if err := checkStream(s); err != nil {
			return nil, nil, err
		}
		if s.Id != id(s.Label) {
			return nil, nil, fmt.Errorf("%w: id of stream %q does not follow from device, participant and slot", ErrAnnounce, s.Label)
		}
		streams = append(streams, &Stream{
			ID: wire.StreamID(s.Id), Slot: a.Slot, Label: s.Label, Kind: wire.Kind(s.Kind), Codec: s.Codec, ClockRate: s.ClockRate,
			Channels: s.Channels, Fmtp: s.Fmtp, Incarnation: uint16(s.Incarnation), Generation: s.Generation, First: s.First,
			Participant: a.Participant, Name: name, Device: m.Device, Record: wire.StreamID(a.Record), RecordFirst: a.RecordFirst, StartedMs: a.StartedMs,
			Live: true, Rekeys: rekeys(s),
		})
	}
	sortStreams(streams)
	for i := 1; i < len(streams); i++ {
		if streams[i].ID == streams[i-1].ID {
			return nil, nil, fmt.Errorf("%w: stream %q twice", ErrAnnounce, streams[i].Label)
		}
	}
	return &a, streams, nil
}

func checkStream(s *wire.StreamInfo) error {
	kind := wire.Kind(s.GetKind())
	switch {
	case s.GetKind() > 3 || kind != wire.KindAudio && kind != wire.KindVideo:
		return fmt.Errorf("%w: stream of kind %d", ErrAnnounce, s.GetKind())
	case !slotForm.MatchString(s.Label) || s.Label == wire.RecordLabel || s.Label == wire.ExcerptLabel:
		return fmt.Errorf("%w: label of a stream", ErrAnnounce)
	case !codecForm.MatchString(s.Codec) || len(s.Fmtp) > maxFmtp || strings.ContainsFunc(s.Fmtp, isControl):
		return fmt.Errorf("%w: codec of stream %q", ErrAnnounce, s.Label)
	case s.ClockRate == 0 || s.ClockRate > maxClockRate || s.Channels > maxChannels:
		return fmt.Errorf("%w: clock rate or channels of stream %q", ErrAnnounce, s.Label)
	case s.Incarnation > 0xFFFF || s.First > wire.MaxNumber || len(s.Rekeys) > MaxRekeys:
		return fmt.Errorf("%w: numbers of stream %q", ErrAnnounce, s.Label)
	}
	for _, k := range s.Rekeys {
		if k.GetIncarnation() > 0xFFFF {
			return fmt.Errorf("%w: incarnation of stream %q", ErrAnnounce, s.Label)
		}
	}
	return nil
}

func rekeys(s *wire.StreamInfo) []Rekey {
	var out []Rekey
	for _, k := range s.Rekeys {
		out = append(out, Rekey{Incarnation: uint16(k.GetIncarnation()), Generation: k.GetGeneration()})
	}
	return out
}
