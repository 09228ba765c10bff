package container

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/wire"
)

// ivfRate is the unit of the timestamps that are written, per second.
const ivfRate = 1000

// IVFWriter writes VP8, VP9 or AV1 as IVF. Each frame is handed to the writer in one call, so that every prefix of whole frames is a
// playable file; the header's count of frames, which is not known when it is written, stays zero.
type IVFWriter struct {
	w     io.Writer
	codec string
	buf   []byte
}

// NewIVFWriter writes the header.
func NewIVFWriter(w io.Writer, t Track) (*IVFWriter, error) {
	name := ""
	switch t.Codec {
	case codec.VP8:
		name = "VP80"
	case codec.VP9:
		name = "VP90"
	case codec.AV1:
		name = "AV01"
	}
	if name == "" || t.Kind != wire.KindVideo {
		return nil, fmt.Errorf("container: cannot write %q to IVF", t.Codec)
	}
	b := append([]byte("DKIF\x00\x00\x20\x00"), name...)
	b = binary.LittleEndian.AppendUint16(b, uint16(min(t.Width, math.MaxUint16)))
	b = binary.LittleEndian.AppendUint16(b, uint16(min(t.Height, math.MaxUint16)))
	b = binary.LittleEndian.AppendUint32(b, ivfRate)
	b = binary.LittleEndian.AppendUint32(b, 1)
	if _, err := w.Write(append(b, 0, 0, 0, 0, 0, 0, 0, 0)); err != nil {
		return nil, fmt.Errorf("write recording: %w", err)
	}
	return &IVFWriter{w: w, codec: t.Codec}, nil
}

// WriteFrame appends a frame. After an error the next one can be given.
func (v *IVFWriter) WriteFrame(f *Frame) error {
	if f.Time < 0 || len(f.Data) == 0 || len(f.Data) > MaxFrame-2 {
		return fmt.Errorf("container: cannot write a frame of %d octets at %v", len(f.Data), f.Time)
	}
	var delimiter []byte
	if v.codec == codec.AV1 && f.Data[0]&0x78 != 0x10 {
		delimiter = []byte{0x12, 0} // each temporal unit of the file begins with one, and none of them travels
	}
	b := binary.LittleEndian.AppendUint32(v.buf[:0], uint32(len(delimiter)+len(f.Data)))
	b = binary.LittleEndian.AppendUint64(b, uint64(f.Time.Round(time.Second/ivfRate)*ivfRate/time.Second))
	v.buf = append(append(b, delimiter...), f.Data...)
	if _, err := v.w.Write(v.buf); err != nil {
		return fmt.Errorf("write recording: %w", err)
	}
	return nil
}
