package container

import (
	"encoding/binary"
	"math/bits"
	"time"

	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/wire"
)

// ivfReader reads IVF: a header of 32 octets, then frames of size(32) timestamp(64) data, all little-endian.
type ivfReader struct {
	s     *source
	track Track
	rate  uint32 // timestamps are in units of scale/rate seconds
	scale uint32
	first *Frame // of H264, which Open has read
	err   error
}

func openIVF(s *source) (Demuxer, error) {
	var h [32]byte
	if err := s.rest(h[:], "the IVF header"); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint16(h[6:])
	if size < 32 {
		return nil, errorf(6, "IVF header says that it has %d octets", size)
	}
	if err := s.skip(int64(size)-32, "the IVF header"); err != nil {
		return nil, err
	}
	v := &ivfReader{s: s, rate: binary.LittleEndian.Uint32(h[16:]), scale: binary.LittleEndian.Uint32(h[20:])}
	if v.rate == 0 || v.scale == 0 {
		return nil, errorf(16, "IVF header has no frame rate")
	}
	v.track = Track{
		ID: 1, Kind: wire.KindVideo, ClockRate: codec.VideoClock,
		Width: int(binary.LittleEndian.Uint16(h[12:])), Height: int(binary.LittleEndian.Uint16(h[14:])),
	}
	if length, ok := v.time(uint64(binary.LittleEndian.Uint32(h[24:]))); ok && length < 1000*time.Hour {
		v.track.Duration = length // as many frames as the header counts
	}
	switch name := string(h[8:12]); name {
	case "VP80":
		v.track.Codec = codec.VP8
	case "VP90":
		v.track.Codec = codec.VP9
	case "AV01":
		v.track.Codec = codec.AV1
	case "H264":
		v.track.Codec = codec.H264
		if err := v.firstH264(); err != nil {
			return nil, err
		}
	default:
		v.track.Codec = fourCC(name)
	}
	return v, nil
}

// firstH264 takes the decoder configuration from the first frame: IVF holds H264 with start codes.
func (v *ivfReader) firstH264() error {
	f, err := v.next()
	if err != nil {
		return cut(err, v.s)
	}
	if v.track.Private = codec.DecoderConfig(codec.H264, f.Data); v.track.Private == nil {
		return errorf(v.s.offset-int64(len(f.Data)), "H264 does not begin with its parameter sets here")
	}
	v.first = f
	v.track.Reordered, _ = codec.H264Reorders(v.track.Private)
	return nil
}

func (v *ivfReader) Tracks() []Track { return []Track{v.track} }

func (v *ivfReader) Next() (*Frame, error) {
	if f := v.first; f != nil {
		v.first = nil
		return f, nil
	}
	if v.err != nil {
		return nil, v.err
	}
	f, err := v.next()
	v.err = err
	return f, err
}

func (v *ivfReader) next() (*Frame, error) {
	at := v.s.offset
	var h [12]byte
	if err := v.s.full(h[:], "an IVF frame header"); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(h[:])
	if size > MaxFrame {
		return nil, errorf(at, "IVF frame of %d octets is larger than %d", size, MaxFrame)
	}
	t, ok := v.time(binary.LittleEndian.Uint64(h[4:]))
	if !ok {
		return nil, errorf(at+4, "IVF frame has a timestamp out of range")
	}
	data, err := v.s.take(int(size), "an IVF frame")
	if err != nil {
		return nil, err
	}
	if v.track.Codec == codec.H264 {
		if data = codec.FromAnnexB(data); data == nil {
			return nil, errorf(at, "IVF frame holds no H264 with start codes")
		}
	}
	return &Frame{Track: 1, Time: t, Data: data, Key: codec.KeyFrame(v.track.Codec, data)}, nil
}

// time converts a timestamp with 128 bits in between.
func (v *ivfReader) time(stamp uint64) (time.Duration, bool) {
	hi, lo := bits.Mul64(uint64(v.scale), uint64(time.Second))
	if hi != 0 {
		return 0, false
	}
	hi, lo = bits.Mul64(stamp, lo)
	if hi >= uint64(v.rate) {
		return 0, false
	}
	q, _ := bits.Div64(hi, lo, uint64(v.rate))
	return time.Duration(q), q < 1<<62
}

var (
	_ Demuxer = (*ivfReader)(nil)
	_ Demuxer = (*oggReader)(nil)
	_ error   = (*FormatError)(nil)
)
