package container

import (
	"bytes"
	"io"
	"math"
	"time"

	"github.com/castd/castd/engine/codec"
)

// matroskaReader walks a Segment element by element. Only header elements and single blocks are held in memory.
type matroskaReader struct {
	s     *source
	err   error
	queue []*Frame

	segmentEnd int64 // place behind the Segment, or unknownSize
	clusterEnd int64
	inCluster  bool
	timestamp  uint64 // of the Cluster, in units of scale
	stamped    bool

	scale    uint64 // ns
	duration float64
	tracks   []Track
	entries  map[uint64]*entry // by track number
	pending  *element          // first Cluster, whose head Open has read
}

func openMatroska(s *source) (Demuxer, error) {
	m := &matroskaReader{s: s, scale: 1e6}
	if err := m.head(); err != nil {
		return nil, err
	}
	for m.pending == nil {
		e, err := m.segmentElement()
		if err == io.EOF {
			return nil, errorf(s.offset, "the file ends before any media")
		}
		if err != nil {
			return nil, err
		}
		if e.id == idCluster {
			m.pending = &e
			break
		}
		if err := m.header(e); err != nil {
			return nil, err
		}
	}
	if m.entries == nil {
		return nil, errorf(m.pending.at, "media begins before any tracks are described")
	}
	if len(m.tracks) == 0 {
		return nil, &FormatError{Offset: -1, What: "the file has neither audio nor video"}
	}
	m.lookAhead()
	if d := m.duration * float64(m.scale); d > 0 && d < math.MaxInt64/2 {
		for i := range m.tracks {
			m.tracks[i].Duration = time.Duration(d)
		}
	}
	return m, nil
}

func (m *matroskaReader) Tracks() []Track { return m.tracks }

// head reads the EBML header and the head of the Segment.
func (m *matroskaReader) head() error {
	e, err := m.s.element()
	if err != nil {
		return cut(err, m.s)
	}
	content, err := m.content(e, maxHeader, "the EBML header")
	if err != nil {
		return err
	}
	doc := ""
	err = children(content, m.s.offset-int64(len(content)), func(id uint32, v []byte, _ int64) error {
		if id == idDocType {
			doc = text(v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if doc != "webm" && doc != "matroska" {
		return errorf(e.at, "the file is EBML, but neither WebM nor Matroska: its type is %.20q", doc)
	}
	for {
		e, err := m.s.element()
		if err != nil {
			return cut(err, m.s)
		}
		switch e.id {
		case idSegment:
			m.segmentEnd = unknownSize
			if e.size != unknownSize {
				m.segmentEnd = m.s.offset + e.size
				if m.segmentEnd < 0 {
					return errorf(e.at, "the Segment has an impossible size")
				}
			}
			return nil
		case idVoid, idCRC:
			if err := m.skip(e); err != nil {
				return err
			}
		default:
			return errorf(e.at, "a Segment should begin here")
		}
	}
}

// cut makes the end of the file an error.
func cut(err error, s *source) error {
	if err == io.EOF {
		return errorf(s.offset, "the file is cut")
	}
	return err
}

// content reads what is in an element.
func (m *matroskaReader) content(e element, limit int, what string) ([]byte, error) {
	if e.size == unknownSize {
		return nil, errorf(e.at, "%s has no size", what)
	}
	if e.size > int64(limit) {
		return nil, errorf(e.at, "%s of %d octets is larger than %d", what, e.size, limit)
	}
	return m.s.take(int(e.size), what)
}

func (m *matroskaReader) skip(e element) error {
	if e.size == unknownSize {
		return errorf(e.at, "element %X has no size", e.id)
	}
	return m.s.skip(e.size, "an element")
}

// segmentElement reads the head of the next element of the Segment. io.EOF means its end, which must be that of the file where
// its size is known.
func (m *matroskaReader) segmentElement() (element, error) {
	if m.segmentEnd != unknownSize && m.s.offset >= m.segmentEnd {
		return m.afterSegment()
	}
	e, err := m.s.element()
	if err == io.EOF && m.segmentEnd != unknownSize {
		return e, errorf(m.s.offset, "the file is cut: %d octets are missing", m.segmentEnd-m.s.offset)
	}
	if err != nil {
		return e, err
	}
	if e.id == idEBML || e.id == idSegment {
		return e, errorf(e.at, "a second file begins here; castd reads one")
	}
	if m.segmentEnd != unknownSize && e.size != unknownSize && e.size > m.segmentEnd-m.s.offset {
		return e, errorf(e.at, "element %X is larger than the Segment around it", e.id)
	}
	return e, nil
}

// afterSegment expects the end of the file, or padding.
func (m *matroskaReader) afterSegment() (element, error) {
	for {
		e, err := m.s.element()
		if err != nil {
			return e, err
		}
		if e.id != idVoid {
			return e, errorf(e.at, "the file goes on behind its Segment")
		}
		if err := m.skip(e); err != nil {
			return e, err
		}
	}
}

// header takes an element of the Segment that is no Cluster.
func (m *matroskaReader) header(e element) error {
	switch e.id {
	case idInfo:
		content, err := m.content(e, maxHeader, "the Info element")
		if err != nil {
			return err
		}
		return m.info(content)
	case idTracks:
		if m.entries != nil {
			return m.skip(e) // a repetition
		}
		content, err := m.content(e, maxHeader, "the Tracks element")
		if err != nil {
			return err
		}
		return m.readTracks(content, m.s.offset-int64(len(content)))
	}
	return m.skip(e)
}

func (m *matroskaReader) info(content []byte) error {
	at := m.s.offset - int64(len(content))
	return children(content, at, func(id uint32, v []byte, at int64) error {
		switch id {
		case idTimestampScale:
			m.scale = number(v)
			if m.scale == 0 || m.scale > uint64(time.Hour) {
				return errorf(at, "timestamps have an impossible scale")
			}
		case idDuration:
			m.duration = float(v)
		}
		return nil
	})
}

func (m *matroskaReader) Next() (*Frame, error) {
	for len(m.queue) == 0 {
		if m.err != nil {
			return nil, m.err
		}
		m.err = m.step()
	}
	f := m.queue[0]
	m.queue = m.queue[1:]
	return f, nil
}

// step takes one element.
func (m *matroskaReader) step() error {
	if m.pending != nil {
		e := *m.pending
		m.pending = nil
		return m.beginCluster(e)
	}
	if m.inCluster && m.clusterEnd != unknownSize && m.s.offset >= m.clusterEnd {
		m.inCluster = false
	}
	e, err := m.segmentElement()
	if err != nil {
		if err == io.EOF && m.inCluster && m.clusterEnd != unknownSize {
			return errorf(m.s.offset, "the file is cut: %d octets are missing", m.clusterEnd-m.s.offset)
		}
		return err
	}
	if m.inCluster && m.clusterEnd != unknownSize && e.size != unknownSize && e.size > m.clusterEnd-m.s.offset {
		return errorf(e.at, "element %X is larger than the Cluster around it", e.id)
	}
	switch e.id {
	case idCluster:
		return m.beginCluster(e)
	case idTimestamp, idSimpleBlock, idBlockGroup:
		if m.inCluster {
			return m.clusterElement(e)
		}
		return errorf(e.at, "a Cluster should begin here")
	case idSeekHead, idInfo, idTracks, idCues, idAttachments, idChapters, idTags:
		m.inCluster = false // ends a Cluster of unknown size
	}
	return m.skip(e)
}

func (m *matroskaReader) beginCluster(e element) error {
	m.inCluster, m.stamped, m.timestamp = true, false, 0
	m.clusterEnd = unknownSize
	if e.size != unknownSize {
		m.clusterEnd = m.s.offset + e.size
	}
	return nil
}

func (m *matroskaReader) clusterElement(e element) error {
	if e.id == idTimestamp {
		v, err := m.content(e, 8, "a Cluster's timestamp")
		if err != nil {
			return err
		}
		m.timestamp, m.stamped = number(v), true
		if m.timestamp > uint64(math.MaxInt64/4)/m.scale {
			return errorf(e.at, "a Cluster's timestamp is out of range")
		}
		return nil
	}
	if !m.stamped {
		return errorf(e.at, "a Cluster has media before its timestamp")
	}
	content, err := m.content(e, MaxFrame, "a block")
	if err != nil {
		return err
	}
	at := m.s.offset - int64(len(content))
	if e.id == idSimpleBlock {
		return m.block(content, at, nil)
	}
	g := group{}
	var data []byte
	var dataAt int64
	err = children(content, at, func(id uint32, v []byte, at int64) error {
		switch id {
		case idBlock:
			data, dataAt = v, at
		case idBlockDuration:
			g.duration = number(v)
		case idReferenceBlock:
			g.references = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	if data == nil {
		return errorf(at, "a BlockGroup has no Block")
	}
	return m.block(data, dataAt, &g)
}

// group is what a BlockGroup says beside its Block.
type group struct {
	duration   uint64 // in units of scale
	references bool
}

// block takes a Block or, where g is nil, a SimpleBlock: track number, timestamp(16), flags, frames (RFC 9559, section 10).
func (m *matroskaReader) block(b []byte, at int64, g *group) error {
	track, n, known := vint(b)
	if n == 0 || !known || len(b) < n+3 {
		return errorf(at, "a block is too short")
	}
	t := m.entries[track]
	if t == nil {
		return nil // subtitles and the like
	}
	relative, flags := int64(int16(uint16(b[n])<<8|uint16(b[n+1]))), b[n+2]
	frames, ok := unlace(b[n+3:], flags>>1&3)
	if !ok {
		return errorf(at, "a block has malformed lacing")
	}
	if t.damage != "" {
		return errorf(at, "%s", t.damage)
	}
	base := (int64(m.timestamp) + relative) * int64(m.scale)
	f := Frame{Track: t.id, Time: time.Duration(base), Key: flags&0x80 != 0, Discardable: flags&1 != 0}
	f.Duration = t.duration
	if g != nil {
		f.Key, f.Discardable = !g.references, false
		if len(frames) == 1 && g.duration > 0 && g.duration < math.MaxInt64/m.scale {
			f.Duration = time.Duration(g.duration * m.scale)
		}
	}
	for _, data := range frames {
		frame := f
		frame.Data = data
		if len(t.prefix) > 0 {
			frame.Data = append(bytes.Clone(t.prefix), data...)
		}
		if t.codec == codec.Opus {
			frame.Key = true
			if d := codec.OpusDuration(frame.Data); d > 0 {
				frame.Duration = d
			}
		}
		f.Time += frame.Duration
		m.queue = append(m.queue, &frame)
	}
	return nil
}
