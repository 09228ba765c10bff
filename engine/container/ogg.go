package container

import (
	"bytes"
	"encoding/binary"
	"io"
	"time"

	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/wire"
)

// Flags of an Ogg page (RFC 3533, section 6).
const (
	pageContinued = 1
	pageFirst     = 2
	pageLast      = 4
)

const (
	pageHeaderSize = 27
	noGranule      = -1      // no packet ends on the page
	maxPosition    = 1 << 48 // samples; 185 years, and still a time.Duration
)

// page is one Ogg page.
type page struct {
	at      int64 // its place in the file
	flags   byte
	granule int64
	serial  uint32
	number  uint32
	lacing  []byte
	body    []byte
}

// oggTable is for the checksum of RFC 3533, section 6: CRC-32 that is not reflected, from zero.
func oggTable() *[256]uint32 {
	var t [256]uint32
	for i := range t {
		c := uint32(i) << 24
		for range 8 {
			if c&0x80000000 != 0 {
				c = c<<1 ^ 0x04c11db7
			} else {
				c <<= 1
			}
		}
		t[i] = c
	}
	return &t
}

func oggSum(t *[256]uint32, sum uint32, b []byte) uint32 {
	for _, c := range b {
		sum = sum<<8 ^ t[byte(sum>>24)^c]
	}
	return sum
}

// oggReader follows the first Opus stream of a file. Pages of streams beside it are passed over. Streams of chained files
// (RFC 3533, section 4) are played one after the other as one track: one that begins after the headers of another is in line
// after it, whether or not that had its last page.
type oggReader struct {
	s     *source
	table *[256]uint32
	track Track
	err   error

	found   bool
	ended   bool // the followed stream has had its last page
	serial  uint32
	headers int    // header packets still to come
	number  uint32 // of the next page
	partial []byte // packet that goes on on the next page
	partAt  int64
	open    bool    // partial is in use
	others  []Track // streams beside it

	base     int64 // position at which the present chain link starts, in samples
	position int64 // end of the last packet within the link
	started  bool
	queue    []*Frame
}

func openOgg(s *source) (Demuxer, error) {
	o := &oggReader{s: s, table: oggTable()}
	for !o.found || o.headers > 0 {
		if err := o.step(); err != nil {
			if err != io.EOF {
				return nil, err
			}
			if !o.found && len(o.others) > 0 {
				return nil, &ForeignError{Container: "Ogg", Tracks: o.others}
			}
			return nil, errorf(s.offset, "the file ends before its Opus headers are complete")
		}
	}
	return o, nil
}

func (o *oggReader) Tracks() []Track { return []Track{o.track} }

func (o *oggReader) Next() (*Frame, error) {
	for len(o.queue) == 0 {
		if o.err == nil {
			o.err = o.step()
		}
		if o.err != nil && len(o.queue) == 0 {
			return nil, o.err
		}
	}
	f := o.queue[0]
	o.queue = o.queue[1:]
	return f, nil
}

// step reads one page.
func (o *oggReader) step() error {
	p, err := o.readPage()
	if err != nil {
		if err == io.EOF && o.open {
			return errorf(o.s.offset, "the file is cut inside an Opus packet")
		}
		return err
	}
	if p.flags&pageFirst != 0 && (!o.found || o.ended || o.headers == 0) {
		if !o.begin(p) {
			return nil
		}
	}
	if !o.found || p.serial != o.serial || o.ended {
		return nil
	}
	return o.take(p)
}

// begin looks whether a stream that begins is one to follow.
func (o *oggReader) begin(p *page) bool {
	channels, preSkip, ok := codec.ParseOpusHead(p.body)
	if !ok {
		if t, known := oggTrack(p.body); known && len(o.others) < maxTracks {
			o.others = append(o.others, t)
		}
		return false
	}
	if !o.found {
		o.track = Track{
			ID: 1, Kind: wire.KindAudio, Codec: codec.Opus, ClockRate: codec.AudioClock, Channels: uint32(channels),
			PreSkip: preSkip, Private: bytes.Clone(p.body),
		}
	}
	o.base += o.position
	o.position, o.started = 0, false
	o.found, o.ended, o.serial, o.headers, o.number = true, false, p.serial, 2, p.number
	o.open, o.partial = false, nil
	return true
}

// oggTrack names the codec of a stream by its first packet; known is false for what is neither audio nor video.
func oggTrack(b []byte) (t Track, known bool) {
	for _, c := range []struct {
		prefix string
		track  Track
	}{
		{"\x01vorbis", audioTrack(codecVorbis)},
		{"\x7fFLAC", audioTrack(codecFLAC)},
		{"Speex   ", audioTrack(codecSpeex)},
		{"PCM     ", audioTrack(codecPCM)},
		{"\x80theora", videoTrack(codecTheora)},
		{"OVP80", videoTrack(codec.VP8)},
		{"BBCD\x00", videoTrack("Dirac")},
		{"fishead", t}, {"fisbone", t}, {"CMML", t}, {"\x80kate", t}, // no media
	} {
		if bytes.HasPrefix(b, []byte(c.prefix)) {
			return c.track, c.track.Codec != ""
		}
	}
	return audioTrack(describe(b)), true
}

// take cuts a page of the followed stream into packets.
func (o *oggReader) take(p *page) error {
	if p.number != o.number {
		return errorf(p.at, "Ogg page %d is missing", o.number)
	}
	o.number++
	if (p.flags&pageContinued != 0) != o.open {
		return errorf(p.at, "Ogg page does not go on where the one before it ended")
	}
	var packets [][]byte
	body := p.body
	for _, size := range p.lacing {
		if !o.open {
			o.partial, o.open, o.partAt = nil, true, p.at
		}
		limit := MaxFrame
		if o.headers > 0 {
			limit = maxHeader
		}
		if len(o.partial)+int(size) > limit {
			return errorf(o.partAt, "Opus packet is larger than %d octets", limit)
		}
		o.partial = append(o.partial, body[:size]...)
		body = body[size:]
		if size < 255 {
			packets = append(packets, o.partial)
			o.open, o.partial = false, nil
		}
	}
	for len(packets) > 0 && o.headers > 0 {
		if o.headers == 1 && !bytes.HasPrefix(packets[0], []byte("OpusTags")) {
			return errorf(p.at, "the Opus comment header is missing")
		}
		o.headers--
		packets = packets[1:]
	}
	if p.flags&pageLast != 0 {
		o.ended = true
	}
	return o.deliver(p, packets)
}

// deliver places the packets of a page in time. The granule position is that of the end of the last of them; it tells where
// a stream that was joined begins, and how long a gap is (RFC 7845, section 4). The last page's may be early, to trim the end.
func (o *oggReader) deliver(p *page, packets [][]byte) error {
	var total int64
	for _, b := range packets {
		d := codec.OpusDuration(b)
		if d == 0 {
			return errorf(p.at, "Ogg page has a malformed Opus packet")
		}
		total += samples(d)
	}
	if len(packets) == 0 {
		return nil
	}
	if p.granule < noGranule || max(p.granule, o.position)+o.base > maxPosition {
		return errorf(p.at, "Ogg page has the granule position %d", p.granule)
	}
	if start := p.granule - total; p.granule != noGranule && start > o.position && !(p.flags&pageLast != 0 && !o.started) {
		o.position = start
	}
	o.started = true
	for _, b := range packets {
		d := codec.OpusDuration(b)
		o.queue = append(o.queue, &Frame{Track: 1, Time: duration(o.base + o.position), Duration: d, Data: b, Key: true})
		o.position += samples(d)
	}
	return nil
}

// samples converts to samples of 48 kHz, rounded to the nearest.
func samples(d time.Duration) int64 {
	whole, part := int64(d/time.Second), int64(d%time.Second)
	return whole*codec.AudioClock + (part*codec.AudioClock+int64(time.Second)/2)/int64(time.Second)
}

// duration converts samples of 48 kHz, rounded to the nearest; samples is its inverse.
func duration(samples int64) time.Duration {
	whole, part := samples/codec.AudioClock, samples%codec.AudioClock
	return time.Duration(whole)*time.Second + (time.Duration(part)*time.Second+codec.AudioClock/2)/codec.AudioClock
}

// readPage reads and checks the next page. io.EOF comes only between pages.
func (o *oggReader) readPage() (*page, error) {
	p := &page{at: o.s.offset}
	var h [pageHeaderSize]byte
	if err := o.s.full(h[:], "an Ogg page header"); err != nil {
		return nil, err
	}
	if string(h[:4]) != "OggS" {
		return nil, errorf(p.at, "an Ogg page should begin here")
	}
	if h[4] != 0 {
		return nil, errorf(p.at, "Ogg page has the unknown version %d", h[4])
	}
	p.flags, p.granule = h[5], int64(binary.LittleEndian.Uint64(h[6:]))
	p.serial, p.number = binary.LittleEndian.Uint32(h[14:]), binary.LittleEndian.Uint32(h[18:])
	want := binary.LittleEndian.Uint32(h[22:])
	p.lacing = make([]byte, h[26])
	if err := o.s.rest(p.lacing, "an Ogg page"); err != nil {
		return nil, err
	}
	size := 0
	for _, c := range p.lacing {
		size += int(c)
	}
	p.body = make([]byte, size)
	if err := o.s.rest(p.body, "an Ogg page"); err != nil {
		return nil, err
	}
	clear(h[22:26])
	if sum := oggSum(o.table, oggSum(o.table, oggSum(o.table, 0, h[:]), p.lacing), p.body); sum != want {
		return nil, errorf(p.at, "Ogg page checksum is wrong")
	}
	return p, nil
}
