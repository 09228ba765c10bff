package hop

import (
	"encoding/binary"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/wire"
)

// Control messages are RTCP APP packets (RFC 3550 section 6.7), alone in their datagrams as RFC 5506 permits:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+---+-+---------+---------------+-------------------------------+
//	|V=2|P|subtype=0|    PT = 204   |            length             |
//	+---+-+---------+---------------+-------------------------------+
//	|                             SSRC                              |
//	+---------------------------------------------------------------+
//	|                         name = "CAST"                         |
//	+---------------------------------------------------------------+
//	|          HopControl (protobuf), RTCP padding if P ...         |
//	+---------------------------------------------------------------+
const (
	typeApp       = 204
	controlHeader = 12
	controlName   = "CAST"
	// maxControl bounds a control packet, in octets, before encryption: with SRTCP's 20 it fits every path.
	maxControl = 1200 - 20
)

var (
	errControl         = errors.New("malformed control packet")
	errControlTooLarge = errors.New("control message does not fit a packet")
)

// appendControl appends the packet that carries the encoded message.
func appendControl(b []byte, ssrc uint32, msg []byte) []byte {
	pad := (4 - len(msg)%4) % 4
	first := byte(2 << 6)
	if pad > 0 {
		first |= 1 << 5
	}
	b = append(b, first, typeApp)
	b = binary.BigEndian.AppendUint16(b, uint16((controlHeader+len(msg)+pad)/4-1))
	b = binary.BigEndian.AppendUint32(b, ssrc)
	b = append(b, controlName...)
	b = append(b, msg...)
	for i := 1; i < pad; i++ {
		b = append(b, 0)
	}
	if pad > 0 {
		b = append(b, byte(pad))
	}
	return b
}

// parseControl reads a packet.
func parseControl(b []byte) (*wire.HopControl, error) {
	if len(b) < controlHeader || b[0]>>6 != 2 || b[0]&31 != 0 || b[1] != typeApp || string(b[8:12]) != controlName ||
		4*(int(binary.BigEndian.Uint16(b[2:]))+1) != len(b) {
		return nil, errControl
	}
	msg := b[controlHeader:]
	if b[0]&(1<<5) != 0 {
		if len(msg) == 0 || msg[len(msg)-1] == 0 || int(msg[len(msg)-1]) > len(msg) {
			return nil, errControl
		}
		msg = msg[:len(msg)-int(msg[len(msg)-1])]
	}
	c := new(wire.HopControl)
	if err := proto.Unmarshal(msg, c); err != nil {
		return nil, fmt.Errorf("%w: %w", errControl, err)
	}
	return c, nil
}

// splitControl encodes a message, halving its lists until each part fits a packet.
func splitControl(c *wire.HopControl) ([][]byte, error) {
	b, err := proto.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode control message: %w", err)
	}
	if controlHeader+len(b)+3 <= maxControl {
		return [][]byte{b}, nil
	}
	x, y, ok := halveControl(c)
	if !ok {
		return nil, errControlTooLarge
	}
	first, err := splitControl(x)
	if err != nil {
		return nil, err
	}
	second, err := splitControl(y)
	if err != nil {
		return nil, err
	}
	return append(first, second...), nil
}

// halveControl divides a message in two that say the same together. Both parts of a pulse carry its stamps.
func halveControl(c *wire.HopControl) (x, y *wire.HopControl, ok bool) {
	pulse, nacks, wishes := c.GetPulse(), c.GetNacks(), c.GetWishes()
	switch {
	case pulse != nil && len(nacks)+len(wishes) > 0:
		return &wire.HopControl{Pulse: pulse}, &wire.HopControl{Nacks: nacks, Wishes: wishes}, true
	case pulse != nil:
		rooms := pulse.GetRooms()
		p, q := clonePulse(pulse), clonePulse(pulse)
		if n := len(rooms); n > 1 {
			p.Rooms, q.Rooms = rooms[:n/2], rooms[n/2:]
		} else if n == 1 && len(rooms[0].GetMarks()) > 1 {
			r, s := cloneRoom(rooms[0]), cloneRoom(rooms[0])
			m := rooms[0].GetMarks()
			r.Marks, s.Marks = m[:len(m)/2], m[len(m)/2:]
			p.Rooms, q.Rooms = []*wire.RoomPulse{r}, []*wire.RoomPulse{s}
		} else {
			return nil, nil, false
		}
		return &wire.HopControl{Pulse: p}, &wire.HopControl{Pulse: q}, true
	case len(nacks) > 0 && len(wishes) > 0:
		return &wire.HopControl{Nacks: nacks}, &wire.HopControl{Wishes: wishes}, true
	case len(nacks) > 1:
		return &wire.HopControl{Nacks: nacks[:len(nacks)/2]}, &wire.HopControl{Nacks: nacks[len(nacks)/2:]}, true
	case len(nacks) == 1 && len(nacks[0].GetNumbers()) > 1:
		id, m := nacks[0].GetStream(), nacks[0].GetNumbers()
		return &wire.HopControl{Nacks: []*wire.Nack{{Stream: id, Numbers: m[:len(m)/2]}}},
			&wire.HopControl{Nacks: []*wire.Nack{{Stream: id, Numbers: m[len(m)/2:]}}}, true
	case len(wishes) > 1:
		return &wire.HopControl{Wishes: wishes[:len(wishes)/2]}, &wire.HopControl{Wishes: wishes[len(wishes)/2:]}, true
	}
	return nil, nil, false
}

// clonePulse copies a pulse without its rooms.
func clonePulse(p *wire.Pulse) *wire.Pulse {
	return &wire.Pulse{
		Stamp: p.GetStamp(), Echo: p.GetEcho(), EchoDelay: p.GetEchoDelay(), LossPermille: p.GetLossPermille(),
	}
}

// cloneRoom copies a room's pulse without its marks.
func cloneRoom(r *wire.RoomPulse) *wire.RoomPulse {
	return &wire.RoomPulse{
		Room: r.GetRoom(), Depth: r.GetDepth(), MediaAgeMs: r.GetMediaAgeMs(), Repairing: r.GetRepairing(),
		Audience: r.GetAudience(), Feeding: r.GetFeeding(), Below: r.GetBelow(), FreeBelow: r.GetFreeBelow(), Free: r.GetFree(), OriginClock: r.GetOriginClock(),
	}
}
