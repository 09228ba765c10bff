package codec

// Frame is what a relay must know of a packet (the fields of RFC 9626). For video with spatial layers Start, End and Key
// are those of the layer frame.
type Frame struct {
	Start       bool  // first packet of a frame
	End         bool  // last packet of a frame
	Key         bool  // belongs to a frame that needs no earlier one
	Discardable bool  // belongs to a frame that no other needs
	LayerSync   bool  // belongs to a frame of a higher temporal layer that needs the base layer only
	Spatial     uint8 // layer, 0 to 3 (higher ones are told as 3)
	Temporal    uint8 // layer, 0 to 7
}

// Inspect tells what a payload alone shows. dep is the AV1 dependency descriptor, nil where there is none. An unknown codec
// and a malformed or empty payload give the zero value.
//
// Some things are seen in the first packet of a frame only, and some of H264 and AV1 not without the timestamps: whoever
// has all packets of a stream uses an Inspector.
func Inspect(codec string, payload []byte, marker bool, dep []byte) Frame {
	return inspect(codec, payload, marker, dep, nil).Frame
}

// finding is what one packet shows.
type finding struct {
	Frame
	empty   bool // nothing but padding, or malformed: says nothing about a frame
	opens   bool // may be the first of a frame; the timestamp decides
	byStamp bool // Start is not seen in this packet
	head    bool // Key and Discardable were read from the codec's own header
}

func inspect(codec string, payload []byte, marker bool, dep []byte, t *templates) finding {
	if len(payload) == 0 {
		return finding{empty: true}
	}
	switch codec {
	case Opus, RED:
		return finding{Frame: Frame{Start: true, End: true, Key: true}, head: true}
	case VP8:
		return inspectVP8(payload, marker)
	case VP9:
		return inspectVP9(payload)
	case H264:
		return inspectH264(payload, marker)
	case AV1:
		return inspectAV1(payload, marker, dep, t)
	}
	return finding{empty: true}
}

// Inspector inspects the packets of one stream in about the order in which they were sent. It remembers a few frames, so
// that all packets of a key frame are told as such although only the first shows it, and a frame is begun once.
//
// For H264 a frame begins with its first parameter set or slice: delimiters and supplemental information in packets of their
// own before that can be lost without harm, and a group of pictures then begins at its SPS. An access unit with an SPS counts
// as a key frame, which is right for IDR pictures and useful for streams with gradual refresh.
type Inspector struct {
	codec     string
	templates templates
	frames    [8]frameMemory // ring
	next      int
}

// frameMemory is what earlier packets of a frame showed.
type frameMemory struct {
	used        bool
	timestamp   uint32
	spatial     uint8 // VP9 only: there each layer frame has a header of its own
	begun       bool
	head        bool
	key         bool
	discardable bool
}

// NewInspector returns an Inspector of a stream of the codec. Of a codec that is not known it tells nothing.
func NewInspector(codec string) *Inspector { return &Inspector{codec: codec} }

// Inspect tells about the next packet, given its RTP timestamp. It does not allocate and keeps nothing of its arguments.
func (in *Inspector) Inspect(timestamp uint32, payload []byte, marker bool, dep []byte) Frame {
	f := inspect(in.codec, payload, marker, dep, &in.templates)
	if f.empty || in.codec == Opus || in.codec == RED {
		return f.Frame
	}
	var spatial uint8
	if in.codec == VP9 {
		spatial = f.Spatial
	}
	m := in.memory(timestamp, spatial)
	if f.byStamp {
		f.Start = f.opens && !m.begun
		m.begun = m.begun || f.Start
	}
	switch {
	case f.head:
		m.key = m.key || f.Key
		m.discardable = f.Discardable && (m.discardable || !m.head)
		m.head = true
	case m.head:
		f.Discardable = m.discardable
	}
	f.Key = m.key || f.Key && !m.head
	if f.Key {
		f.Discardable = false
	}
	return f.Frame
}

func (in *Inspector) memory(timestamp uint32, spatial uint8) *frameMemory {
	for i := range in.frames {
		if m := &in.frames[i]; m.used && m.timestamp == timestamp && m.spatial == spatial {
			return m
		}
	}
	m := &in.frames[in.next]
	in.next = (in.next + 1) % len(in.frames)
	*m = frameMemory{used: true, timestamp: timestamp, spatial: spatial}
	return m
}
