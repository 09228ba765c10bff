package container

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/castd/castd/engine/codec"
)

const (
	// pageSpan is how much media is gathered on a page: what a killed process loses, and what a listener at a pipe waits.
	pageSpan = 500 * time.Millisecond
	// pageBody bounds a page's body, in octets: some players read no more in one go.
	pageBody = 32 << 10
	// maxGap bounds a gap that is filled; a larger one is rather a wrong timestamp.
	maxGap = 24 * time.Hour
)

// OggWriter writes one Opus stream as Ogg (RFC 7845). Each page is handed to the writer in one call as soon as it holds half a
// second, so that every prefix of whole pages is a playable file.
//
// The format has no gaps: granule positions count the samples of packets that are there. Where packets were lost or not sent
// (DTX), packets of one or two octets go in that ask the decoder for concealment, as section 4.1 recommends.
type OggWriter struct {
	w      io.Writer
	table  *[256]uint32
	serial uint32
	number uint32

	position  int64 // end of the last packet, in samples
	pageStart int64
	origin    int64 // time of the first packet
	begun     bool
	toc       byte // of the last packet
	hasTOC    bool
	lacing    []byte
	body      []byte
	closed    bool
}

// NewOggWriter writes the headers. channels is 1 or 2, preSkip in samples of 48 kHz (312 is libopus's), serial should be random.
func NewOggWriter(w io.Writer, channels, preSkip int, serial uint32) (*OggWriter, error) {
	if channels < 1 || channels > 2 || preSkip < 0 || preSkip > 0xffff {
		return nil, fmt.Errorf("container: cannot write Opus of %d channels with pre-skip %d", channels, preSkip)
	}
	o := &OggWriter{w: w, table: oggTable(), serial: serial}
	if err := o.header(codec.OpusHead(channels, preSkip), pageFirst); err != nil {
		return nil, err
	}
	const vendor = "castd"
	tags := binary.LittleEndian.AppendUint32([]byte("OpusTags"), uint32(len(vendor)))
	tags = append(tags, vendor...)
	if err := o.header(binary.LittleEndian.AppendUint32(tags, 0), 0); err != nil {
		return nil, err
	}
	return o, nil
}

func (o *OggWriter) header(packet []byte, flags byte) error {
	o.lacing, o.body = append(o.lacing[:0], byte(len(packet))), append(o.body[:0], packet...)
	return o.flush(flags)
}

// WritePacket appends an Opus packet that begins at t of any clock; the first one's t is where the file starts. Times that go
// back count as going on at once. After a failed write the next call goes on with a fresh page, and what was lost is a gap.
func (o *OggWriter) WritePacket(data []byte, t time.Duration) error {
	d := codec.OpusDuration(data)
	if d == 0 {
		return fmt.Errorf("container: malformed Opus packet of %d octets", len(data))
	}
	if !o.begun {
		o.begun = true
		o.origin = samples(t)
	}
	if err := o.fill(samples(t)-o.origin-o.position, data[0]); err != nil {
		return err
	}
	if err := o.add(data, d); err != nil {
		return err
	}
	o.toc, o.hasTOC = data[0], true
	return nil
}

// fill asks for concealment over a gap, in samples. Less than 2.5 ms cannot be expressed, and waits until it has grown.
func (o *OggWriter) fill(gap int64, toc byte) error {
	if gap > samples(maxGap) {
		return fmt.Errorf("container: gap of %v in the recording", duration(gap))
	}
	if o.hasTOC {
		toc = o.toc
	}
	for gap >= 120 {
		packet := concealment(toc, gap)
		d := codec.OpusDuration(packet)
		if err := o.add(packet, d); err != nil {
			return err
		}
		gap -= samples(d)
	}
	return nil
}

// Concealment returns an Opus packet that asks a decoder to conceal as much as possible of a gap, in the manner of the packet before it, and
// how long it lasts. It returns nil for less than 2.5 ms, which cannot be expressed.
func Concealment(before []byte, gap time.Duration) ([]byte, time.Duration) {
	if samples(gap) < 120 || len(before) == 0 {
		return nil, 0
	}
	packet := concealment(before[0], samples(gap))
	return packet, codec.OpusDuration(packet)
}

// concealment returns a packet of empty frames that covers as much as possible of a gap of at least 120 samples. It keeps the
// configuration of toc, unless the gap is smaller than a frame of that: then it takes shorter CELT frames (RFC 7845, section 4.1).
func concealment(toc byte, gap int64) []byte {
	toc &^= 3
	frame := samples(codec.OpusFrameDuration(toc))
	for frame > gap {
		switch config := toc >> 3; {
		case config >= 16:
			toc -= 1 << 3 // CELT of half the frame
		case config == 12 || config == 14: // hybrid of 10 ms; super-wideband, fullband
			toc = toc&7 | (24+(config-12)*2+1)<<3 // CELT of 5 ms
		case config >= 12:
			toc -= 1 << 3
		case config&3 == 0: // SILK of 10 ms: narrowband, medium band, wideband
			band := config >> 2
			toc = toc&7 | (16+min(band, 1)*4+1)<<3 // CELT of 5 ms, narrowband or wideband
		default:
			toc -= 1 << 3
		}
		frame = samples(codec.OpusFrameDuration(toc))
	}
	n := min(gap/frame, samples(120*time.Millisecond)/frame)
	if n == 1 {
		return []byte{toc}
	}
	return []byte{toc | 3, byte(n)}
}

// add appends a packet to the page. The page before is written only now, so that there is a packet left for the last page.
func (o *OggWriter) add(data []byte, d time.Duration) error {
	segments := len(data)/255 + 1
	if segments > 255 {
		return fmt.Errorf("container: Opus packet of %d octets", len(data))
	}
	full := o.position+samples(d)-o.pageStart > samples(pageSpan) || len(o.lacing)+segments > 255 || len(o.body)+len(data) > pageBody
	if len(o.lacing) > 0 && full {
		if err := o.flush(0); err != nil {
			return err
		}
	}
	for range segments - 1 {
		o.lacing = append(o.lacing, 255)
	}
	o.lacing = append(o.lacing, byte(len(data)%255))
	o.body = append(o.body, data...)
	o.position += samples(d)
	return nil
}

// flush writes the page. If that fails its packets become a gap.
func (o *OggWriter) flush(flags byte) error {
	b := make([]byte, pageHeaderSize, pageHeaderSize+len(o.lacing)+len(o.body))
	copy(b, "OggS")
	b[5] = flags
	granule := o.position
	if len(o.lacing) == 0 {
		granule = noGranule
	}
	binary.LittleEndian.PutUint64(b[6:], uint64(granule))
	binary.LittleEndian.PutUint32(b[14:], o.serial)
	binary.LittleEndian.PutUint32(b[18:], o.number)
	b[26] = byte(len(o.lacing))
	b = append(append(b, o.lacing...), o.body...)
	binary.LittleEndian.PutUint32(b[22:], oggSum(o.table, 0, b))
	o.lacing, o.body = o.lacing[:0], o.body[:0]
	if _, err := o.w.Write(b); err != nil {
		o.position = o.pageStart
		return fmt.Errorf("write recording: %w", err)
	}
	o.pageStart = o.position
	o.number++
	return nil
}

// Fill asks for concealment up to t, as WritePacket does before a packet of that time: who knows that nothing comes fills the silence
// as it passes. It does nothing before the first packet.
func (o *OggWriter) Fill(t time.Duration) error {
	if !o.begun {
		return nil
	}
	return o.fill(samples(t)-o.origin-o.position, 0)
}

// Flush writes what has been gathered.
func (o *OggWriter) Flush() error {
	if len(o.lacing) == 0 {
		return nil
	}
	return o.flush(0)
}

// Close writes the last page. It does not close the writer below. Further calls do nothing.
func (o *OggWriter) Close() error {
	if o.closed {
		return nil
	}
	o.closed = true
	return o.flush(pageLast)
}
