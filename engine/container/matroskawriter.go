package container

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/wire"
)

// clusterSpan is after how much media a new Cluster begins: players resume at Clusters, and damage ends at the next one.
const clusterSpan = time.Second

// writerScale is the unit of the timestamps that are written.
const writerScale = time.Millisecond

// MatroskaWriter writes WebM or Matroska as a live stream: Segment and Clusters of unknown size, SimpleBlocks, and an index only where what
// was written can be written over, at the end. Each frame is handed to the writer in one call at once, so that every prefix of whole blocks
// is a playable file.
type MatroskaWriter struct {
	w       io.Writer
	tracks  []Track
	numbers map[int]uint64 // by Track.ID
	video   bool
	cluster time.Duration // its timestamp
	open    bool          // a Cluster has been begun
	blocks  int           // in it
	buf     []byte
	webm    bool
	// Of a file whose tracks may become more: where they are, and what is told when it is finished.
	rewrite func(b []byte, at int64) error
	at      int
	index   *matroskaIndex // nil after a write that failed
}

// growingHead is how long the head of a file is whose tracks may become more, in octets: a page of memory, which a process that is killed
// while it writes has written whole or not at all.
const growingHead = 4096

// ErrTracks says that a file has no room for a further track.
var ErrTracks = errors.New("container: no room for a further track")

// NewMatroskaWriter writes the headers. The tracks stay as they are; WebM takes Opus, VP8, VP9 and AV1 only. Opus tracks
// without Private get an OpusHead; H264 tracks must have one (see codec.DecoderConfig).
func NewMatroskaWriter(w io.Writer, webm bool, tracks []Track) (*MatroskaWriter, error) {
	m := &MatroskaWriter{w: w, webm: webm}
	entries, err := m.entries(tracks)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(master(m.head(), idTracks, entries)); err != nil {
		return nil, fmt.Errorf("write recording: %w", err)
	}
	return m, nil
}

// NewGrowingMatroska is NewMatroskaWriter for Matroska whose tracks may become more: its head has room for them. rewrite writes b over what
// was written at an offset, in octets, of w.
func NewGrowingMatroska(w io.Writer, rewrite func(b []byte, at int64) error, tracks []Track) (*MatroskaWriter, error) {
	m := &MatroskaWriter{w: w, rewrite: rewrite}
	entries, err := m.entries(tracks)
	if err != nil {
		return nil, err
	}
	m.index = &matroskaIndex{from: int64(len(m.header()))}
	head := m.head()
	m.at = len(head)
	place, ok := m.place(entries)
	if !ok {
		m.rewrite, m.index, place = nil, nil, master(nil, idTracks, entries) // these fill it by themselves
	}
	head = append(head, place...)
	if _, err := w.Write(head); err != nil {
		return nil, fmt.Errorf("write recording: %w", err)
	}
	if m.index != nil {
		m.index.size = int64(len(head))
	}
	return m, nil
}

// AddTrack adds a track, whose frames may follow. It fails with ErrTracks where the file has no room for it.
func (m *MatroskaWriter) AddTrack(t Track) error {
	if m.rewrite == nil {
		return ErrTracks
	}
	before, video := m.tracks, m.video
	entries, err := m.entries(append(slices.Clone(before), t))
	place, ok := m.place(entries)
	if err == nil && !ok {
		err = ErrTracks
	}
	if err == nil {
		err = m.rewrite(place, int64(m.at))
	}
	if err != nil {
		m.tracks, m.video = before, video
		delete(m.numbers, t.ID)
	}
	return err
}

// place is what fills the head behind what comes before the tracks. It reports false where nothing could be told any more when the file is
// finished.
func (m *MatroskaWriter) place(entries []byte) ([]byte, bool) {
	if _, ok := padded(entries, growingHead-m.at-finishRoom); !ok {
		return nil, false
	}
	return padded(entries, growingHead-m.at)
}

// padded is the element Tracks with an element Void behind it, size octets in all.
func padded(entries []byte, size int) ([]byte, bool) {
	b := master(nil, idTracks, entries)
	const head = 9 // of a Void whose size has eight octets
	rest := size - len(b) - head
	if rest < 0 {
		return nil, false
	}
	b = append(appendID(b, idVoid), 1, 0, 0, 0, 0, 0, byte(rest>>8), byte(rest))
	return append(b, make([]byte, rest)...), true
}

// entries takes the tracks, and returns their descriptions.
func (m *MatroskaWriter) entries(tracks []Track) ([]byte, error) {
	if len(tracks) == 0 || len(tracks) > maxTracks {
		return nil, fmt.Errorf("container: cannot write a file of %d tracks", len(tracks))
	}
	m.tracks, m.numbers, m.video = slices.Clone(tracks), make(map[int]uint64), false
	var entries []byte
	for i, t := range m.tracks {
		if _, twice := m.numbers[t.ID]; twice {
			return nil, fmt.Errorf("container: two tracks have the number %d", t.ID)
		}
		m.numbers[t.ID] = uint64(i + 1)
		m.video = m.video || t.Kind == wire.KindVideo
		entry, err := trackEntry(t, uint64(i+1), m.webm)
		if err != nil {
			return nil, err
		}
		entries = master(entries, idTrackEntry, entry)
	}
	return entries, nil
}

// head returns what comes before the tracks.
func (m *MatroskaWriter) head() []byte { return append(m.header(), m.info(0)...) }

// header returns what comes before the content of the Segment, whose size is last and unknown.
func (m *MatroskaWriter) header() []byte {
	doc := "matroska"
	if m.webm {
		doc = "webm"
	}
	var b []byte
	b = appendUint(b, idEBMLVersion, 1)
	b = appendUint(b, idEBMLReadVersion, 1)
	b = appendUint(b, idEBMLMaxID, 4)
	b = appendUint(b, idEBMLMaxSize, 8)
	b = appendString(b, idDocType, doc)
	b = appendUint(b, idDocVersion, 4)
	b = appendUint(b, idDocReadVersion, 2)
	return appendUnknown(master(nil, idEBML, b), idSegment)
}

// info is the element Info, of a file that lasts that long; 0 is not known.
func (m *MatroskaWriter) info(length time.Duration) []byte {
	b := appendUint(nil, idTimestampScale, uint64(writerScale))
	if length > 0 {
		b = appendFloat(b, idDuration, float64(length)/float64(writerScale))
	}
	b = appendString(b, idMuxingApp, "castd")
	b = appendString(b, idWritingApp, "castd")
	return master(nil, idInfo, b)
}

func trackEntry(t Track, number uint64, webm bool) ([]byte, error) {
	id := codecID(t.Codec)
	if id == "" || webm && t.Codec == codec.H264 {
		format := "Matroska"
		if webm {
			format = "WebM"
		}
		return nil, fmt.Errorf("container: cannot write %q to %s", t.Codec, format)
	}
	b := appendUint(nil, idTrackNumber, number)
	b = appendUint(b, idTrackUID, number)
	b = appendUint(b, idFlagLacing, 0)
	b = appendString(b, idCodecID, id)
	private := t.Private
	if t.Kind == wire.KindAudio {
		channels := max(1, int(t.Channels))
		if len(private) == 0 {
			private = codec.OpusHead(channels, t.PreSkip)
		}
		b = appendUint(b, idTrackType, typeAudio)
		b = appendUint(b, idCodecDelay, uint64(duration(int64(t.PreSkip))))
		b = appendUint(b, idSeekPreRoll, uint64(80*time.Millisecond)) // RFC 7845, section 4.6
		b = master(b, idAudio, appendUint(appendFloat(nil, idSampling, codec.AudioClock), idChannels, uint64(channels)))
	} else {
		b = appendUint(b, idTrackType, typeVideo)
		size := appendUint(nil, idPixelWidth, uint64(max(1, t.Width)))
		b = master(b, idVideo, appendUint(size, idPixelHeight, uint64(max(1, t.Height))))
	}
	if len(private) > 0 {
		b = master(b, idCodecPrivate, private)
	}
	return b, nil
}

// WriteFrame appends a frame. Times are those of the file, zero or later, and about ascending over all tracks: a Cluster
// begins each second, at key frames of video, and where a time does not fit into the present one. After a failed write the next call
// begins a new Cluster, so that nothing that did get written depends on what did not.
func (m *MatroskaWriter) WriteFrame(f *Frame) error {
	number, ok := m.numbers[f.Track]
	if !ok {
		return fmt.Errorf("container: no track has the number %d", f.Track)
	}
	if f.Time < 0 || len(f.Data) > MaxFrame-16 {
		return fmt.Errorf("container: cannot write a frame of %d octets at %v", len(f.Data), f.Time)
	}
	stamp := f.Time.Round(writerScale)
	relative := (stamp - m.cluster) / writerScale
	m.buf = m.buf[:0]
	if !m.open || m.due(f, stamp) || relative < math.MinInt16 || relative > math.MaxInt16 {
		m.cluster, m.open, m.blocks, relative = stamp, true, 0, 0
		if m.index != nil {
			m.index.begin(f, stamp, number, m.tracks[number-1].Kind, m.video)
		}
		m.buf = appendUint(appendUnknown(m.buf, idCluster), idTimestamp, uint64(stamp/writerScale))
	}
	var flags byte
	if f.Key {
		flags |= 0x80
	}
	if f.Discardable {
		flags |= 1
	}
	m.buf = appendSize(appendID(m.buf, idSimpleBlock), len(f.Data)+4)
	m.buf = append(m.buf, 0x80|byte(number))
	m.buf = binary.BigEndian.AppendUint16(m.buf, uint16(int16(relative)))
	m.buf = append(append(m.buf, flags), f.Data...)
	if _, err := m.w.Write(m.buf); err != nil {
		m.open, m.index = false, nil
		return fmt.Errorf("write recording: %w", err)
	}
	m.blocks++
	if m.index != nil {
		m.index.size += int64(len(m.buf))
		m.index.last = max(m.index.last, f.Time+f.Duration)
	}
	return nil
}

// due reports whether a Cluster should begin with the frame.
func (m *MatroskaWriter) due(f *Frame, stamp time.Duration) bool {
	if m.blocks > 0 && f.Key && m.video && m.tracks[m.numbers[f.Track]-1].Kind == wire.KindVideo {
		return stamp >= m.cluster
	}
	return stamp-m.cluster >= clusterSpan
}

// Close ends the file. One whose tracks may become more gets its length and an index; of others nothing is left to be written. The writer
// below is not closed.
func (m *MatroskaWriter) Close() error {
	m.open = false
	return m.finish()
}
