package container

import (
	"github.com/castd/castd/engine/codec"
)

const tsPacket = 188 // octets

// recognizeTS reads the codecs of an MPEG transport stream (ISO/IEC 13818-1) from its first program map; nil where b is none.
func recognizeTS(b []byte) *ForeignError {
	start := -1
	for i := 0; i < tsPacket && i+2*tsPacket < len(b); i++ {
		if b[i] == 0x47 && b[i+tsPacket] == 0x47 && b[i+2*tsPacket] == 0x47 {
			start = i
			break
		}
	}
	if start < 0 {
		return nil
	}
	e := &ForeignError{Container: "MPEG transport stream"}
	program := -1 // packet id of the program map
	for b = b[start:]; len(b) >= tsPacket && b[0] == 0x47 && len(e.Tracks) == 0; b = b[tsPacket:] {
		id := int(b[1]&0x1f)<<8 | int(b[2])
		section := tsSection(b[:tsPacket])
		switch {
		case section == nil:
		case id == 0 && program < 0 && section[0] == 0:
			for list := section[8:]; len(list) >= 4; list = list[4:] {
				if number := int(list[0])<<8 | int(list[1]); number != 0 {
					program = int(list[2]&0x1f)<<8 | int(list[3])
					break
				}
			}
		case id == program && section[0] == 2:
			e.Tracks = tsTracks(section)
		}
	}
	return e
}

// tsSection returns the table section that begins in a packet, from its table id up to its checksum; nil where none does.
func tsSection(packet []byte) []byte {
	if packet[1]&0x40 == 0 || packet[3]&0x10 == 0 {
		return nil // nothing begins, or there is no payload
	}
	body := packet[4:]
	if packet[3]&0x20 != 0 { // adaptation field
		if int(body[0])+1 >= len(body) {
			return nil
		}
		body = body[body[0]+1:]
	}
	if int(body[0])+1+8 > len(body) {
		return nil
	}
	body = body[body[0]+1:]
	size := int(body[1]&0x0f)<<8 | int(body[2])
	if size < 9 || 3+size > len(body) {
		return nil
	}
	return body[:3+size-4]
}

// tsTracks reads the streams of a program map section.
func tsTracks(section []byte) (tracks []Track) {
	if len(section) < 12 {
		return nil
	}
	skip := 12 + int(section[10]&0x0f)<<8 + int(section[11])
	for skip+5 <= len(section) && len(tracks) < maxTracks {
		kind := section[skip]
		size := int(section[skip+3]&0x0f)<<8 | int(section[skip+4])
		descriptors := section[min(len(section), skip+5):min(len(section), skip+5+size)]
		if t, ok := tsTrack(kind, descriptors); ok {
			tracks = append(tracks, t)
		}
		skip += 5 + size
	}
	return tracks
}

func tsTrack(kind byte, descriptors []byte) (t Track, ok bool) {
	switch kind {
	case 0x01, 0x02:
		return videoTrack(codecMPEGVideo), true
	case 0x03, 0x04:
		return audioTrack(codecMP3), true
	case 0x0f, 0x11:
		return audioTrack(codecAAC), true
	case 0x10:
		return videoTrack(codecMPEG4), true
	case 0x1b:
		return videoTrack(codec.H264), true
	case 0x24:
		return videoTrack(codecHEVC), true
	case 0x81:
		return audioTrack(codecAC3), true
	case 0x87:
		return audioTrack(codecEAC3), true
	case 0x06: // private: a descriptor tells
		for d := descriptors; len(d) >= 2 && len(d) >= 2+int(d[1]); d = d[2+int(d[1]):] {
			switch {
			case d[0] == 0x6a:
				return audioTrack(codecAC3), true
			case d[0] == 0x05 && d[1] >= 4 && string(d[2:6]) == "Opus":
				return audioTrack(codec.Opus), true
			}
		}
	}
	return t, false
}
