package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/store"
)

// errNoPeer says that no process runs the data folder's peer.
var errNoPeer = errors.New("no castd is running on this data folder")

const (
	maxAnswer = 16 << 20 // octets of an answer that is not media
	queryTime = 10 * time.Second
)

// remotePeer is the data folder's peer in another process, reached through its socket by the JSON API. Whoever can open the
// socket is the administrator.
type remotePeer struct {
	http *http.Client
}

var _ peer = (*remotePeer)(nil)

// connect reaches the running peer of a data folder; errNoPeer if there is none.
func connect(ctx context.Context, dataDir string) (*remotePeer, error) {
	path, err := store.FindSocket(dataDir)
	if err != nil {
		return nil, err
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	probe, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	conn, err := dial(probe, "", "")
	if err != nil {
		if errors.Is(err, os.ErrPermission) {
			return nil, fmt.Errorf("the peer of %s belongs to another user: choose a data folder of your own with --data-dir", dataDir)
		}
		return nil, errNoPeer
	}
	conn.Close()
	return &remotePeer{http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableCompression: true}}}, nil
}

func (p *remotePeer) Token() string { return "" }
func (p *remotePeer) Remote() bool  { return true }
func (p *remotePeer) Close()        { p.http.CloseIdleConnections() }

func (p *remotePeer) Status(ctx context.Context) (s engine.Status, err error) {
	return s, p.call(ctx, http.MethodGet, "status", nil, &s)
}

func (p *remotePeer) Rooms(ctx context.Context) (rooms []engine.RoomInfo, err error) {
	return rooms, p.call(ctx, http.MethodGet, "rooms", nil, &rooms)
}

func (p *remotePeer) Peers(ctx context.Context) (peers []engine.PeerInfo, err error) {
	return peers, p.call(ctx, http.MethodGet, "peers", nil, &peers)
}

func (p *remotePeer) Guests(ctx context.Context) (guests []engine.GuestInfo, err error) {
	return guests, p.call(ctx, http.MethodGet, "guests", nil, &guests)
}

func (p *remotePeer) AddRoom(ctx context.Context, s engine.RoomSpec) (info engine.RoomInfo, err error) {
	return info, p.callFor(ctx, queryTime+time.Duration(s.WaitMs)*time.Millisecond, http.MethodPost, "rooms", s, &info)
}

func (p *remotePeer) RoomInfo(ctx context.Context, room string) (info engine.RoomInfo, err error) {
	return info, p.call(ctx, http.MethodGet, "rooms/"+url.PathEscape(room), nil, &info)
}

func (p *remotePeer) Tree(ctx context.Context, room string) (t engine.TreeInfo, err error) {
	return t, p.call(ctx, http.MethodGet, "rooms/"+url.PathEscape(room)+"/tree", nil, &t)
}

func (p *remotePeer) RoomTree(ctx context.Context, room string) ([]engine.TreeInfo, error) {
	var answer struct {
		Nodes []engine.TreeInfo `json:"nodes"`
	}
	err := p.call(ctx, http.MethodGet, "rooms/"+url.PathEscape(room)+"/tree?scope=known", nil, &answer)
	return answer.Nodes, err
}

func (p *remotePeer) Invite(ctx context.Context, room string, s engine.InviteSpec) (string, error) {
	var answer struct {
		Invite string `json:"invite"`
		URL    string `json:"url"`
	}
	err := p.call(ctx, http.MethodPost, "rooms/"+url.PathEscape(room)+"/invites", s, &answer)
	if answer.Invite == "" {
		answer.Invite = answer.URL
	}
	return answer.Invite, err
}

func (p *remotePeer) Invites(ctx context.Context, room string) (all []engine.InviteInfo, err error) {
	return all, p.call(ctx, http.MethodGet, "rooms/"+url.PathEscape(room)+"/invites", nil, &all)
}

func (p *remotePeer) Revoke(ctx context.Context, room, who string, speakOnly bool) error {
	path := "rooms/" + url.PathEscape(room) + "/invites/" + url.PathEscape(who)
	if speakOnly {
		path += "?rights=speak"
	}
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	resp, err := p.do(ctx, http.MethodDelete, path, "", nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func (p *remotePeer) StartRecording(ctx context.Context, room string, body any) (info engine.RecordedInfo, err error) {
	return info, p.callFor(ctx, recordTime, http.MethodPost, "rooms/"+url.PathEscape(room)+"/recording", body, &info)
}

func (p *remotePeer) StopRecording(ctx context.Context, room string) (info engine.RecordedInfo, err error) {
	return info, p.callFor(ctx, recordTime, http.MethodDelete, "rooms/"+url.PathEscape(room)+"/recording", nil, &info)
}

func (p *remotePeer) Recordings(ctx context.Context, room string) (all []engine.RecordedInfo, err error) {
	return all, p.call(ctx, http.MethodGet, "recordings?room="+url.QueryEscape(room), nil, &all)
}

// recordTime is how long a recording may take to begin or to end.
const recordTime = 20 * time.Second

func (p *remotePeer) Moderate(ctx context.Context, room string, m engine.Moderation) error {
	path := "rooms/" + url.PathEscape(room)
	body := map[string]any{"for": m.For.String()}
	if m.Rights != 0 {
		body["rights"] = m.Rights.String()
	}
	if m.Who != "" {
		path += "/participants/" + url.PathEscape(m.Who+":"+m.Verb)
	} else {
		path += "/moderation"
		body["verb"], body["title"] = m.Verb, m.Title
	}
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	resp, err := p.do(ctx, http.MethodPost, path, "application/json", bytes.NewReader(text))
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func (p *remotePeer) RaiseHand(ctx context.Context, room, name string, up bool) (state engine.HandState, err error) {
	body := struct {
		Raised bool   `json:"raised"`
		Name   string `json:"name,omitempty"`
	}{up, name}
	return state, p.call(ctx, http.MethodPut, "rooms/"+url.PathEscape(room)+"/hand", body, &state)
}

func (p *remotePeer) call(ctx context.Context, method, path string, body, answer any) error {
	return p.callFor(ctx, queryTime, method, path, body, answer)
}

// callFor makes one request of the API and reads its JSON answer.
func (p *remotePeer) callFor(ctx context.Context, limit time.Duration, method, path string, body, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var r io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		r = bytes.NewReader(text)
	}
	resp, err := p.do(ctx, method, path, "application/json", r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(answer); err != nil {
		return fmt.Errorf("read the peer's answer: %w", err)
	}
	return nil
}

// do sends a request; what is not a success becomes an error.
func (p *remotePeer) do(ctx context.Context, method, path, kind string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://localhost/api/v1/"+path, body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := p.http.Do(req)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, notFoundf("the running peer did not answer in time: see its log")
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, fmt.Errorf("the running peer went away: %w", errors.Unwrap(err))
	case resp.StatusCode >= 300:
		defer resp.Body.Close()
		return nil, problem(resp)
	}
	return resp, nil
}

// problem makes an error of a problem document (RFC 9457).
func problem(resp *http.Response) error {
	var doc struct {
		Title  string `json:"title"`
		Detail string `json:"detail"`
		Code   string `json:"code"`
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if kind == "application/problem+json" {
		// What cannot be read is told by its status alone.
		_ = json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&doc)
	}
	message := doc.Detail
	if message == "" {
		message = doc.Title
	}
	if message == "" {
		message = fmt.Sprintf("the running peer answered %s", resp.Status)
	}
	code := doc.Code
	if code == "" {
		switch resp.StatusCode {
		case http.StatusNotFound:
			code = engine.CodeNoRoom
		case http.StatusForbidden:
			code = engine.CodeNotAllowed
		case http.StatusGatewayTimeout, http.StatusRequestTimeout:
			code = engine.CodeTimeout
		}
	}
	return engine.NewUserError(code, message)
}
