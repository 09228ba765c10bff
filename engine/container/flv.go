package container

import (
	"fmt"

	"github.com/castd/castd/engine/codec"
)

// flvTags bounds how many tags are looked at to know the codecs of an FLV file.
const flvTags = 64

// recognizeFLV reads the codecs of an FLV file from its first tags: type, size(24), timestamp(32), stream(24), body, length(32).
func recognizeFLV(s *source) *ForeignError {
	e := &ForeignError{Container: "FLV"}
	if s.skip(9+4, "the FLV header") != nil {
		return e
	}
	audio, video := false, false
	for range flvTags {
		head, err := s.take(12, "an FLV tag")
		if err != nil || audio && video {
			break
		}
		size := int64(head[1])<<16 | int64(head[2])<<8 | int64(head[3])
		if size == 0 || size > MaxFrame {
			break
		}
		switch kind := head[0] & 31; {
		case kind == 8 && !audio:
			audio = true
			e.Tracks = append(e.Tracks, audioTrack(flvAudio(head[11]>>4)))
		case kind == 9 && !video:
			video = true
			e.Tracks = append(e.Tracks, videoTrack(flvVideo(s, head[11])))
		}
		if s.skip(size-1+4, "an FLV tag") != nil {
			break
		}
	}
	return e
}

func flvAudio(format byte) string {
	switch format {
	case 0, 3, 7, 8:
		return codecPCM
	case 2, 14:
		return codecMP3
	case 10:
		return codecAAC
	case 11:
		return codecSpeex
	}
	return fmt.Sprintf("sound format %d", format)
}

// flvVideo names the codec of a video tag whose body begins with first; where that has the high bit, a four-character code follows.
func flvVideo(s *source, first byte) string {
	if first&0x80 != 0 {
		if code, err := s.r.Peek(4); err == nil {
			return fourCC(string(code))
		}
	}
	switch first & 15 {
	case 7:
		return codec.H264
	case 12:
		return codecHEVC
	case 2, 3, 4, 5, 6:
		return "Flash video"
	}
	return fmt.Sprintf("video format %d", first&15)
}
