package engine

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
)

// A peer that records a room says so to all who are in it, signed, every few seconds until it ends. Nobody can say so for another, and
// who goes without a word is forgotten. Somebody who wants to record in secret can, with a program of his own; castd does not help him.

// Recorder is what a Media can do besides: tell that this peer records it. *Room implements it.
type Recorder interface {
	// Recording tells everybody in the room that this peer begins to record it, or with false that it has ended one of the recordings that
	// it began. It is safe for concurrent use, and waits for no answer.
	Recording(ctx context.Context, on bool) error
}

var _ Recorder = (*Room)(nil)

// MayRecord returns an error for a person who wants to have a room recorded and may not: the owner, his co-hosts and moderators may, and who
// has the right to record.
func (r *Room) MayRecord() error {
	user, now, p := r.e.userKey(), time.Now(), r.policy()
	chain := r.chain.Load()
	rights, _ := p.Check(user, chain, now) // without a right it does not matter why
	if rights.Has(room.Recording) || p.MayModerate(room.Standing{Participant: wire.ParticipantID(user), User: user, Self: true}, chain, now) {
		return nil
	}
	return NewUserError(CodeNotAllowed, fmt.Sprintf("you may not record room %q: ask its owner for that, who uses `castd room grant %s NAME --rights record`", r.Name(), r.Name()))
}

// RecordSpec says how a room is to be recorded. Zero values are what is usual.
type RecordSpec struct {
	Tracks      bool          // a file for each stream besides
	Segment     time.Duration // a file ends after this time,
	SegmentSize int64         // or at this size in octets
	Keep        time.Duration // recordings of the room that ended longer ago are deleted,
	KeepSize    int64         // and the oldest while all have more octets
	// Quiet has nobody hear that the recording begins. Everybody sees it all the same.
	Quiet bool
}

// RecordedInfo is a recording of a room on this peer's disk.
type RecordedInfo struct {
	Room       string   `json:"room"` // id
	Name       string   `json:"name"`
	Folder     string   `json:"folder"` // its path
	State      string   `json:"state"`  // "recording", "ended", "interrupted"
	Started    string   `json:"started"`
	Ended      string   `json:"ended,omitempty"`
	DurationMs int64    `json:"duration_ms"`
	Bytes      int64    `json:"bytes"`
	Files      []string `json:"files"`             // in the folder, in order
	Problem    string   `json:"problem,omitempty"` // a sentence that says what to do
}

// Archive records rooms to this peer's disk. The program around the engine implements it. Methods are safe for concurrent use; their errors
// for people are of type *UserError.
type Archive interface {
	// StartRecording begins to record a room, and returns when it is being recorded.
	StartRecording(ctx context.Context, id wire.RoomID, spec RecordSpec) (RecordedInfo, error)
	// StopRecording ends it, and returns when the files are whole.
	StopRecording(ctx context.Context, id wire.RoomID) (RecordedInfo, error)
	// Recordings lists what there is of a room, by id or name, or with "" of all, the newest first.
	Recordings(room string) ([]RecordedInfo, error)
}

// Codes of UserErrors about recordings.
const (
	CodeRecorded    = "already_recorded" // 409
	CodeNotRecorded = "not_recorded"     // 409
	CodeDisk        = "disk"             // 507
)

const (
	// recordingEvery is how often a peer says that it records, and recordingLife how long that counts.
	recordingEvery = 5 * time.Second
	recordingLife  = 16 * time.Second
	// maxRecordings bounds the peers of which it is known whether they record.
	maxRecordings = 64
)

// recordings are the peers that have said whether they record.
type recordings map[peer.ID]recording

// recording is what a peer has said last.
type recording struct {
	on       bool
	user     string // participant id, "" if it did not tell
	name     string
	since    time.Time
	sequence uint64 // of the message
	heard    time.Time
}

// take takes what a peer says, and reports whether another list follows from it. What is older than what it has said before is skipped.
func (r recordings) take(id peer.ID, said recording) bool {
	old, known := r[id]
	switch {
	case known && said.sequence <= old.sequence, !known && !said.on:
		return false
	case !known && len(r) >= maxRecordings:
		for other, s := range r {
			if !s.on {
				delete(r, other) // one that has ended makes room, whichever
				break
			}
		}
		if len(r) >= maxRecordings {
			return false
		}
	}
	r[id] = said
	return said.on != old.on || said.on && said.name != old.name
}

// forget drops what is too old, and returns whose recordings it has taken for ended. That a peer has ended one is kept as long, so that
// what it said before, repeated by another, counts for nothing.
func (r recordings) forget(now time.Time) (ended []peer.ID) {
	for id, s := range r {
		switch age := now.Sub(s.heard); {
		case s.on && age >= recordingLife:
			s.on = false
			r[id] = s
			ended = append(ended, id)
		case !s.on && age >= recordingLife+messageLife+wire.Leeway:
			delete(r, id)
		}
	}
	slices.Sort(ended)
	return ended
}

// list returns who records, the first one first.
func (r recordings) list() []RecordingInfo {
	var all []RecordingInfo
	for id, s := range r {
		if s.on {
			all = append(all, RecordingInfo{Peer: id.String(), Participant: s.user, Name: s.name, Since: EventTime(s.since)})
		}
	}
	slices.SortFunc(all, func(a, b RecordingInfo) int {
		return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.Peer, b.Peer))
	})
	return all
}

// Recording implements Recorder.
func (r *Room) Recording(ctx context.Context, on bool) error {
	return r.call(ctx, func() {
		now := time.Now()
		switch {
		case on:
			if r.records++; r.records == 1 {
				r.recordsSince = now
			}
		case r.records == 0:
			return
		default:
			r.records--
		}
		r.sayRecordingLoop(now)
	})
}

// sayRecordingLoop tells the room whether this peer records.
func (r *Room) sayRecordingLoop(now time.Time) {
	r.saidRecording = now
	user := wire.ParticipantID(r.e.userKey())
	name := ""
	for _, p := range r.seated.Load().participants {
		if p.Participant == user {
			name = p.Name
		}
	}
	r.recordingSequence = max(r.recordingSequence+1, uint64(now.UnixMicro()))
	said := recording{r.records > 0, user, name, r.recordsSince, r.recordingSequence, now}
	r.recordedLoop(r.e.self, said)
	r.publish(wire.Type_RECORDING, &wire.Recording{On: said.on, Name: name, SinceMs: r.recordsSince.UnixMilli(), Number: said.sequence})
}

// heardRecordingLoop takes what another peer says of itself.
func (r *Room) heardRecordingLoop(m *wire.Message, now time.Time) {
	var b wire.Recording
	id, err := wire.PeerID(m.Device)
	if err != nil || id == r.e.self || proto.Unmarshal(m.Body, &b) != nil {
		return
	}
	said := recording{on: b.On, name: room.CleanName(b.Name), since: time.UnixMilli(b.SinceMs), sequence: b.Number, heard: now}
	if age := now.Sub(said.since); age < 0 || age > maxRecordingAge {
		said.since = now
	}
	if len(m.User) > 0 {
		said.user = wire.ParticipantID(m.User)
	}
	r.recordedLoop(id, said)
}

// maxRecordingAge bounds for how long somebody is said to have recorded.
const maxRecordingAge = 366 * 24 * time.Hour

// recordedLoop notes what a peer says, and tells of it where it is new.
func (r *Room) recordedLoop(id peer.ID, said recording) {
	if r.recorders.take(id, said) {
		r.tellRecordingsLoop(id)
	}
}

// recordingsLoop says again that this peer records, and forgets those who have gone.
func (r *Room) recordingsLoop(now time.Time) {
	if r.records > 0 && now.Sub(r.saidRecording) >= recordingEvery {
		r.sayRecordingLoop(now)
	}
	for _, id := range r.recorders.forget(now) {
		r.tellRecordingsLoop(id)
	}
}

// tellRecordingsLoop tells that a peer has begun to record, or ended.
func (r *Room) tellRecordingsLoop(id peer.ID) {
	all := r.recorders.list()
	r.whoRecords.Store(&all)
	s, state := r.recorders[id], "ended"
	if s.on {
		state = "live"
	}
	r.e.events.emit(Event{Event: "recording", Room: string(r.id), Peer: id.String(), Participant: s.user, State: state})
	if r.mixing != nil {
		r.reseatLoop()
	}
	for l := range maps.Clone(r.lines) {
		l.retell(func(s *CallState) { s.Recording = all })
	}
}

// recordingNow returns who records.
func (r *Room) recordingNow() []RecordingInfo {
	if all := r.whoRecords.Load(); all != nil {
		return *all
	}
	return nil
}

// retell tells a participant again what his conference is like, where that has changed by what did not come from who mixes.
func (l *line) retell(change func(*CallState)) {
	if l.told == nil || l.config.Tell == nil {
		return
	}
	s := *l.told
	change(&s)
	l.told = &s
	l.config.Tell(&s)
}
