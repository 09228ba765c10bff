package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/castd/castd/engine/gateway/apicheck"
)

// api calls the gateway of a peer, and compares each answer with the description that the peer itself serves.
type api struct {
	t        *testing.T
	base     string // URL
	token    string // the administrator's
	client   *http.Client
	document *apicheck.Document
}

// apiOf returns the API of a peer that is ready.
func apiOf(t *testing.T, p *process) *api {
	t.Helper()
	ready := p.ready()
	a := &api{t: t, base: ready.text("http"), token: ready.text("token"), client: &http.Client{
		Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16},
	}}
	t.Cleanup(a.client.CloseIdleConnections)
	req, err := http.NewRequest(http.MethodGet, a.base+"/api/v1/openapi.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	res, err := a.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v", res.Status, err)
	}
	if a.document, err = apicheck.Parse(text); err != nil {
		t.Fatal(err)
	}
	return a
}

// call is one request. Headers are "Name: value"; Authorization is the administrator's unless there is one or token says "-".
type call struct {
	method, path string
	token        string
	headers      []string
	body         io.Reader
	base         string // "" is the api's
}

// answer is a response that was read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a *api) do(c call) answer {
	a.t.Helper()
	base := a.base
	if c.base != "" {
		base = c.base
	}
	req, err := http.NewRequest(c.method, base+c.path, c.body)
	if err != nil {
		a.t.Fatal(err)
	}
	switch c.token {
	case "-":
	case "":
		req.Header.Set("Authorization", "Bearer "+a.token)
	default:
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for _, h := range c.headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
			continue
		}
		req.Header.Set(name, value)
	}
	res, err := a.client.Do(req)
	if err != nil {
		a.t.Fatalf("%s %s: %v", c.method, c.path, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatalf("%s %s: %v", c.method, c.path, err)
	}
	if err := a.document.Check(c.method, req.URL.EscapedPath(), res.StatusCode, res.Header, body); err != nil {
		a.t.Error(err)
	}
	return answer{res.StatusCode, res.Header, body}
}

// offer posts an offer to /whip or /whep.
func (a *api) offer(path, token, sdp string) answer {
	a.t.Helper()
	return a.do(call{method: "POST", path: path, token: token, headers: []string{"Content-Type: application/sdp"}, body: strings.NewReader(sdp)})
}

// metric reads one sample of /metrics, -1 where it is not there.
func (a *api) metric(name string) float64 {
	a.t.Helper()
	text := a.do(call{method: "GET", path: "/metrics"}).body
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte(name+" ")); ok {
			v, err := strconv.ParseFloat(string(bytes.TrimSpace(rest)), 64)
			if err != nil {
				a.t.Fatalf("%s: %v", line, err)
			}
			return v
		}
	}
	return -1
}

// eventually waits until a metric has a value of at most most.
func (a *api) eventually(name string, most float64) {
	a.t.Helper()
	for end := time.Now().Add(2 * patience); ; time.Sleep(200 * time.Millisecond) { // processes have no fake clock
		v := a.metric(name)
		if v >= 0 && v <= most {
			return
		}
		if time.Now().After(end) {
			a.t.Errorf("%s is %v, want at most %v", name, v, most)
			return
		}
	}
}

// offerOf returns an offer of sound and picture without candidates: "sendonly" publishes, "recvonly" watches.
func offerOf(t *testing.T, direction webrtc.RTPTransceiverDirection) string {
	t.Helper()
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		if direction == webrtc.RTPTransceiverDirectionRecvonly {
			if _, err := pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: direction}); err != nil {
				t.Fatal(err)
			}
			continue
		}
		mime := webrtc.MimeTypeOpus
		if kind == webrtc.RTPCodecTypeVideo {
			mime = webrtc.MimeTypeVP8
		}
		track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime}, fmt.Sprint(kind), "main")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: direction}); err != nil {
			t.Fatal(err)
		}
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	return offer.SDP
}
