package container

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/wire"
)

// ForeignError says that a file is in a container that castd does not read. It names what it met, so that whoever reports it can say
// how to convert it.
type ForeignError struct {
	Container string  // for people: "MP4", "MPEG transport stream"
	Tracks    []Track // with Kind, Codec and, where the container tells, Width, Height and Channels; empty if it does not
	Begins    string  // what the file begins with, where it is no container that castd knows; the rest is empty then
}

func (e *ForeignError) Error() string {
	if e.Begins != "" {
		return "this is no media file that castd knows: it begins with " + e.Begins
	}
	if len(e.Tracks) == 0 {
		return fmt.Sprintf("castd does not read %s files", e.Container)
	}
	return fmt.Sprintf("castd does not read %s files; this one holds %s", e.Container, Contents(e.Tracks))
}

// Contents says for people what tracks hold, like "H264 and AAC".
func Contents(tracks []Track) string {
	var names []string
	for i := range tracks {
		names = append(names, tracks[i].Title())
	}
	return strings.Join(names, " and ")
}

// Title returns the codec's name for people.
func (t *Track) Title() string {
	name := codecTitle(t.Codec)
	switch {
	case t.Kind == wire.KindAudio && t.Codec == codec.Opus && t.Channels > 2:
		return fmt.Sprintf("%s of %d channels", name, t.Channels)
	case t.Kind == wire.KindVideo && t.Codec == codec.H264 && t.Reordered:
		return name + " with B-frames"
	}
	return name
}

func codecTitle(name string) string {
	switch name {
	case codec.Opus:
		return "Opus"
	case codec.VP8, codec.VP9, codec.H264, codec.AV1:
		return strings.ToUpper(name)
	case codecHEVC:
		return "HEVC (H265)"
	case codecVorbis:
		return "Vorbis"
	case codecSpeex:
		return "Speex"
	case codecTheora:
		return "Theora"
	case codecMPEGVideo:
		return "MPEG video"
	case codecMPEG4:
		return "MPEG-4 video"
	case codecProRes:
		return "ProRes"
	case codecAAC, codecMP3, codecPCM, codecFLAC, codecALAC, codecAC3, codecEAC3, codecDTS, codecMJPEG, codecAMR:
		return strings.ToUpper(name)
	}
	if strings.HasPrefix(name, "A_") || strings.HasPrefix(name, "V_") || strings.TrimSpace(name) == "" {
		return fmt.Sprintf("%q", name) // a container's own name that nobody here knows
	}
	return name
}

// Names of codecs that castd recognizes and rooms do not carry.
const (
	codecAAC       = "aac"
	codecMP3       = "mp3"
	codecVorbis    = "vorbis"
	codecSpeex     = "speex"
	codecPCM       = "pcm"
	codecFLAC      = "flac"
	codecALAC      = "alac"
	codecAC3       = "ac-3"
	codecEAC3      = "e-ac-3"
	codecDTS       = "dts"
	codecAMR       = "amr"
	codecHEVC      = "hevc"
	codecTheora    = "theora"
	codecMPEGVideo = "mpeg-video"
	codecMPEG4     = "mpeg4"
	codecMJPEG     = "mjpeg"
	codecProRes    = "prores"
)

// audioTrack and videoTrack are tracks of which no more than the codec is known.
func audioTrack(name string) Track { return Track{Kind: wire.KindAudio, Codec: name} }
func videoTrack(name string) Track { return Track{Kind: wire.KindVideo, Codec: name} }

// sniffLength is how much of a file is looked at to recognize it; MP4 and FLV are read further.
const sniffLength = 16 << 10

// recognize names a file that castd does not read by what it begins with; nil if it is not known as media. It may read on.
func recognize(s *source, head []byte) *ForeignError {
	has := func(prefix string) bool { return bytes.HasPrefix(head, []byte(prefix)) }
	at := func(n int, text string) bool { return len(head) >= n+len(text) && string(head[n:n+len(text)]) == text }
	switch {
	case isMP4(head):
		return recognizeMP4(s)
	case has("FLV\x01"):
		return recognizeFLV(s)
	case has("RIFF") && at(8, "WAVE"), has("RF64") && at(8, "WAVE"):
		return recognizeWAV(head)
	case has("RIFF") && at(8, "AVI "):
		return recognizeAVI(head)
	case has("ID3"), isMP3(head):
		return recognizeID3(head)
	case isADTS(head):
		return &ForeignError{Container: "AAC", Tracks: []Track{audioTrack(codecAAC)}}
	case has("fLaC"):
		return &ForeignError{Container: "FLAC", Tracks: []Track{audioTrack(codecFLAC)}}
	case has("FORM") && (at(8, "AIFF") || at(8, "AIFC")):
		return &ForeignError{Container: "AIFF", Tracks: []Track{audioTrack(codecPCM)}}
	case has("caff"):
		return &ForeignError{Container: "CAF"}
	case has(".snd"):
		return &ForeignError{Container: "AU", Tracks: []Track{audioTrack(codecPCM)}}
	case has("#!AMR"):
		return &ForeignError{Container: "AMR", Tracks: []Track{audioTrack(codecAMR)}}
	case has("\x30\x26\xb2\x75\x8e\x66\xcf\x11"):
		return &ForeignError{Container: "Windows Media"}
	case has(".RMF"):
		return &ForeignError{Container: "RealMedia"}
	case has("YUV4MPEG2"):
		return &ForeignError{Container: "Y4M", Tracks: []Track{videoTrack("raw video")}}
	case has("\x00\x00\x01\xba"):
		return &ForeignError{Container: "MPEG program stream"}
	case has("\x00\x00\x01\xb3"):
		return &ForeignError{Container: "MPEG video", Tracks: []Track{videoTrack(codecMPEGVideo)}}
	case isAC3(head):
		return &ForeignError{Container: "AC-3", Tracks: []Track{audioTrack(codecAC3)}}
	}
	if e := recognizeTS(head); e != nil {
		return e
	}
	return recognizeAnnexB(head)
}

// isMP3 looks for two frame headers of MPEG audio at the right distance.
func isMP3(b []byte) bool {
	n, ok := mp3Frame(b)
	if !ok || n > len(b) {
		return false
	}
	if len(b) < n+4 {
		return len(b) < sniffLength // all that there is
	}
	_, ok = mp3Frame(b[n:])
	return ok
}

// mp3Frame returns the length of a frame of MPEG audio, layers 1 to 3 (ISO/IEC 11172-3, section 2.4.1.3).
func mp3Frame(b []byte) (length int, ok bool) {
	if len(b) < 4 || b[0] != 0xff || b[1]&0xe0 != 0xe0 {
		return 0, false
	}
	version, layer, rate, sampling := b[1]>>3&3, b[1]>>1&3, int(b[2]>>4), int(b[2]>>2&3)
	if version == 1 || layer != 1 || rate == 0 || rate == 15 || sampling == 3 {
		return 0, false // layers 1 and 2 are hardly met outside of MPEG streams, and ADTS looks like layer 0
	}
	kbits := [...]int{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320}[rate]
	hz, samples := [...]int{44100, 48000, 32000}[sampling], 144
	if version != 3 {
		kbits = [...]int{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160}[rate]
		hz, samples = hz/2, 72
		if version == 0 {
			hz /= 2
		}
	}
	return samples*kbits*1000/hz + int(b[2]>>1&1), true
}

// recognizeID3 looks behind the tag that MP3 files, and some of AAC, begin with.
func recognizeID3(b []byte) *ForeignError {
	if len(b) >= 10 && string(b[:3]) == "ID3" {
		size := 10 + int(b[6]&127)<<21 + int(b[7]&127)<<14 + int(b[8]&127)<<7 + int(b[9]&127)
		if size < len(b) && isADTS(b[size:]) {
			return &ForeignError{Container: "AAC", Tracks: []Track{audioTrack(codecAAC)}}
		}
	}
	return &ForeignError{Container: "MP3", Tracks: []Track{audioTrack(codecMP3)}}
}

// isADTS looks for a frame header of AAC (ISO/IEC 14496-3, section 1.A.2.2), and where there is room for a second one.
func isADTS(b []byte) bool {
	sync := func(b []byte) bool { return len(b) >= 7 && b[0] == 0xff && b[1]&0xf6 == 0xf0 && b[2]>>2&15 < 13 }
	if !sync(b) {
		return false
	}
	n := int(b[3]&3)<<11 | int(b[4])<<3 | int(b[5]>>5)
	return n >= 7 && (len(b) < n+7 || sync(b[n:]))
}

// isAC3 looks for the sync word and a sampling rate and frame size that exist (ATSC A/52, section 5.4.1).
func isAC3(b []byte) bool {
	return len(b) >= 6 && b[0] == 0x0b && b[1] == 0x77 && b[4]>>6 != 3 && b[4]&63 < 38 && b[5]>>3 <= 8
}

// recognizeWAV reads the codec of a WAV file from its format chunk.
func recognizeWAV(b []byte) *ForeignError {
	e := &ForeignError{Container: "WAV"}
	riffChunks(b[min(len(b), 12):], func(id string, body []byte) {
		if id == "fmt " && len(body) >= 4 && len(e.Tracks) == 0 {
			t := audioTrack(waveCodec(binary.LittleEndian.Uint16(body)))
			t.Channels = uint32(binary.LittleEndian.Uint16(body[2:]))
			e.Tracks = append(e.Tracks, t)
		}
	})
	return e
}

func waveCodec(tag uint16) string {
	switch tag {
	case 1, 3, 6, 7, 0xfffe:
		return codecPCM
	case 0x50, 0x55:
		return codecMP3
	case 0xff, 0x1600, 0x1601, 0x1602:
		return codecAAC
	case 0x2000:
		return codecAC3
	case 0x2001:
		return codecDTS
	case 0x704f:
		return codec.Opus
	case 0x566f, 0x674f, 0x6750, 0x6751, 0x676f, 0x6770, 0x6771:
		return codecVorbis
	}
	return fmt.Sprintf("wave format %#x", tag)
}

// recognizeAVI reads the codecs of an AVI file from its stream headers.
func recognizeAVI(b []byte) *ForeignError {
	e := &ForeignError{Container: "AVI"}
	kind := ""
	var walk func(id string, body []byte)
	walk = func(id string, body []byte) {
		switch {
		case id == "LIST" && len(body) >= 4 && (string(body[:4]) == "hdrl" || string(body[:4]) == "strl"):
			riffChunks(body[4:], walk)
		case id == "strh" && len(body) >= 4:
			kind = string(body[:4])
		case id == "strf" && kind == "vids" && len(body) >= 20 && len(e.Tracks) < maxTracks:
			t := videoTrack(fourCC(string(body[16:20])))
			t.Width, t.Height = int(binary.LittleEndian.Uint32(body[4:])&0xffff), int(binary.LittleEndian.Uint32(body[8:])&0xffff)
			e.Tracks = append(e.Tracks, t)
		case id == "strf" && kind == "auds" && len(body) >= 4 && len(e.Tracks) < maxTracks:
			t := audioTrack(waveCodec(binary.LittleEndian.Uint16(body)))
			t.Channels = uint32(binary.LittleEndian.Uint16(body[2:]))
			e.Tracks = append(e.Tracks, t)
		}
	}
	riffChunks(b[min(len(b), 12):], walk)
	return e
}

// riffChunks calls each for the chunks of b. The last may be cut, as far as it is there.
func riffChunks(b []byte, each func(id string, body []byte)) {
	for len(b) >= 8 {
		id, size := string(b[:4]), uint64(binary.LittleEndian.Uint32(b[4:]))
		b = b[8:]
		each(id, b[:min(size, uint64(len(b)))])
		size += size & 1
		if size > uint64(len(b)) {
			return
		}
		b = b[size:]
	}
}

// fourCC returns the codec that a four-character code stands for, as AVI and old Matroska files name it.
func fourCC(code string) string {
	switch strings.ToUpper(code) {
	case "H264", "X264", "AVC1", "DAVC":
		return codec.H264
	case "HEVC", "HVC1", "HEV1", "H265", "X265":
		return codecHEVC
	case "VP80":
		return codec.VP8
	case "VP90":
		return codec.VP9
	case "AV01":
		return codec.AV1
	case "XVID", "DIVX", "DX50", "FMP4", "MP4V", "DIV3", "MP43":
		return codecMPEG4
	case "MJPG":
		return codecMJPEG
	case "MPG1", "MPG2", "MPEG":
		return codecMPEGVideo
	}
	for _, c := range []byte(code) {
		if c < ' ' || c > '~' {
			return fmt.Sprintf("% x", code)
		}
	}
	return strings.TrimSpace(code)
}

// recognizeAnnexB names bare H264 and HEVC by their first NAL units.
func recognizeAnnexB(b []byte) *ForeignError {
	rest, ok := bytes.CutPrefix(b, []byte{0, 0, 1})
	if !ok {
		rest, ok = bytes.CutPrefix(b, []byte{0, 0, 0, 1})
	}
	if !ok || len(rest) < 2 {
		return nil
	}
	// Both begin with a delimiter or their first parameter set; HEVC's units have a second header octet with a temporal id of one.
	switch {
	case rest[0] == 0x40 && rest[1] == 1, rest[0] == 0x42 && rest[1] == 1, rest[0] == 0x46 && rest[1] == 1:
		return &ForeignError{Container: "bare HEVC", Tracks: []Track{videoTrack(codecHEVC)}}
	case rest[0]&0x80 == 0 && (rest[0]&31 == 7 || rest[0]&31 == 9 || rest[0]&31 == 6):
		return &ForeignError{Container: "bare H264", Tracks: []Track{videoTrack(codec.H264)}}
	}
	return nil
}
