package container

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/wire"
)

// Limits of what is read of an MP4 file to know its codecs, in octets.
const (
	maxMovie = 64 << 20 // of the movie box: it lists every sample
	maxGoing = 64 << 20 // of what is read over, where the file cannot be sought in
	mp4Depth = 8        // of boxes in boxes
)

// isMP4 looks for a first box that MP4 and QuickTime files begin with.
func isMP4(head []byte) bool {
	if len(head) < 8 {
		return false
	}
	switch string(head[4:8]) {
	case "ftyp", "moov", "wide", "styp":
		return true
	case "mdat", "free", "skip":
		size := binary.BigEndian.Uint32(head)
		return size >= 8 || size == 1
	}
	return false
}

// recognizeMP4 reads as far as the movie box, which says what the tracks hold (ISO/IEC 14496-12). Where media come before it, it is
// sought where the file allows that. Nothing of this file is kept, and damage only means that less is known.
func recognizeMP4(s *source) *ForeignError {
	e := &ForeignError{Container: "MP4"}
	going := int64(maxGoing)
	for {
		head, err := s.take(8, "a box")
		if err != nil {
			return e
		}
		kind, size := string(head[4:8]), int64(binary.BigEndian.Uint32(head))-8
		if size == 1-8 {
			wide, err := s.take(8, "a box")
			if err != nil {
				return e
			}
			size = int64(binary.BigEndian.Uint64(wide)) - 16
		}
		if size < 0 { // to the end of the file, or malformed
			return e
		}
		switch {
		case kind == "ftyp" && size >= 4 && size <= 1<<16:
			brand, err := s.take(int(size), "a box")
			if err != nil {
				return e
			}
			e.Container = mp4Brand(string(brand[:4]))
			continue
		case kind == "moov":
			if size > maxMovie {
				return e
			}
			movie, err := s.take(int(size), "the movie box")
			if err != nil {
				return e
			}
			m := movieReader{}
			m.boxes(movie, 0)
			e.Tracks = m.result()
			return e
		}
		if !s.seek(size) {
			if going -= size; going < 0 || s.skip(size, "a box") != nil {
				return e
			}
		}
	}
}

func mp4Brand(brand string) string {
	switch {
	case brand == "qt  ":
		return "MOV"
	case strings.HasPrefix(brand, "M4A"), strings.HasPrefix(brand, "M4B"):
		return "M4A"
	case strings.HasPrefix(brand, "3g"):
		return "3GP"
	}
	return "MP4"
}

// seek passes over n octets of a file that can be sought in; false where this one cannot.
func (s *source) seek(n int64) bool {
	if s.seeker == nil {
		return false
	}
	if n <= int64(s.r.Buffered()) {
		return s.skip(n, "a box") == nil
	}
	if _, err := s.seeker.Seek(n-int64(s.r.Buffered()), io.SeekCurrent); err != nil {
		s.seeker = nil
		return false
	}
	s.r.Reset(s.raw)
	s.offset += n
	return true
}

// movieReader gathers the audio and video tracks of a movie box.
type movieReader struct {
	tracks []Track
	kind   string // handler of the track at hand
	at     int    // index of its entry in tracks; -1 before
	moved  bool   // it has composition offsets: frames are not in the order of their times

	fragmented bool // the file goes on behind the movie box, which then does not list all
}

// result returns the tracks. Of a file in fragments the composition offsets are not seen: where the decoder configuration leaves it
// open as well, frames may be in another order.
func (m *movieReader) result() []Track {
	for i := range m.tracks {
		t := &m.tracks[i]
		if _, known := codec.H264Reorders(t.Private); m.fragmented && t.Codec == codec.H264 && !known {
			t.Reordered = true
		}
	}
	return m.tracks
}

// boxes walks the boxes of b. The last may be cut, as far as it is there.
func (m *movieReader) boxes(b []byte, depth int) {
	for len(b) >= 8 && depth < mp4Depth {
		size, head := uint64(binary.BigEndian.Uint32(b)), 8
		if size == 1 && len(b) >= 16 {
			size, head = binary.BigEndian.Uint64(b[8:]), 16
		}
		if size == 0 || size > uint64(len(b)) {
			size = uint64(len(b))
		}
		if size < uint64(head) {
			return
		}
		m.box(string(b[4:8]), b[head:size], depth)
		b = b[size:]
	}
}

func (m *movieReader) box(kind string, body []byte, depth int) {
	switch kind {
	case "trak":
		m.kind, m.at, m.moved = "", -1, false
		m.boxes(body, depth+1)
		if m.at >= 0 && m.moved {
			m.tracks[m.at].Reordered = true
		}
	case "mdia", "minf", "stbl":
		m.boxes(body, depth+1)
	case "mvex":
		m.fragmented = true
	case "hdlr":
		if len(body) >= 12 && m.kind == "" { // QuickTime has a second one, of the data
			m.kind = string(body[8:12])
		}
	case "stsd":
		if len(body) >= 16 && m.at < 0 && len(m.tracks) < maxTracks && (m.kind == "soun" || m.kind == "vide") {
			size := min(int(binary.BigEndian.Uint32(body[8:])&0x7fffffff), len(body)-8)
			if size >= 8 {
				m.at = len(m.tracks)
				m.tracks = append(m.tracks, sampleEntry(m.kind, string(body[12:16]), body[16:8+size]))
			}
		}
	case "ctts":
		m.moved = m.moved || reordersComposition(body)
	}
}

// reordersComposition reports whether composition offsets differ: one offset for all is a mere shift.
func reordersComposition(body []byte) bool {
	if len(body) < 16 {
		return false
	}
	first := binary.BigEndian.Uint32(body[12:])
	for list := body[8:]; len(list) >= 8; list = list[8:] {
		if binary.BigEndian.Uint32(list[4:]) != first {
			return true
		}
	}
	return false
}

// sampleEntry describes a track by its entry of the sample description box (ISO/IEC 14496-12, section 8.5.2), without its head.
func sampleEntry(kind, format string, body []byte) Track {
	t := Track{Kind: wire.KindVideo, Codec: sampleFormat(format)}
	fixed := 70 // octets of a VisualSampleEntry
	if kind == "soun" {
		t.Kind, fixed = wire.KindAudio, 20
		if len(body) >= 18 {
			t.Channels = uint32(binary.BigEndian.Uint16(body[16:]))
		}
		if len(body) >= 10 { // QuickTime's versions have more
			fixed += 16 * int(min(binary.BigEndian.Uint16(body[8:]), 2))
		}
		if t.Codec == "mp4a" {
			t.Codec = codecAAC
		}
	} else if len(body) >= 28 {
		t.Width, t.Height = int(binary.BigEndian.Uint16(body[24:])), int(binary.BigEndian.Uint16(body[26:]))
	}
	body = body[min(len(body), 8+fixed):]
	for len(body) >= 8 {
		size := int(min(uint64(binary.BigEndian.Uint32(body)), uint64(len(body))))
		if size < 8 {
			break
		}
		switch string(body[4:8]) {
		case "avcC":
			t.Private = bytes.Clone(body[8:size])
			t.Reordered, _ = codec.H264Reorders(t.Private)
		case "esds":
			if t.Codec == codecAAC || t.Codec == "mp4v" {
				t.Codec = esdsCodec(body[8:size], t.Codec)
			}
		}
		body = body[size:]
	}
	return t
}

func sampleFormat(format string) string {
	switch format {
	case "avc1", "avc2", "avc3", "avc4":
		return codec.H264
	case "hvc1", "hev1", "dvh1", "dvhe":
		return codecHEVC
	case "vp08":
		return codec.VP8
	case "vp09":
		return codec.VP9
	case "av01":
		return codec.AV1
	case "Opus":
		return codec.Opus
	case ".mp3", "ms\x00\x55":
		return codecMP3
	case "ac-3":
		return codecAC3
	case "ec-3":
		return codecEAC3
	case "fLaC":
		return codecFLAC
	case "alac":
		return codecALAC
	case "samr", "sawb":
		return codecAMR
	case "twos", "sowt", "lpcm", "in24", "in32", "fl32", "fl64", "raw ", "ipcm", "fpcm", "ulaw", "alaw":
		return codecPCM
	case "apch", "apcn", "apcs", "apco", "ap4h", "ap4x":
		return codecProRes
	case "jpeg", "mjpa", "mjpb":
		return codecMJPEG
	case "mp4a", "mp4v":
		return format
	}
	return fourCC(format)
}

// esdsCodec reads the object type of an elementary stream descriptor (ISO/IEC 14496-1, section 7.2.6.6).
func esdsCodec(b []byte, otherwise string) string {
	// The decoder's descriptor has the tag 4, a length of one to four octets, and the object type.
	for i := 4; i < len(b); i++ {
		if b[i] != 4 {
			continue
		}
		j := i + 1
		for j < len(b) && j < i+4 && b[j]&0x80 != 0 {
			j++
		}
		if j+1 >= len(b) {
			break
		}
		switch object := b[j+1]; {
		case object == 0x20:
			return codecMPEG4
		case object == 0x40, object >= 0x66 && object <= 0x68:
			return codecAAC
		case object == 0x69, object == 0x6b:
			return codecMP3
		case object >= 0x60 && object <= 0x65:
			return codecMPEGVideo
		case object == 0xdd:
			return codecVorbis
		case object == 0xad:
			return codec.Opus
		case object == 0x6c:
			return codecMJPEG
		}
	}
	if otherwise == "mp4v" {
		return codecMPEG4
	}
	return fmt.Sprint(otherwise)
}
