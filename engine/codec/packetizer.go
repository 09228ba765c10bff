package codec

import "fmt"

// DefaultLimit is the size up to which payloads are cut, in octets: with the origin header, the seal and hop headers a packet
// then stays within the 1,280 octets that every IPv6 path carries.
const DefaultLimit = 1160

// Limits of NewPacketizer's limit, in octets.
const (
	minLimit = 64
	maxLimit = 16000 // a length of two octets in AV1's elements
)

// Payload is one RTP payload of a frame.
type Payload struct {
	Data   []byte
	Marker bool // the RTP marker: last packet of a picture; audio never sets it
}

// Packetizer cuts whole frames into RTP payloads. The zero value is of no use.
type Packetizer struct {
	codec   string
	limit   int
	picture uint16 // 15 bits; counts VP8 and VP9 pictures
	prelude []unit // H264 parameter sets, AV1 sequence header: sent before key frames that lack them
	lengths int    // H264: octets of a NAL unit's length; 0 for Annex B

	buf []byte // backing of out
	out []Payload
}

// NewPacketizer returns a Packetizer that makes payloads of at most limit octets (0: DefaultLimit).
//
// private is the track's CodecPrivate where the frames come from Matroska: for H264 an AVCDecoderConfigurationRecord (without
// one, frames are in Annex B form), for AV1 an AV1CodecConfigurationRecord or nothing. What it holds is repeated before each
// key frame that does not have it, because receivers join at any of them. Other codecs ignore it.
func NewPacketizer(codec string, limit int, private []byte) (*Packetizer, error) {
	if limit == 0 {
		limit = DefaultLimit
	}
	if !known(codec) || limit < minLimit || limit > maxLimit {
		return nil, fmt.Errorf("codec: cannot packetize %q into payloads of %d octets", codec, limit)
	}
	p := &Packetizer{codec: codec, limit: limit}
	switch {
	case codec == H264 && len(private) > 0:
		c, ok := parseAVCConfig(private)
		if !ok {
			return nil, fmt.Errorf("codec: H264 track has a malformed decoder configuration")
		}
		p.lengths, p.prelude = c.lengths, c.sets
	case codec == AV1 && len(private) > 4:
		units, ok := splitOBUs(private[4:])
		if !ok {
			return nil, fmt.Errorf("codec: AV1 track has a malformed decoder configuration")
		}
		p.prelude = units
	}
	return p, nil
}

// Packetize cuts a frame. discardable says that no other frame needs it, where the container knows; only VP8 tells that on.
// The payloads are valid until the next call. A frame that is malformed, empty or larger than MaxFrame is an error, after
// which the next one can be given.
func (p *Packetizer) Packetize(frame []byte, discardable bool) ([]Payload, error) {
	p.buf, p.out = p.buf[:0], p.out[:0]
	if len(frame) == 0 || len(frame) > MaxFrame {
		return nil, fmt.Errorf("codec: frame of %d octets", len(frame))
	}
	switch p.codec {
	case Opus, RED:
		p.add(frame)
		return p.out, nil
	case VP8:
		p.packetizeVP8(frame, discardable)
	case VP9:
		p.packetizeVP9(frame)
	case H264:
		if err := p.packetizeH264(frame); err != nil {
			return nil, err
		}
	case AV1:
		if err := p.packetizeAV1(frame); err != nil {
			return nil, err
		}
	}
	if len(p.out) > 0 {
		p.out[len(p.out)-1].Marker = true
	}
	return p.out, nil
}

// add appends a payload made of parts.
func (p *Packetizer) add(parts ...[]byte) {
	from := len(p.buf)
	for _, b := range parts {
		p.buf = append(p.buf, b...)
	}
	// A later append may move the buffer; what was cut from the old one stays valid.
	p.out = append(p.out, Payload{Data: p.buf[from:len(p.buf):len(p.buf)]})
}

// packetizeVP8 writes a 15-bit PictureID before every part, as browsers do: its size never changes, gateways in the path
// expect it, and a receiver can tell a lost picture from padding. There is one temporal layer, so TL0PICIDX and TID have no use.
func (p *Packetizer) packetizeVP8(frame []byte, discardable bool) {
	p.picture = (p.picture + 1) & 0x7fff
	descriptor := [4]byte{0x90, 0x80, 0x80 | byte(p.picture>>8), byte(p.picture)}
	if discardable && !vp8Key(frame) {
		descriptor[0] |= 0x20
	}
	for part := range chunks(frame, p.limit-len(descriptor)) {
		p.add(descriptor[:], part)
		descriptor[0] &^= 0x10
	}
}

// packetizeVP9 writes a 15-bit picture id and no layers: frames of a file are one spatial and temporal layer, or superframes that
// a decoder takes whole.
func (p *Packetizer) packetizeVP9(frame []byte) {
	p.picture = (p.picture + 1) & 0x7fff
	descriptor := [3]byte{0x88, 0x80 | byte(p.picture>>8), byte(p.picture)}
	if h, ok := parseVP9Header(frame); !ok || !h.key {
		descriptor[0] |= 0x40
	}
	left := len(frame)
	for part := range chunks(frame, p.limit-len(descriptor)) {
		if left -= len(part); left == 0 {
			descriptor[0] |= 0x04
		}
		p.add(descriptor[:], part)
		descriptor[0] &^= 0x08
	}
}

// chunks yields parts of nearly equal size, at most limit: an even share costs no packet more and keeps parity packets small.
func chunks(b []byte, limit int) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for n := (len(b) + limit - 1) / limit; n > 0; n-- {
			size := (len(b) + n - 1) / n
			if !yield(b[:size]) {
				return
			}
			b = b[size:]
		}
	}
}
