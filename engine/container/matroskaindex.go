package container

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/castd/castd/engine/wire"
)

const (
	// cueSpan is how much media there is between two entries of an index, at least: nobody seeks more finely.
	cueSpan = time.Second
	// maxCues bounds the entries: a day of them. What comes later is found from the last one.
	maxCues = 24 * 60 * 60
	// finishRoom is what a finished head has more than one of a file that is being written, in octets: SeekHead and Duration.
	finishRoom = 96
)

// matroskaIndex is what is told of a file when it is finished: how long it lasts, and where players can begin (RFC 9559, sections 22 and
// 5.1.5). A file that was never finished is whole without it.
type matroskaIndex struct {
	size int64 // of the file
	from int64 // the content of the Segment, from which positions count
	last time.Duration
	cues []cue
}

// cue is a Cluster that begins with a frame of a track which can be decoded by itself.
type cue struct {
	at    time.Duration
	track uint64
	place int64
}

// begin notes that a Cluster begins with a frame. In a file with pictures players begin at those.
func (x *matroskaIndex) begin(f *Frame, stamp time.Duration, track uint64, kind wire.Kind, video bool) {
	if video && (kind != wire.KindVideo || !f.Key) || len(x.cues) >= maxCues {
		return
	}
	if n := len(x.cues); n > 0 && stamp-x.cues[n-1].at < cueSpan {
		return
	}
	x.cues = append(x.cues, cue{stamp, track, x.size - x.from})
}

// element is the element Cues.
func (x *matroskaIndex) element() []byte {
	var all []byte
	for _, c := range x.cues {
		place := appendUint(appendUint(nil, idCueTrack, c.track), idCueClusterPosition, uint64(c.place))
		all = master(all, idCuePoint, master(appendUint(nil, idCueTime, uint64(c.at/writerScale)), idCueTrackPositions, place))
	}
	return master(nil, idCues, all)
}

// finish writes the index behind everything else, and then a head that tells of it over the one that there is.
func (m *MatroskaWriter) finish() error {
	x := m.index
	if x == nil || len(x.cues) == 0 {
		return nil
	}
	cues := x.element()
	if _, err := m.w.Write(cues); err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	info := m.info(x.last)
	tracks, err := m.entries(m.tracks)
	if err != nil {
		return err
	}
	// Places are written with all their octets, so that the size of the SeekHead does not depend on them.
	seek := func(id uint32, place int64) []byte {
		b := master(nil, idSeekID, appendID(nil, id))
		b = binary.BigEndian.AppendUint64(appendSize(appendID(b, idSeekPosition), 8), uint64(place))
		return master(nil, idSeek, b)
	}
	length := int64(len(master(nil, idSeekHead, append(append(seek(idInfo, 0), seek(idTracks, 0)...), seek(idCues, 0)...))))
	var places []byte
	places = append(places, seek(idInfo, length)...)
	places = append(places, seek(idTracks, length+int64(len(info)))...)
	places = append(places, seek(idCues, x.size-x.from)...)
	head := append(master(m.header(), idSeekHead, places), info...) // the Segment has no size, as its Clusters have none
	place, ok := padded(tracks, growingHead-len(head))
	if !ok {
		return nil // it stays as it is, without
	}
	if err := m.rewrite(append(head, place...), 0); err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	return nil
}
