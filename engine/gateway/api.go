package gateway

import (
	_ "embed"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/room"
)

func (g *Gateway) status(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, g.config.Service.Status())
}

func (g *Gateway) peers(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, list(g.config.Service.Peers()))
}

// guests lists the sessions of browsers and encoders, oldest first.
func (g *Gateway) guests(w http.ResponseWriter, _ *http.Request) error {
	g.mu.Lock()
	all := slices.Collect(maps.Values(g.sessions))
	g.mu.Unlock()
	slices.SortFunc(all, func(x, y *session) int { return x.since.Compare(y.since) })
	out := make([]engine.GuestInfo, 0, len(all))
	for _, s := range all {
		info := engine.GuestInfo{
			Protocol: s.protocol, Room: string(s.id), Slot: s.about.Slot, Name: s.about.Name, Participant: s.about.Participant,
			Remote: s.about.Remote, Since: engine.EventTime(s.since),
		}
		if m, ok := s.guest.(engine.GuestMeter); ok {
			is := m.Meter()
			info.RTTMs, info.LossPm, info.UpBps = float64(is.RTT.Microseconds())/1e3, is.LossPermille, is.UpBps
		}
		out = append(out, info)
	}
	return writeJSON(w, http.StatusOK, out)
}

func (g *Gateway) rooms(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, list(g.config.Service.Rooms()))
}

// list makes JSON write an empty list, not null.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// joinTime is what joining a room may take besides the time that the caller is willing to wait; maxWait bounds that.
const (
	joinTime = 30 * time.Second
	maxWait  = time.Hour
)

func (g *Gateway) addRoom(w http.ResponseWriter, r *http.Request) error {
	var spec engine.RoomSpec
	if err := readJSON(w, r, &spec); err != nil {
		return err
	}
	if spec.Room == "" {
		return newProblem(http.StatusBadRequest, codeBadRequest, "room is needed: a name, a room id or an invite link.")
	}
	if spec.Mode != "" && spec.Mode != room.Broadcast && spec.Mode != room.Conference {
		return newProblem(http.StatusBadRequest, codeBadRequest, "mode is broadcast or conference.")
	}
	spec.WaitMs = min(max(spec.WaitMs, 0), maxWait.Milliseconds())
	// Where deadlines are not supported there is none to move.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Duration(spec.WaitMs)*time.Millisecond + joinTime + writeTime))
	info, err := g.config.Service.AddRoom(r.Context(), spec)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/api/v1/rooms/"+url.PathEscape(info.Room))
	return writeJSON(w, http.StatusCreated, info)
}

func (g *Gateway) roomInfo(w http.ResponseWriter, r *http.Request) error {
	m, err := g.room(callerOf(r), r.PathValue("room"), toSee)
	if err != nil {
		return err
	}
	info, err := g.config.Service.RoomInfo(m.ID())
	if err != nil {
		return err
	}
	info.Streams, info.Participants = list(info.Streams), list(info.Participants)
	return writeJSON(w, http.StatusOK, struct {
		engine.RoomInfo
		Allowed []string `json:"allowed"`
	}{info, allowed(callerOf(r).access)})
}

// allowed tells a caller what he may do in a room that he may see.
func allowed(a engine.Access) []string {
	out := []string{}
	for _, right := range []struct {
		name string
		has  bool
	}{{"listen", a.Admin || a.Listen}, {"speak", a.Admin || a.Speak}, {"admin", a.Admin}} {
		if right.has {
			out = append(out, right.name)
		}
	}
	return out
}

// tree serves this peer's place, with ?scope=room everybody's, which only the origin knows, or with ?scope=known those that this
// peer knows.
func (g *Gateway) tree(w http.ResponseWriter, r *http.Request) error {
	m, err := g.config.Service.Find(r.PathValue("room"))
	if err != nil {
		return err
	}
	place, err := g.config.Service.Tree(m.ID())
	if err != nil {
		return err
	}
	switch r.URL.Query().Get("scope") {
	case "":
		place.Path, place.Children = list(place.Path), list(place.Children)
		return writeJSON(w, http.StatusOK, place)
	case "room", "known":
	default:
		return newProblem(http.StatusBadRequest, codeBadRequest, "scope must be room or known, or be left out.")
	}
	if r.URL.Query().Get("scope") == "room" && (place.Parent != "" || place.Depth != 0 || len(place.Path) != 1) {
		return newProblem(http.StatusConflict, codeNotOrigin, "Only the peer that the room's tree begins at knows all of it; ask that one, or for scope=known.")
	}
	nodes, err := g.config.Service.RoomTree(m.ID())
	if err != nil {
		return err
	}
	for i := range nodes {
		nodes[i].Path, nodes[i].Children = list(nodes[i].Path), list(nodes[i].Children)
	}
	return writeJSON(w, http.StatusOK, struct {
		Nodes []engine.TreeInfo `json:"nodes"`
	}{list(nodes)})
}

// codeNotOrigin says that a question can only be answered by the tree's origin.
const codeNotOrigin = "not_origin"

func (g *Gateway) invite(w http.ResponseWriter, r *http.Request) error {
	m, err := g.config.Service.Find(r.PathValue("room"))
	if err != nil {
		return err
	}
	var want struct {
		Speak   bool     `json:"speak"`
		Video   bool     `json:"video"`
		Guest   bool     `json:"guest"`
		Expires duration `json:"expires"`
		Uses    uint32   `json:"uses"`
		Address bool     `json:"address"`
		QR      bool     `json:"qr"`
		Cohost  string   `json:"cohost"`
	}
	if err := readJSON(w, r, &want); err != nil {
		return err
	}
	if want.Expires < 0 {
		return errExpired
	}
	link, err := g.config.Service.Invite(m.ID(), engine.InviteSpec{
		Speak: want.Speak, Video: want.Video, Guest: want.Guest, Expires: time.Duration(want.Expires), Uses: want.Uses,
		Address: want.Address, Cohost: want.Cohost,
	})
	if err != nil {
		return err
	}
	key := "invite"
	if want.Guest {
		key = "url"
	}
	answer := map[string]string{key: link}
	if want.QR {
		if svg, ok := qrSVG(link); ok {
			answer["qr"] = svg
		}
	}
	return writeJSON(w, http.StatusCreated, answer)
}

var errExpired = newProblem(http.StatusBadRequest, codeBadRequest, "expires must not be negative.")

// tokenLife is how long a room token holds unless told otherwise, maxTokenLife at most.
const (
	tokenLife    = 24 * time.Hour
	maxTokenLife = 366 * 24 * time.Hour
)

func (g *Gateway) token(w http.ResponseWriter, r *http.Request) error {
	m, err := g.config.Service.Find(r.PathValue("room"))
	if err != nil {
		return err
	}
	var want struct {
		Speak   bool     `json:"speak"`
		Expires duration `json:"expires"`
	}
	if err := readJSON(w, r, &want); err != nil {
		return err
	}
	valid := time.Duration(want.Expires)
	if valid < 0 {
		return errExpired
	}
	if valid == 0 {
		valid = tokenLife
	}
	valid = min(valid, maxTokenLife)
	until := time.Now().Add(valid)
	token, err := g.config.Service.RoomToken(m.ID(), want.Speak, valid)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, struct {
		Token   string `json:"token"`
		Room    string `json:"room"`
		Speak   bool   `json:"speak"`
		Expires string `json:"expires"`
	}{token, string(m.ID()), want.Speak, until.UTC().Format(time.RFC3339)})
}

//go:embed openapi.yaml
var openAPIText []byte

func (g *Gateway) openAPI(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(openAPIText) // whoever has gone does not want it
	return nil
}

// healthy says that the process answers.
func (g *Gateway) healthy(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// ready says whether guests may be sent here.
func (g *Gateway) ready(w http.ResponseWriter, _ *http.Request) error {
	if g.closing.Err() != nil {
		return engine.ErrClosed
	}
	return writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}
