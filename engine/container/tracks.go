package container

import (
	"bytes"
	"fmt"
	"math"
	"time"

	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/wire"
)

// Track types of Matroska.
const (
	typeVideo = 1
	typeAudio = 2
)

const maxTracks = 64

// entry is what the reader must know of a track to read its blocks.
type entry struct {
	id       int
	codec    string
	duration time.Duration // of each frame, where given
	prefix   []byte        // that was stripped off each frame
	damage   string        // why its blocks cannot be read
}

// codecNames are Matroska's names of the codecs that castd carries.
func codecName(id string) string {
	switch id {
	case "A_OPUS":
		return codec.Opus
	case "V_VP8":
		return codec.VP8
	case "V_VP9":
		return codec.VP9
	case "V_MPEG4/ISO/AVC":
		return codec.H264
	case "V_AV1":
		return codec.AV1
	}
	return id
}

func codecID(name string) string {
	for _, id := range []string{"A_OPUS", "V_VP8", "V_VP9", "V_MPEG4/ISO/AVC", "V_AV1"} {
		if codecName(id) == name {
			return id
		}
	}
	return ""
}

func (m *matroskaReader) readTracks(content []byte, at int64) error {
	m.entries = make(map[uint64]*entry)
	return children(content, at, func(id uint32, v []byte, at int64) error {
		if id != idTrackEntry {
			return nil
		}
		return m.readTrack(v, at)
	})
}

func (m *matroskaReader) readTrack(content []byte, at int64) error {
	t := Track{ClockRate: codec.VideoClock}
	e := &entry{}
	var trackNumber, kind, delay uint64
	channels, rate := uint64(1), 8000.0
	err := children(content, at, func(id uint32, v []byte, at int64) error {
		switch id {
		case idTrackNumber:
			trackNumber = number(v)
		case idTrackType:
			kind = number(v)
		case idDefaultDuration:
			if d := number(v); d < uint64(time.Hour) {
				e.duration = time.Duration(d)
			}
		case idCodecID:
			t.Codec = codecName(text(v))
		case idCodecPrivate:
			t.Private = bytes.Clone(v)
		case idCodecDelay:
			delay = number(v)
		case idVideo:
			return children(v, at, func(id uint32, v []byte, _ int64) error {
				switch id {
				case idPixelWidth:
					t.Width = int(min(number(v), math.MaxInt32))
				case idPixelHeight:
					t.Height = int(min(number(v), math.MaxInt32))
				}
				return nil
			})
		case idAudio:
			return children(v, at, func(id uint32, v []byte, _ int64) error {
				switch id {
				case idSampling:
					rate = float(v)
				case idChannels:
					channels = min(number(v), 255)
				}
				return nil
			})
		case idContentEncodings:
			return e.encodings(v, at)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if kind != typeVideo && kind != typeAudio {
		return nil
	}
	if trackNumber == 0 || trackNumber > math.MaxInt32 || m.entries[trackNumber] != nil || len(m.tracks) == maxTracks {
		return errorf(at, "a track has an impossible number")
	}
	t.ID = int(trackNumber)
	t.Kind = wire.KindVideo
	if kind == typeAudio {
		t.Kind, t.Channels, t.ClockRate = wire.KindAudio, uint32(channels), 0
		if rate >= 1 && rate < 1<<24 {
			t.ClockRate = uint32(rate)
		}
		if t.Codec == codec.Opus {
			t.ClockRate = codec.AudioClock
			t.PreSkip = int(samples(time.Duration(min(delay, uint64(time.Second)))))
			if _, skip, ok := codec.ParseOpusHead(t.Private); ok {
				t.PreSkip = skip
			}
		}
	}
	e.id, e.codec = t.ID, t.Codec
	m.entries[trackNumber] = e
	m.tracks = append(m.tracks, t)
	return nil
}

// encodings takes note of what was done to the frames before they were stored. Old files have the first octets that all frames
// share stripped off; nothing else is understood.
func (e *entry) encodings(content []byte, at int64) error {
	return children(content, at, func(id uint32, v []byte, at int64) error {
		if id != idContentEncoding {
			return nil
		}
		scope, kind, algorithm := uint64(1), uint64(0), uint64(0)
		var settings []byte
		err := children(v, at, func(id uint32, v []byte, at int64) error {
			switch id {
			case idContentScope:
				scope = number(v)
			case idContentType:
				kind = number(v)
			case idCompression:
				return children(v, at, func(id uint32, v []byte, _ int64) error {
					switch id {
					case idCompAlgo:
						algorithm = number(v)
					case idCompSettings:
						settings = bytes.Clone(v)
					}
					return nil
				})
			}
			return nil
		})
		if err != nil {
			return err
		}
		const headerStripping = 3
		switch {
		case scope&1 == 0: // not the frames
		case kind == 0 && algorithm == headerStripping && len(e.prefix) == 0 && len(settings) <= 1024:
			e.prefix = settings
		case kind == 0:
			e.damage = fmt.Sprintf("the track's frames are compressed (method %d), which castd does not read", algorithm)
		default:
			e.damage = "the track is encrypted"
		}
		return nil
	})
}
