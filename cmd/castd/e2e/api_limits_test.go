package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
)

// expired: a token of one second ends.
func (a *api) expired(token, offer string) {
	a.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) { // processes have no fake clock
		got := a.offer("/whep/lobby", token, offer)
		if got.status == 401 {
			return
		}
		if got.status == 201 {
			a.do(call{method: "DELETE", path: got.header.Get("Location"), token: token})
		}
		if time.Now().After(end) {
			a.t.Errorf("a token of one second still holds: %d", got.status)
			return
		}
	}
}

// twins: a name that fits two rooms is not guessed at.
func (a *api) twins(offer string) {
	a.t.Helper()
	other := origin(a.t)
	body, err := json.Marshal(map[string]any{"room": other.ready().text("invite"), "wait_ms": 10_000})
	if err != nil {
		a.t.Fatal(err)
	}
	got := a.do(call{method: "POST", path: "/api/v1/rooms", headers: []string{"Content-Type: application/json"}, body: strings.NewReader(string(body))})
	if got.status != 201 {
		a.t.Fatalf("join by invite: %d %s", got.status, got.body)
	}
	for _, path := range []string{"/whep/lobby", "/whip/LOBBY"} {
		if got := a.offer(path, "", offer); got.status != 409 || !strings.Contains(string(got.body), "ambiguous") {
			a.t.Errorf("%s of two: %d %s", path, got.status, got.body)
		}
	}
	if got := a.do(call{method: "GET", path: "/api/v1/rooms/lobby"}); got.status != 409 {
		a.t.Errorf("information on one of two: %d", got.status)
	}
	// Only the origin knows the whole tree.
	if got := a.do(call{method: "GET", path: "/api/v1/rooms/" + other.ready().text("room") + "/tree?scope=room"}); got.status != 409 && got.status != 200 {
		a.t.Errorf("tree: %d", got.status)
	}
}

// fromElsewhere: guests of another address count in the peer's slots, of which it has two, and are limited in rate.
func (a *api) fromElsewhere(offer string) {
	a.t.Helper()
	var lan netip.Addr
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		a.t.Fatal(err)
	}
	for _, addr := range addrs {
		n, ok := addr.(*net.IPNet)
		if !ok {
			continue
		}
		if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap().Is4() && ip.IsGlobalUnicast() {
			lan = ip.Unmap()
		}
	}
	if !lan.IsValid() {
		a.t.Log("this machine has no address but the loopback's: slots of guests from elsewhere are left to the unit tests")
		return
	}
	// A request to that address comes from it.
	open := launch(a.t, "open", "start", "--room", "lobby", "--http", "0.0.0.0:0", "--max-children", "2")
	b := apiOf(a.t, open)
	u, err := url.Parse(b.base)
	if err != nil {
		a.t.Fatal(err)
	}
	b.base = "http://" + net.JoinHostPort(lan.String(), u.Port())
	watcher := b.roomToken("lobby", `{}`)
	full, limited, served := 0, 0, 0
	for range 30 {
		switch got := b.offer("/whep/lobby", watcher, offer); got.status {
		case 201:
			served++
		case 503:
			full++
			if got.header.Get("Retry-After") == "" {
				a.t.Error("full, but not when to come again")
			}
		case 429:
			limited++
			if got.header.Get("Retry-After") == "" {
				a.t.Error("too many, but not when to come again")
			}
		default:
			a.t.Fatalf("%d %s", got.status, got.body)
		}
	}
	if served != 2 || full == 0 || limited == 0 {
		a.t.Errorf("of 30 guests from elsewhere %d were served, %d found it full, %d were limited", served, full, limited)
	}
}

// tooMany: guessing tokens is limited, whatever is guessed, and does not shut out who has one.
func (a *api) tooMany() {
	a.t.Helper()
	for i := range 5000 {
		got := a.do(call{method: "GET", path: "/api/v1/status", token: fmt.Sprint("guess", i)})
		if got.status == 429 {
			if got.header.Get("Retry-After") == "" {
				a.t.Error("too many, but not when to come again")
			}
			if got := a.do(call{method: "GET", path: "/api/v1/status"}); got.status != 200 {
				a.t.Errorf("the administrator is shut out by somebody's guesses: %d", got.status)
			}
			return
		}
		if got.status != 401 {
			a.t.Fatalf("guess %d: %d", i, got.status)
		}
	}
	a.t.Error("5,000 guesses in a row were answered")
}

// TestSlowRequests: who is slow with a header or body is not waited for.
func TestSlowRequests(t *testing.T) {
	t.Parallel()
	o := origin(t)
	a := apiOf(t, o)
	u, err := url.Parse(a.base)
	if err != nil {
		t.Fatal(err)
	}
	slow := func(name, text string, want int, least, most time.Duration) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := net.Dial("tcp", u.Host)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			begin := time.Now()
			fmt.Fprint(c, text)
			_ = c.SetReadDeadline(begin.Add(2 * time.Minute))
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			took := time.Since(begin)
			if took < least || took > most {
				t.Errorf("ended after %s", took)
			}
			if err != nil {
				if want != 0 {
					t.Errorf("no answer: %v", err)
				}
				return
			}
			defer res.Body.Close()
			body, _ := io.ReadAll(res.Body)
			if res.StatusCode != want || want == 408 && !res.Close {
				t.Errorf("%s, close %v", res.Status, res.Close)
			}
			if want == 408 {
				if err := a.document.Check("POST", "/whep/lobby", res.StatusCode, res.Header, body); err != nil {
					t.Error(err)
				}
			}
		})
	}
	head := "POST /whep/lobby HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + a.token + "\r\nContent-Type: application/sdp\r\n"
	// The limits are 5 and 10 s.
	slow("header", "POST /whep/lobby HTTP/1.1\r\nHost: loc", 0, 2*time.Second, 50*time.Second)
	slow("nothing", "", 0, 2*time.Second, 50*time.Second)
	slow("body", head+"Content-Length: 5000\r\n\r\nv=0\r\n", 408, 5*time.Second, 100*time.Second)
	slow("chunked body", head+"Transfer-Encoding: chunked\r\n\r\n5\r\nv=0\r\n\r\n", 408, 5*time.Second, 100*time.Second)
}

// TestThousandSessions: a peer serves as many guests as it can, says so to the next, and is as before when they have gone.
func TestThousandSessions(t *testing.T) {
	t.Parallel()
	o := origin(t)
	a := apiOf(t, o)
	offer := offerOf(t, webrtc.RTPTransceiverDirectionRecvonly)
	goroutines, files := a.metric("go_goroutines"), a.metric("process_open_fds")
	var sessions []string
	full := 0
	for range 1100 {
		got := a.offer("/whep/lobby", "", offer)
		switch got.status {
		case 201:
			sessions = append(sessions, got.header.Get("Location"))
		case 503:
			if full++; got.header.Get("Retry-After") == "" {
				t.Error("full, but not when to come again")
			}
		case 429: // sooner than it is full, where this machine is quick
			time.Sleep(20 * time.Millisecond)
		default:
			t.Fatalf("session %d: %d %s", len(sessions), got.status, got.body)
		}
		if full > 3 {
			break
		}
	}
	if len(sessions) < 900 || len(sessions) > 1000 || full == 0 {
		t.Errorf("%d sessions were opened, %d times it was full", len(sessions), full)
	}
	memory := a.metric("process_resident_memory_bytes")
	t.Logf("%d sessions: %.0f MB, %.0f goroutines", len(sessions), memory/1e6, a.metric("go_goroutines"))
	if memory > 500e6 {
		t.Errorf("%.0f MB", memory/1e6)
	}
	for _, s := range sessions {
		if got := a.do(call{method: "DELETE", path: s}); got.status != 200 && got.status != 404 {
			t.Fatalf("DELETE %s: %d", s, got.status)
		}
	}
	a.eventually(`castd_gateway_sessions{protocol="whep"}`, 0)
	a.eventually("go_goroutines", goroutines+20)
	a.eventually("process_open_fds", files+10)
}
