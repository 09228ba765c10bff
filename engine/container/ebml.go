package container

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
)

// IDs of EBML (RFC 8794) and Matroska (RFC 9559) elements.
const (
	idEBML            = 0x1a45dfa3
	idEBMLVersion     = 0x4286
	idEBMLReadVersion = 0x42f7
	idEBMLMaxID       = 0x42f2
	idEBMLMaxSize     = 0x42f3
	idDocType         = 0x4282
	idDocVersion      = 0x4287
	idDocReadVersion  = 0x4285
	idVoid            = 0xec
	idCRC             = 0xbf

	idSegment     = 0x18538067
	idSeekHead    = 0x114d9b74
	idInfo        = 0x1549a966
	idTracks      = 0x1654ae6b
	idCluster     = 0x1f43b675
	idCues        = 0x1c53bb6b
	idAttachments = 0x1941a469
	idChapters    = 0x1043a770
	idTags        = 0x1254c367

	idTimestampScale = 0x2ad7b1
	idDuration       = 0x4489
	idMuxingApp      = 0x4d80
	idWritingApp     = 0x5741

	idTrackEntry       = 0xae
	idTrackNumber      = 0xd7
	idTrackUID         = 0x73c5
	idTrackType        = 0x83
	idFlagLacing       = 0x9c
	idDefaultDuration  = 0x23e383
	idCodecID          = 0x86
	idCodecPrivate     = 0x63a2
	idCodecDelay       = 0x56aa
	idSeekPreRoll      = 0x56bb
	idVideo            = 0xe0
	idPixelWidth       = 0xb0
	idPixelHeight      = 0xba
	idAudio            = 0xe1
	idSampling         = 0xb5
	idChannels         = 0x9f
	idContentEncodings = 0x6d80
	idContentEncoding  = 0x6240
	idContentScope     = 0x5032
	idContentType      = 0x5033
	idCompression      = 0x5034
	idCompAlgo         = 0x4254
	idCompSettings     = 0x4255

	idSeek               = 0x4dbb
	idSeekID             = 0x53ab
	idSeekPosition       = 0x53ac
	idCuePoint           = 0xbb
	idCueTime            = 0xb3
	idCueTrackPositions  = 0xb7
	idCueTrack           = 0xf7
	idCueClusterPosition = 0xf1

	idTimestamp      = 0xe7
	idSimpleBlock    = 0xa3
	idBlockGroup     = 0xa0
	idBlock          = 0xa1
	idBlockDuration  = 0x9b
	idReferenceBlock = 0xfb
	idDiscardPadding = 0x75a2
)

// unknownSize is the size of an element that ends where another one begins that cannot be inside.
const unknownSize = -1

// element is the head of an EBML element.
type element struct {
	at   int64 // its place in the file
	id   uint32
	size int64 // of its content, or unknownSize
}

// element reads the head of the next element. io.EOF comes only before its first octet.
func (s *source) element() (e element, err error) {
	e.at = s.offset
	var b [8]byte
	if err := s.full(b[:1], "an element"); err != nil {
		return e, err
	}
	n := bits.LeadingZeros8(b[0]) + 1
	if n > 4 {
		return e, errorf(e.at, "no element begins here")
	}
	if err := s.rest(b[1:n], "an element's head"); err != nil {
		return e, err
	}
	for _, c := range b[:n] {
		e.id = e.id<<8 | uint32(c)
	}
	if err := s.rest(b[:1], "an element's head"); err != nil {
		return e, err
	}
	n = bits.LeadingZeros8(b[0]) + 1
	if n > 8 {
		return e, errorf(e.at, "element %X has a malformed size", e.id)
	}
	if err := s.rest(b[1:n], "an element's head"); err != nil {
		return e, err
	}
	v, _, known := vint(b[:n])
	e.size = unknownSize
	if known {
		e.size = int64(v)
	}
	return e, nil
}

// vint reads a number of variable size (RFC 8794, section 4) and returns its length, 0 where it is malformed. All ones are
// reserved: known is false.
func vint(b []byte) (v uint64, n int, known bool) {
	if len(b) == 0 {
		return 0, 0, false
	}
	n = bits.LeadingZeros8(b[0]) + 1
	if n > 8 || len(b) < n {
		return 0, 0, false
	}
	for _, c := range b[:n] {
		v = v<<8 | uint64(c)
	}
	all := uint64(1)<<(7*n) - 1
	v &= all
	return v, n, v != all
}

// children calls each for the elements of content, which stands at the place at. Damage is told as a FormatError.
func children(content []byte, at int64, each func(id uint32, value []byte, at int64) error) error {
	s := &sliceReader{b: content, at: at}
	for len(s.b) > 0 {
		id, value, place, err := s.next()
		if err != nil {
			return err
		}
		if err := each(id, value, place); err != nil {
			return err
		}
	}
	return nil
}

type sliceReader struct {
	b  []byte
	at int64
}

func (s *sliceReader) next() (id uint32, value []byte, at int64, err error) {
	n := bits.LeadingZeros8(s.b[0]) + 1
	if n > 4 || len(s.b) < n {
		return 0, nil, 0, errorf(s.at, "no element begins here")
	}
	for _, c := range s.b[:n] {
		id = id<<8 | uint32(c)
	}
	size, m, known := vint(s.b[n:])
	if m == 0 || !known || size > uint64(len(s.b)-n-m) {
		return 0, nil, 0, errorf(s.at, "element %X is larger than the one around it", id)
	}
	end := n + m + int(size)
	value, at = s.b[n+m:end:end], s.at+int64(n+m)
	s.b, s.at = s.b[end:], s.at+int64(end)
	return id, value, at, nil
}

// number reads an unsigned integer; more than eight octets give the largest.
func number(b []byte) uint64 {
	if len(b) > 8 {
		return math.MaxUint64
	}
	var v uint64
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v
}

// float reads a float of four or eight octets; 0 for others.
func float(b []byte) float64 {
	switch len(b) {
	case 4:
		return float64(math.Float32frombits(binary.BigEndian.Uint32(b)))
	case 8:
		return math.Float64frombits(binary.BigEndian.Uint64(b))
	}
	return 0
}

func text(b []byte) string { return string(bytes.TrimRight(b, "\x00")) }

// master appends an element around content.
func master(b []byte, id uint32, content []byte) []byte {
	b = appendSize(appendID(b, id), len(content))
	return append(b, content...)
}

// appendUint appends an element with an unsigned integer.
func appendUint(b []byte, id uint32, v uint64) []byte {
	n := max(1, (bits.Len64(v)+7)/8)
	b = appendSize(appendID(b, id), n)
	for i := n - 1; i >= 0; i-- {
		b = append(b, byte(v>>(8*i)))
	}
	return b
}

func appendString(b []byte, id uint32, v string) []byte { return master(b, id, []byte(v)) }

func appendFloat(b []byte, id uint32, v float64) []byte {
	return binary.BigEndian.AppendUint64(appendSize(appendID(b, id), 8), math.Float64bits(v))
}

func appendID(b []byte, id uint32) []byte {
	for i := (bits.Len32(id) + 7) / 8; i > 0; i-- {
		b = append(b, byte(id>>(8*(i-1))))
	}
	return b
}

func appendSize(b []byte, v int) []byte {
	n := 1
	for uint64(v) >= 1<<(7*n)-1 {
		n++
	}
	for i := n - 1; i >= 0; i-- {
		c := byte(uint64(v) >> (8 * i))
		if i == n-1 {
			c |= 1 << (8 - n)
		}
		b = append(b, c)
	}
	return b
}

// appendUnknown begins an element of unknown size.
func appendUnknown(b []byte, id uint32) []byte {
	return append(appendID(b, id), 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
}
