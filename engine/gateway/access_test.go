package gateway

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestHost(t *testing.T) {
	b := newBench(t, func(c *Config) {
		c.Hosts = []string{"Radio.local", "studio:8470"}
		c.PublicURL = "https://radio.example:8443/"
	})
	for host, want := range map[string]int{
		"localhost": 200, "localhost:8470": 200, "LOCALHOST.": 200, "127.0.0.1:8470": 200, "[::1]:8470": 200, "[::1]": 200, "192.168.1.5:8470": 200,
		"radio.local": 200, "studio": 200, "radio.example": 200, "radio.example:443": 200,
		"evil.example": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403, "": 403, "0x7f000001": 403, "localhost,evil": 403,
	} {
		if w := b.do(call{method: "GET", path: "/api/v1/status", token: admin, headers: []string{"Host: " + host}}); w.Code != want {
			t.Errorf("Host %q: %d, want %d", host, w.Code, want)
		}
		if w := b.do(call{method: "GET", path: "/", headers: []string{"Host: " + host}}); w.Code != want {
			t.Errorf("page for Host %q: %d, want %d", host, w.Code, want)
		}
		if w := b.do(call{method: "GET", path: "/healthz", headers: []string{"Host: " + host}}); w.Code != 200 {
			t.Errorf("probe for Host %q: %d", host, w.Code)
		}
		if w := b.do(call{method: "GET", path: "/api/v1/status", headers: []string{"Host: " + host}, local: true}); w.Code != 200 {
			t.Errorf("socket with Host %q: %d", host, w.Code)
		}
	}
}

func TestOrigin(t *testing.T) {
	b := newBench(t, func(c *Config) { c.PublicURL = "https://radio.example" })
	for _, tt := range []struct {
		headers []string
		want    int
	}{
		{nil, 201}, // encoders
		{[]string{"Sec-Fetch-Site: same-origin", "Origin: http://127.0.0.1:8470"}, 201},
		{[]string{"Origin: http://127.0.0.1:8470"}, 201},
		{[]string{"Sec-Fetch-Site: cross-site", "Origin: https://radio.example"}, 201},
		{[]string{"Sec-Fetch-Site: cross-site", "Origin: https://evil.example"}, 403},
		{[]string{"Sec-Fetch-Site: same-site", "Origin: http://127.0.0.1:9999"}, 403},
		{[]string{"Origin: https://evil.example"}, 403},
		{[]string{"Origin: null"}, 403},
	} {
		w := b.offer("/whip/lobby", admin, tt.headers...)
		if w.Code != tt.want {
			t.Errorf("%q: %d, want %d", tt.headers, w.Code, tt.want)
		}
		for name := range w.Header() {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%q: answered %s", tt.headers, name)
			}
		}
	}
}

func TestBearer(t *testing.T) {
	for header, want := range map[string]string{
		"Bearer abc": "abc", "bearer abc": "abc", "BEARER  abc ": "abc", "Bearer": "", "Bearer ": "", "abc": "", "Basic abc": "", "": "",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", header)
		if got := bearer(r); got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
}

func TestOfferRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.remote = "198.51.100.4:1000"
		count := func(path, token string, n int) (ok, refused int) {
			for range n {
				w := b.offer(path, token)
				switch w.Code {
				case 201, 401:
					ok++
				case 429:
					refused++
					if w.Header().Get("Retry-After") != "1" {
						t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
					}
				default:
					t.Fatalf("status %d", w.Code)
				}
			}
			return ok, refused
		}
		if ok, refused := count("/whep/lobby", viewer, 25); ok != offerBurst || refused != 15 {
			t.Errorf("burst: %d and %d", ok, refused)
		}
		if ok, _ := count("/whep/lobby", viewer2, 5); ok != 5 {
			t.Error("another token is limited too")
		}
		b.remote = "198.51.100.4:2000"
		if ok, _ := count("/whep/lobby", viewer, 5); ok != 0 {
			t.Error("another port is another address")
		}
		b.remote = "198.51.100.5:1000"
		if ok, _ := count("/whep/lobby", viewer, 5); ok != 5 {
			t.Error("another address is limited too")
		}
		time.Sleep(time.Second)
		b.remote = "198.51.100.4:1000"
		if ok, _ := count("/whep/lobby", viewer, 25); ok != offerRate {
			t.Errorf("after a second: %d", ok)
		}
		// Guessing is limited, whatever is guessed.
		time.Sleep(time.Minute)
		guessed := 0
		for i := range 100 {
			if b.offer("/whep/lobby", fmt.Sprint("guess", i)).Code == 401 {
				guessed++
			}
		}
		if guessed != offerBurst {
			t.Errorf("%d guesses", guessed)
		}
		if ok, _ := count("/whep/lobby", viewer, 1); ok != 1 {
			t.Error("somebody else's guesses shut a bearer out")
		}
		// A load tester on this machine is not in the way of anybody.
		b.remote = "127.0.0.1:1000"
		if ok, _ := count("/whep/lobby", viewer, 500); ok != 500 {
			t.Errorf("loopback: %d", ok)
		}
	})
}

func TestLimitsAreBounded(t *testing.T) {
	l := newLimits()
	now := time.Unix(0, 0)
	for i := range 2 * maxLimiters {
		l.allowOffer(caller{remote: fmt.Sprintf("[2001:db8:%x:%x::1]:1", i>>16, i&0xFFFF)}, now)
	}
	if len(l.buckets) > maxLimiters {
		t.Errorf("%d limiters", len(l.buckets))
	}
	// Who comes later shares what is left.
	allowed := 0
	for i := range 100 {
		if _, ok := l.allowOffer(caller{remote: fmt.Sprintf("192.0.2.%d:1", i)}, now); ok {
			allowed++
		}
	}
	if allowed > offerBurst {
		t.Errorf("%d of the later ones", allowed)
	}
	now = now.Add(limiterLife + 2*time.Second)
	if _, ok := l.allowOffer(caller{remote: "192.0.2.1:1"}, now); !ok || len(l.buckets) != 1 {
		t.Errorf("old limiters stay: %d", len(l.buckets))
	}
}

func TestNetwork(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:80": "192.0.2.1/32", "[::ffff:192.0.2.1]:80": "192.0.2.1/32", "[2001:db8:1:2:3:4:5:6]:80": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:80": "fe80::/64", "[::1]:80": "::1/128", "127.0.0.1:80": "127.0.0.1/32", "@": "invalid Prefix", "": "invalid Prefix",
	} {
		if got := network(remote).String(); got != want {
			t.Errorf("%q: %s, want %s", remote, got, want)
		}
	}
}
