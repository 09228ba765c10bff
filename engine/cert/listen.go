package cert

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Bounds of a request that came without TLS.
const (
	plainTime = 5 * time.Second
	plainSize = 8 << 10 // octets of its header
)

// Listen returns a listener for TLS that uses s. Whoever asks for a page without TLS, as browsers do where a person typed an
// address without https://, is sent to the same page with it; everything else without TLS is refused.
func Listen(l net.Listener, s Source) net.Listener {
	return tls.NewListener(plainListener{l}, Config(s))
}

type plainListener struct{ net.Listener }

func (l plainListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &firstLook{Conn: c}, nil
}

// firstLook is a connection whose first octets tell whether it speaks TLS. They are looked at in the first Read, which is on the
// connection's own goroutine.
type firstLook struct {
	net.Conn
	looked bool // by the reading goroutine
}

// Read implements net.Conn.
func (c *firstLook) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.looked || n == 0 {
		return n, err
	}
	c.looked = true
	if b[0] != 'G' && b[0] != 'H' { // GET, HEAD; a TLS record of a handshake begins with 22 (RFC 8446 section 5.1)
		return n, err
	}
	_ = c.SetDeadline(time.Now().Add(plainTime)) // without it whoever waits for the answer waits longer
	if to, ok := secured(io.MultiReader(bytes.NewReader(b[:n]), c.Conn)); ok {
		_, _ = fmt.Fprintf(c.Conn, "HTTP/1.1 307 Temporary Redirect\r\nLocation: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", to)
	}
	return 0, io.EOF
}

// secured reads a request and returns the address that it is for, with https.
func secured(r io.Reader) (to string, ok bool) {
	request, err := http.ReadRequest(bufio.NewReader(io.LimitReader(r, plainSize)))
	if err != nil || request.Host == "" || request.URL.Path == "" || request.URL.Path[0] != '/' || request.Method != http.MethodGet && request.Method != http.MethodHead {
		return "", false
	}
	u := url.URL{Scheme: "https", Host: request.Host, Path: request.URL.Path, RawPath: request.URL.RawPath, RawQuery: request.URL.RawQuery}
	// What is no host cannot be read again.
	if _, err := url.Parse(u.String()); err != nil {
		return "", false
	}
	return u.String(), true
}
