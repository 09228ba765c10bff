package plugins

import (
	"github.com/castd/castd/mixer/opus"
	"github.com/castd/castd/plugins/sdk/protocol"
)

// pcm decodes the sound of a room for a plugin that wants samples. It is of the attendance's sender: the room does not wait for a decoder.
type pcm struct {
	decoders map[uint32]*opus.Decoder // by track; of sound, but of no voices
	message  protocol.ToPluginMessage
	samples  []float32
	payload  []byte
	wrong    uint64 // packets that could not be decoded
}

// maxSamples is what a packet of Opus may hold: 120 ms.
const maxSamples = 5760

func newPCM() *pcm {
	return &pcm{decoders: make(map[uint32]*opus.Decoder), samples: make([]float32, maxSamples)}
}

// streams notes which tracks are sound.
func (d *pcm) streams(list *protocol.StreamList) error {
	if list == nil {
		return nil
	}
	there := make(map[uint32]bool)
	for _, s := range list.Streams {
		if s.Kind != "audio" || s.Voice || s.Heard { // which are never wanted as samples
			continue
		}
		there[s.Track] = true
		if d.decoders[s.Track] == nil {
			decoder, err := opus.NewDecoder(1)
			if err != nil {
				return err
			}
			d.decoders[s.Track] = decoder
		}
	}
	for track, decoder := range d.decoders {
		if !there[track] {
			decoder.Close()
			delete(d.decoders, track)
		}
	}
	return nil
}

// decode returns a message with samples in place of Opus, in a buffer of pool's; the given one goes back to it.
func (d *pcm) decode(message []byte, pool *buffers) ([]byte, error) {
	if err := d.message.Parse(message); err != nil {
		return nil, err
	}
	if err := d.streams(d.message.Streams); err != nil {
		return nil, err
	}
	out := (*pool.Get(0))[:0]
	for i := range d.message.Media {
		m := &d.message.Media[i]
		if decoder := d.decoders[m.Track]; decoder != nil {
			n, err := decoder.Decode(m.Payload, d.samples)
			if err != nil {
				d.wrong++
				continue
			}
			d.payload = d.payload[:0]
			for _, s := range d.samples[:n] {
				v := int16(max(-32768, min(32767, s*32768)))
				d.payload = append(d.payload, byte(v), byte(uint16(v)>>8))
			}
			m.Payload = d.payload
		}
		out = protocol.AppendToPlugin(out, m)
	}
	out, err := protocol.Append(out, &d.message.ToPlugin)
	pool.Put(&message)
	return out, err
}

func (d *pcm) close() {
	for _, decoder := range d.decoders {
		decoder.Close()
	}
}
