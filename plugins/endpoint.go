package plugins

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/plugins/sdk"
	"github.com/castd/castd/plugins/sdk/protocol"
)

// Limits of calls to the world outside.
const (
	maxCalls    = 32 // of a plugin at a time
	maxNumber   = 256
	ringTime    = 60 * time.Second
	maxPlaceLog = 64 // messages of a call; an endpoint has three to say
)

// DialSpec is the body of POST /api/v1/plugins/NAME:dial.
type DialSpec struct {
	Room   string `json:"room"` // name or id
	Number string `json:"number"`
}

// DialEvent is a line of its answer. The call lasts as long as the request: who ends that hangs up.
type DialEvent struct {
	State  string `json:"state"`           // "ringing", "answered", "ended"
	Cause  int    `json:"cause,omitempty"` // of "ended", as ITU-T Q.850 has it
	Reason string `json:"reason,omitempty"`
}

// dial has an endpoint call somebody outside.
func (h *Host) dial(w http.ResponseWriter, r *http.Request, name string) {
	var spec DialSpec
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096)).Decode(&spec); err != nil || spec.Room == "" || spec.Number == "" ||
		len(spec.Number) > maxNumber || oneLine(spec.Number) != spec.Number {
		fail(w, badRequest("the body is not the JSON that is wanted: write {\"room\":ROOM,\"number\":NUMBER}"))
		return
	}
	s, p, err := h.serving(r.Context(), name, sdk.CapabilityEndpoint, sdk.PermissionDial)
	if err != nil {
		fail(w, err)
		return
	}
	room, err := s.roomNamed(spec.Room)
	if err == nil {
		err = h.Decide(r.Context(), engine.Question{Room: wire.RoomID(room.Room), RoomName: room.Name, Action: engine.ActionDial, Self: true, Number: spec.Number})
	}
	if err != nil {
		fail(w, err)
		return
	}
	select {
	case s.calls <- struct{}{}:
		defer func() { <-s.calls }()
	default:
		fail(w, engine.NewUserError(engine.CodeFull, "the plugin "+name+" has as many calls as it may: wait until one has ended"))
		return
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // where there are none, none is to be lifted
	_ = control.SetWriteDeadline(time.Time{})
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	place(r.Context(), p, name, &protocol.PlaceRequest{Room: room.Room, Number: spec.Number}, ringTime, func(e DialEvent) bool {
		return out.Encode(&e) == nil && control.Flush() == nil
	})
}

// place places a call, and says what becomes of it. It lasts until the call has ended, the context does, or say reports false.
func place(ctx context.Context, p *process, name string, r *protocol.PlaceRequest, ring time.Duration, say func(DialEvent) bool) {
	ctx, hangUp := context.WithCancel(ctx)
	defer hangUp()
	unanswered := time.AfterFunc(ring, hangUp)
	defer unanswered.Stop()
	ended := DialEvent{State: "ended", Cause: int(sdk.CauseUnspecified)}
	stream, err := protocol.NewEndpointClient(p.conn).Place(ctx, r)
	state := ""
	for n := 0; err == nil; n++ {
		var m *protocol.PlaceEvent
		if m, err = stream.Recv(); err != nil {
			break
		}
		if m.Ended {
			ended.Reason = short(m.Reason)
			switch {
			case m.Cause > 0 && m.Cause <= 127:
				ended.Cause = int(m.Cause)
			case state == "answered":
				ended.Cause = int(sdk.CauseNormal)
			}
			say(ended)
			return
		}
		if n >= maxPlaceLog || m.State == state || m.State != "ringing" && m.State != "answered" || state == "answered" {
			if n < maxPlaceLog {
				continue
			}
			hangUp() // it says the same again and again
			ended.Cause, ended.Reason = int(sdk.CauseTemporary), "the plugin "+name+" says too much of a call"
			say(ended)
			return
		}
		if state = m.State; state == "answered" && !unanswered.Stop() {
			break // too late
		}
		if !say(DialEvent{State: state}) {
			return
		}
	}
	switch {
	case err == nil, ctx.Err() != nil:
		ended.Cause, ended.Reason = int(sdk.CauseNoAnswer), "nobody has answered"
		if state == "answered" {
			ended.Cause, ended.Reason = int(sdk.CauseNormal), ""
		}
	default:
		ended.Cause, ended.Reason = int(sdk.CauseTemporary), brokeOff(name, err)
	}
	say(ended)
}

// short bounds what a plugin says to people.
func short(s string) string {
	s = oneLine(s)
	for len(s) > maxReason {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}

// roomNamed finds a room that the plugin may see, by name or id.
func (s *supervisor) roomNamed(name string) (engine.RoomInfo, error) {
	all := s.host.engine.Rooms()
	i := slices.IndexFunc(all, func(r engine.RoomInfo) bool { return (r.Room == name || equalFold(r.Name, name)) && s.allows(r) })
	if i < 0 {
		return engine.RoomInfo{}, engine.NewUserError(engine.CodeNoRoom, "this peer is in no room "+oneLine(name[:min(len(name), 80)])+" that the plugin "+s.plugin.Name+" may see: castd rooms lists them")
	}
	return all[i], nil
}
