//go:build linux

package e2e_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/castd/castd/mixer/tonetest"
)

// listener hears a conference by WHEP.
func listener(t *testing.T, base, token, room string) *tonetest.Ear {
	t.Helper()
	ear, err := tonetest.NewEar()
	if err != nil {
		t.Fatal(err)
	}
	g := newGuest(t, base, token)
	if _, err := g.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		t.Fatal(err)
	}
	g.pc.OnTrack(func(remote *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			p, _, err := remote.ReadRTP()
			if err != nil {
				return
			}
			ear.Hear(p.Payload)
		}
	})
	g.negotiate(context.Background(), t, "/whep/"+room)
	return ear
}

// partOfRoom is what the API tells of a participant.
type partOfRoom struct {
	Participant, Name, Peer string
	Roles                   []string
	Muted                   bool
}

// roomOf returns what the API tells of a room.
func roomOf(t *testing.T, g *guest, room string) (info struct {
	Mode         string
	Streams      []struct{ Slot, Codec, State string }
	Participants []partOfRoom
	Mixer        struct {
		Mode, Peer, Standby string
		Further             []string
	}
},
) {
	t.Helper()
	res, body := g.request(context.Background(), t, http.MethodGet, "/api/v1/rooms/"+room, "", "")
	if err := json.Unmarshal(body, &info); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v: %s", res.Status, err, body)
	}
	return info
}

// TestCall: three people call at a real peer, each with a tone of his own. Each hears the others and not himself; who listens by WHEP
// hears all; and the API, the events and the data channel tell who is there.
func TestCall(t *testing.T) {
	p := launch(t, "peer", "start", "--room", "talk", "--mode", "conference", "--http", "127.0.0.1:0")
	ready := p.ready()
	if ready.text("mode") != "conference" {
		t.Fatalf("ready line %v", ready)
	}
	base, token := ready.text("http"), ready.text("token")
	ann := joinCall(t, base, token, "talk", "Ann", 400)
	bob := joinCall(t, base, token, "talk", "Bob", 700)
	eve := joinCall(t, base, token, "talk", "Eve", 1200)
	all := listener(t, base, token, "talk")
	hear(t, ears{"Ann", ann.ear, 400, []float64{700, 1200}}, ears{"Bob", bob.ear, 700, []float64{400, 1200}},
		ears{"Eve", eve.ear, 1200, []float64{400, 700}}, ears{"a listener", all, 0, []float64{400, 700, 1200}})
	if _, bad := all.Packets(); bad > 0 {
		t.Errorf("%d packets that are no Opus", bad)
	}

	info := roomOf(t, ann.guest, "talk")
	if info.Mode != "conference" || len(info.Participants) != 3 || info.Mixer.Peer != ready.text("peer") {
		t.Errorf("the API tells of the room: %+v", info)
	}
	if len(info.Streams) != 1 || info.Streams[0].Slot != "mix" || info.Streams[0].Codec != "opus" {
		t.Errorf("streams %+v", info.Streams)
	}
	state := ann.told()
	if len(state.Participants) != 3 || len(state.Sections) != 1 || state.Sections[0].Carries != "mix" {
		t.Fatalf("the data channel tells %+v", state)
	}
	var bobs string
	for _, who := range state.Participants {
		p.wait("peer", 1, is("peer", "participant", who.Participant))
		if who.Name == "Bob" {
			bobs = who.Participant
		}
	}
	if bobs != bob.told().You || bobs == "" {
		t.Fatalf("Bob is %q to Ann and %q to himself", bobs, bob.told().You)
	}

	ann.wish(t, bobs, 0)
	ann.ear.Forget()
	hear(t, ears{"Ann", ann.ear, 700, []float64{1200}}, ears{"Bob", bob.ear, 700, []float64{400, 1200}}) // she hears nothing of Bob either

	eve.leave(t)
	p.wait("left", 1, is("left", "participant", eve.told().You))
	if info := roomOf(t, ann.guest, "talk"); len(info.Participants) != 2 {
		t.Errorf("after one has left: %+v", info.Participants)
	}
}

// TestCallElsewhere: people take part by way of a peer that does not mix, and are heard by, and hear, those at the one that does.
func TestCallElsewhere(t *testing.T) {
	hub := launch(t, "hub", "start", "--room", "talk", "--mode", "conference", "--http", "127.0.0.1:0")
	first := hub.ready()
	other := launch(t, "other", "start", "--room", "talk", "--http", "127.0.0.1:0", "--bootstrap", hub.address())
	second := other.ready()
	if second.text("mode") != "conference" || second.text("role") != "member" {
		t.Fatalf("ready line %v", second)
	}
	ann := joinCall(t, first.text("http"), first.text("token"), "talk", "Ann", 400)
	bob := joinCall(t, second.text("http"), second.text("token"), "talk", "Bob", 700)
	eve := joinCall(t, second.text("http"), second.text("token"), "talk", "Eve", 1200)
	all := listener(t, second.text("http"), second.text("token"), "talk")
	hear(t, ears{"Ann", ann.ear, 400, []float64{700, 1200}}, ears{"Bob", bob.ear, 700, []float64{400, 1200}},
		ears{"Eve", eve.ear, 1200, []float64{400, 700}}, ears{"a listener", all, 0, []float64{400, 700, 1200}})
	info := roomOf(t, bob.guest, "talk")
	if len(info.Participants) != 3 || info.Mixer.Peer != first.text("peer") {
		t.Errorf("the other peer's API tells %+v", info)
	}
	peers := map[string]int{}
	for _, p := range info.Participants {
		peers[p.Peer]++
	}
	if peers[first.text("peer")] != 1 || peers[second.text("peer")] != 2 {
		t.Errorf("participants by peer: %v", peers)
	}
	if state := eve.told(); len(state.Participants) != 3 {
		t.Errorf("Eve is told %+v", state)
	}
	bob.leave(t)
	hub.wait("left", 1, is("left", "participant", bob.told().You))
}

// TestCallRefused: what is no call is refused with the reason.
func TestCallRefused(t *testing.T) {
	p := launch(t, "peer", "start", "--room", "lobby", "--http", "127.0.0.1:0")
	ready := p.ready()
	base, token := ready.text("http"), ready.text("token")
	g := newGuest(t, base, token)
	res, body := g.request(context.Background(), t, http.MethodPost, "/api/v1/rooms", "application/json", `{"room":"talk","create":true,"mode":"conference"}`)
	if res.StatusCode != http.StatusCreated {
		t.Fatalf("%s: %s", res.Status, body)
	}
	if res, body := g.request(context.Background(), t, http.MethodPost, "/api/v1/rooms", "application/json", `{"room":"talk","create":true,"mode":"panel"}`); res.StatusCode != http.StatusBadRequest {
		t.Errorf("an unknown mode: %s: %s", res.Status, body)
	}
	if res, body := g.request(context.Background(), t, http.MethodPost, "/api/v1/rooms", "application/json", `{"room":"lobby","mode":"conference"}`); res.StatusCode != http.StatusConflict {
		t.Errorf("another mode of an open room: %s: %s", res.Status, body)
	}
	offer := strings.ReplaceAll(callOffer, "\n", "\r\n")
	for _, c := range []struct {
		name, path, offer, code string
		status                  int
	}{
		{"a broadcast", "/call/lobby", offer, "wrong_mode", 409},
		{"WHIP in a conference", "/whip/talk", offer, "wrong_mode", 409},
		{"another codec", "/call/talk", strings.ReplaceAll(offer, "opus/48000/2", "PCMU/8000"), "no_common_codec", 400},
		{"one way only", "/call/talk", strings.ReplaceAll(offer, "sendrecv", "recvonly"), "bad_offer", 400},
		{"no such room", "/call/cellar", offer, "no_such_room", 404},
	} {
		res, body := g.request(context.Background(), t, http.MethodPost, c.path, "application/sdp", c.offer)
		var problem struct{ Code, Detail string }
		if err := json.Unmarshal(body, &problem); err != nil || res.StatusCode != c.status || problem.Code != c.code || problem.Detail == "" {
			t.Errorf("%s: %s: %s", c.name, res.Status, body)
		}
	}
}

// callOffer is an offer as a browser makes it.
const callOffer = `v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=mid:0
a=sendrecv
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=ice-ufrag:abcd
a=ice-pwd:abcdefghijklmnopqrstuvwx
a=setup:actpass
a=fingerprint:sha-256 AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA
`
