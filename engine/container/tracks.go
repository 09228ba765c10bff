package container

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/wire"
)

// Track types of Matroska.
const (
	typeVideo = 1
	typeAudio = 2
)

// MaxTracks bounds the tracks of a file: the numbers of all of them have one octet.
const MaxTracks = 126

const maxTracks = MaxTracks

// entry is what the reader must know of a track to read its blocks.
type entry struct {
	id       int
	codec    string
	duration time.Duration // of each frame, where given
	prefix   []byte        // that was stripped off each frame
	damage   string        // why its blocks cannot be read
	ordered  bool          // H264: the decoder configuration says whether frames are in the order of their times
	lengths  int           // H264: octets of a unit's length
}

// codecName returns the codec that a Matroska codec id stands for; an id that nobody here knows stays as it is. private is the
// track's CodecPrivate, in which old files name the codec.
func codecName(id string, private []byte) string {
	for _, c := range codecIDs() {
		if id == c.id {
			return c.name
		}
	}
	for _, c := range []struct{ prefix, name string }{
		{"A_AAC", codecAAC}, {"A_MPEG/L", codecMP3}, {"A_PCM", codecPCM}, {"A_AC3", codecAC3}, {"A_DTS", codecDTS},
		{"V_MPEG4/ISO", codecMPEG4}, {"V_MPEG4/MS", codecMPEG4},
	} {
		if strings.HasPrefix(id, c.prefix) {
			return c.name
		}
	}
	switch {
	case id == "V_MS/VFW/FOURCC" && len(private) >= 20: // a BITMAPINFOHEADER
		return fourCC(string(private[16:20]))
	case id == "A_MS/ACM" && len(private) >= 2: // a WAVEFORMATEX
		return waveCodec(binary.LittleEndian.Uint16(private))
	}
	return id
}

type codecIDName struct{ id, name string }

// codecIDs are Matroska's names (RFC 9559, section 5.1.4.1.21): first those of the codecs that castd carries.
func codecIDs() []codecIDName {
	return []codecIDName{
		{"A_OPUS", codec.Opus}, {"V_VP8", codec.VP8}, {"V_VP9", codec.VP9}, {"V_MPEG4/ISO/AVC", codec.H264}, {"V_AV1", codec.AV1},
		{"V_MPEGH/ISO/HEVC", codecHEVC}, {"V_THEORA", codecTheora}, {"V_MPEG1", codecMPEGVideo}, {"V_MPEG2", codecMPEGVideo},
		{"V_MJPEG", codecMJPEG}, {"V_PRORES", codecProRes}, {"A_VORBIS", codecVorbis}, {"A_FLAC", codecFLAC}, {"A_ALAC", codecALAC},
		{"A_EAC3", codecEAC3},
	}
}

func codecID(name string) string {
	for _, c := range codecIDs()[:5] {
		if c.name == name {
			return c.id
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
	var codecID string
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
			codecID = text(v)
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
	t.ID, t.Codec = int(trackNumber), codecName(codecID, t.Private)
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
	if t.Codec == codec.H264 {
		t.Reordered, e.ordered = codec.H264Reorders(t.Private)
		e.lengths = codec.UnitLengths(t.Private)
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
