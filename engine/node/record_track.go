package node

import (
	"fmt"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/container"
)

// inTrack is a track of a recording and the stream that it follows.
type inTrack struct {
	*container.Intake
	state *engine.StreamState
}

func sourceOf(s *engine.StreamState) container.Source {
	return container.Source{Codec: s.Codec, ClockRate: s.ClockRate, Channels: s.Channels}
}

func newInTrack(id int, s *engine.StreamState) (*inTrack, error) {
	t, err := container.NewIntake(id, sourceOf(s))
	if err != nil {
		return nil, engine.NewUserError(engine.CodeBadMedia, fmt.Sprintf("the room sends %s, which castd cannot write to a file", s.Codec))
	}
	return &inTrack{t, s}, nil
}

// change lets the track go on with another stream.
func (t *inTrack) change(s *engine.StreamState) {
	t.Change(sourceOf(s))
	t.state = s
}

// oggFile writes the audio track of a recording.
type oggFile struct{ w *container.OggWriter }

func (o *oggFile) write(f *container.Frame) error { return o.w.WritePacket(f.Data, f.Time) }
func (o *oggFile) close() error                   { return o.w.Close() }

// matroskaFile writes all tracks of a recording.
type matroskaFile struct{ w *container.MatroskaWriter }

func (m *matroskaFile) write(f *container.Frame) error { return m.w.WriteFrame(f) }
func (m *matroskaFile) close() error                   { return m.w.Close() }

// ivfFile writes the video track of a recording. It has nothing to close.
type ivfFile struct{ w *container.IVFWriter }

func (v *ivfFile) write(f *container.Frame) error { return v.w.WriteFrame(f) }
func (v *ivfFile) close() error                   { return nil }
