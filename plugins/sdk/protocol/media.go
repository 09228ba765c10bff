package protocol

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Media is encoded and decoded by hand: the messages are those of plugin.proto, but packets are plain values in a slice that is used
// again, and cost no allocation each.

// Media is a Packet as a plain value.
type Media struct {
	Track     uint32
	Number    uint64
	Timestamp uint32
	WallUs    int64
	ArrivedUs int64
	Marker    bool
	Level     uint8 // as in the protocol: loudness plus one; 0 unknown
	Voice     bool
	Backlog   bool
	Payload   []byte
}

// Fields that hold packets.
const (
	fieldToPlugin   = 6 // ToPlugin.packets
	fieldFromPlugin = 3 // FromPlugin.packets
)

// AppendToPlugin appends a packet to an encoded ToPlugin. Parts of a message may be encoded in any order, one after another.
func AppendToPlugin(b []byte, m *Media) []byte { return appendMedia(b, fieldToPlugin, m) }

// AppendFromPlugin appends a packet to an encoded FromPlugin.
func AppendFromPlugin(b []byte, m *Media) []byte { return appendMedia(b, fieldFromPlugin, m) }

// Append appends any part of a message to it.
func Append(b []byte, m proto.Message) ([]byte, error) {
	out, err := proto.MarshalOptions{}.MarshalAppend(b, m)
	if err != nil {
		return b, fmt.Errorf("encode: %w", err)
	}
	return out, nil
}

func appendMedia(b []byte, field protowire.Number, m *Media) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(mediaSize(m)))
	b = appendNumber(b, 1, uint64(m.Track))
	b = appendNumber(b, 2, m.Number)
	b = appendNumber(b, 3, uint64(m.Timestamp))
	b = appendNumber(b, 4, uint64(m.WallUs))
	b = appendNumber(b, 5, uint64(m.ArrivedUs))
	b = appendNumber(b, 6, protowire.EncodeBool(m.Marker))
	b = appendNumber(b, 7, uint64(m.Level))
	b = appendNumber(b, 8, protowire.EncodeBool(m.Voice))
	b = appendNumber(b, 9, protowire.EncodeBool(m.Backlog))
	if len(m.Payload) > 0 {
		b = protowire.AppendTag(b, 10, protowire.BytesType)
		b = protowire.AppendBytes(b, m.Payload)
	}
	return b
}

func appendNumber(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func mediaSize(m *Media) int {
	n := 0
	for _, v := range [...]uint64{
		uint64(m.Track), m.Number, uint64(m.Timestamp), uint64(m.WallUs), uint64(m.ArrivedUs),
		protowire.EncodeBool(m.Marker), uint64(m.Level), protowire.EncodeBool(m.Voice), protowire.EncodeBool(m.Backlog),
	} {
		if v != 0 {
			n += 1 + protowire.SizeVarint(v) // the tags of fields below 16 are one octet
		}
	}
	if len(m.Payload) > 0 {
		n += 1 + protowire.SizeBytes(len(m.Payload))
	}
	return n
}

// ToPluginMessage is a ToPlugin whose packets are plain values. The zero value is ready for Parse.
type ToPluginMessage struct {
	ToPlugin         // without packets
	Media    []Media // payloads are parts of what was parsed
	rest     []byte
}

// Parse replaces the message by an encoded one.
func (m *ToPluginMessage) Parse(b []byte) error {
	var err error
	if m.Media, m.rest, err = split(b, fieldToPlugin, m.Media[:0], m.rest[:0]); err != nil {
		return err
	}
	if err := proto.Unmarshal(m.rest, &m.ToPlugin); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	return nil
}

// FromPluginMessage is a FromPlugin whose packets are plain values. The zero value is ready for Parse.
type FromPluginMessage struct {
	FromPlugin         // without packets
	Media      []Media // payloads are parts of what was parsed
	rest       []byte
}

// Parse replaces the message by an encoded one.
func (m *FromPluginMessage) Parse(b []byte) error {
	var err error
	if m.Media, m.rest, err = split(b, fieldFromPlugin, m.Media[:0], m.rest[:0]); err != nil {
		return err
	}
	if err := proto.Unmarshal(m.rest, &m.FromPlugin); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	return nil
}

var errMalformed = errors.New("malformed message")

// split appends the packets of a message to media, and all else to rest.
func split(b []byte, field protowire.Number, media []Media, rest []byte) ([]Media, []byte, error) {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return media, rest, errMalformed
		}
		size := protowire.ConsumeFieldValue(number, kind, b[n:])
		if size < 0 {
			return media, rest, errMalformed
		}
		if number != field || kind != protowire.BytesType {
			rest = append(rest, b[:n+size]...)
			b = b[n+size:]
			continue
		}
		body, _ := protowire.ConsumeBytes(b[n:])
		media = append(media, Media{})
		if err := media[len(media)-1].parse(body); err != nil {
			return media, rest, err
		}
		b = b[n+size:]
	}
	return media, rest, nil
}

func (m *Media) parse(b []byte) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errMalformed
		}
		b = b[n:]
		switch {
		case kind == protowire.VarintType:
			v, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return errMalformed
			}
			m.set(number, v)
			b = b[n:]
		case number == 10 && kind == protowire.BytesType:
			payload, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return errMalformed
			}
			m.Payload = payload
			b = b[n:]
		default:
			n := protowire.ConsumeFieldValue(number, kind, b)
			if n < 0 {
				return errMalformed
			}
			b = b[n:]
		}
	}
	return nil
}

func (m *Media) set(number protowire.Number, v uint64) {
	switch number {
	case 1:
		m.Track = uint32(v)
	case 2:
		m.Number = v
	case 3:
		m.Timestamp = uint32(v)
	case 4:
		m.WallUs = int64(v)
	case 5:
		m.ArrivedUs = int64(v)
	case 6:
		m.Marker = v != 0
	case 7:
		m.Level = uint8(min(v, 128))
	case 8:
		m.Voice = v != 0
	case 9:
		m.Backlog = v != 0
	}
}
