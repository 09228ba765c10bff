package cert

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestListen serves a page as the gateway does, and asks for it with and without TLS.
func TestListen(t *testing.T) {
	s := open(t, &kept{}, &Names{IPs: []netip.Addr{ip("127.0.0.1")}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Host+r.URL.String())
	})}
	done := make(chan error, 1)
	go func() { done <- server.Serve(Listen(l, s)) }()
	defer func() {
		_ = server.Close()
		<-done
	}()
	roots := x509.NewCertPool()
	roots.AddCert(s.current.Leaf)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	host := l.Addr().String()
	for _, scheme := range []string{"https", "http"} {
		resp, err := client.Get(scheme + "://" + host + "/r/a%2Fb?x=1&y")
		if err != nil {
			t.Fatalf("%s: %v", scheme, err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if string(body) != host+"/r/a%2Fb?x=1&y" || resp.Request.URL.Scheme != "https" {
			t.Errorf("%s: %q from %v", scheme, body, resp.Request.URL)
		}
	}
	// A request that carries something must not be told to come again: it has been heard already.
	for _, text := range []string{"POST /whip/lobby HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "GARBAGE\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "H"} {
		c, err := net.Dial("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, text)
		_ = c.(*net.TCPConn).CloseWrite()
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		answer, _ := io.ReadAll(c)
		_ = c.Close()
		if strings.Contains(string(answer), "Location") {
			t.Errorf("%q is answered by %q", text, answer)
		}
	}
}

func FuzzSecured(f *testing.F) {
	for _, s := range []string{
		"GET /r/lobby HTTP/1.1\r\nHost: peer.example:8470\r\n\r\n", "GET http://other.example/ HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD //evil.example/ HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n", "GET /%0d%0aSet-Cookie:x HTTP/1.1\r\nHost: a b\r\n\r\n", "GET * HTTP/1.1\r\nHost: [::1]:8470\r\n\r\n", "G", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		to, ok := secured(strings.NewReader(text))
		if !ok {
			return
		}
		u, err := url.Parse(to)
		if err != nil || u.Scheme != "https" || u.Host == "" || strings.ContainsAny(to, "\r\n") {
			t.Errorf("%q leads to %q: %v", text, to, err)
		}
		if r, err := http.ReadResponse(bufio.NewReader(strings.NewReader("HTTP/1.1 307 x\r\nLocation: "+to+"\r\n\r\n")), nil); err != nil || len(r.Header) != 1 {
			t.Errorf("%q breaks the answer: %v", to, err)
		}
	})
}
