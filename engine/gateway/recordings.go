package gateway

import (
	"net/http"
	"time"

	"github.com/castd/castd/engine"
)

// recordings lists what was recorded, with ?room= of one room.
func (g *Gateway) recordings(w http.ResponseWriter, r *http.Request) error {
	all, err := g.config.Archive.Recordings(r.URL.Query().Get("room"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, list(all))
}

func (g *Gateway) startRecording(w http.ResponseWriter, r *http.Request) error {
	m, err := g.room(callerOf(r), r.PathValue("room"), toSee)
	if err != nil {
		return err
	}
	var want struct {
		Tracks      bool     `json:"tracks"`
		Segment     duration `json:"segment"`
		SegmentSize int64    `json:"segment_size"`
		Keep        duration `json:"keep"`
		KeepSize    int64    `json:"keep_size"`
		Quiet       bool     `json:"quiet"`
	}
	if r.ContentLength != 0 {
		if err := readJSON(w, r, &want); err != nil {
			return err
		}
	}
	made, err := g.config.Archive.StartRecording(r.Context(), m.ID(), engine.RecordSpec{
		Tracks: want.Tracks, Segment: time.Duration(want.Segment), SegmentSize: want.SegmentSize, Keep: time.Duration(want.Keep),
		KeepSize: want.KeepSize, Quiet: want.Quiet,
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, made)
}

func (g *Gateway) stopRecording(w http.ResponseWriter, r *http.Request) error {
	m, err := g.room(callerOf(r), r.PathValue("room"), toSee)
	if err != nil {
		return err
	}
	made, err := g.config.Archive.StopRecording(r.Context(), m.ID())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, made)
}
