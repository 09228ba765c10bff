package bench

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode"
)

// signaller speaks HTTP with servers. It is safe for concurrent use.
type signaller struct {
	http  *http.Client
	token string
}

// tlsConfig says which certificates of a server will do.
func tlsConfig(insecure bool, fingerprint string) *tls.Config {
	if fingerprint == "" {
		return &tls.Config{InsecureSkipVerify: insecure} // only where the caller said so
	}
	want := strings.ReplaceAll(strings.ToLower(fingerprint), ":", "")
	return &tls.Config{
		InsecureSkipVerify: true, // the fingerprint is what counts
		VerifyConnection: func(s tls.ConnectionState) error {
			if sum := sha256.Sum256(s.PeerCertificates[0].Raw); hex.EncodeToString(sum[:]) != want {
				return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: errCertificate}
			}
			return nil
		},
	}
}

func newSignaller(token string, config *tls.Config) *signaller {
	return &signaller{token: token, http: &http.Client{
		Timeout: 20 * time.Second,
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 32, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
			TLSClientConfig: config,
		},
	}}
}

// ErrMissing is matched by errors that say that there is nothing at an address, or that nobody answers there.
var ErrMissing = errors.New("nothing there")

// missingError is a sentence that matches ErrMissing.
type missingError struct{ msg string }

func (e *missingError) Error() string        { return e.msg }
func (e *missingError) Is(target error) bool { return target == ErrMissing }

func missingf(format string, args ...any) error { return &missingError{fmt.Sprintf(format, args...)} }

// session is a resource that a server made.
type session struct {
	url    string
	answer *answer
	near   netip.Addr // the server's, if HTTP told
}

// post makes a session (RFC 9725 section 4.2). Errors are sentences for people.
func (s *signaller) post(ctx context.Context, address, offer string) (*session, error) {
	r := &session{}
	trace := &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		if a, ok := i.Conn.RemoteAddr().(*net.TCPAddr); ok {
			r.near = a.AddrPort().Addr().Unmap()
		}
	}}
	// A redirection (307, 308) is followed with the same body; its token goes to the same host only.
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), http.MethodPost, address, strings.NewReader(offer))
	if err != nil {
		return nil, fmt.Errorf("%q is no address: write it like http://127.0.0.1:8470/whip/lobby", address)
	}
	req.Header.Set("Content-Type", "application/sdp")
	s.authorize(req)
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, unreachable(address, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, unreachable(address, err)
	}
	if resp.StatusCode != http.StatusCreated && resp.StatusCode != http.StatusOK {
		return nil, s.refused(address, resp, body)
	}
	if location := resp.Header.Get("Location"); location != "" {
		u, err := resp.Request.URL.Parse(location) // may be relative
		if err != nil {
			return nil, fmt.Errorf("%s answered with a Location that is no address: tell its maker", host(address))
		}
		r.url = u.String()
	}
	if r.answer, err = parseAnswer(string(body)); err != nil {
		s.remove(context.WithoutCancel(ctx), r.url)
		return nil, fmt.Errorf("%s: %w", host(address), err)
	}
	return r, nil
}

// remove ends a session. Nothing can be done about a failure.
func (s *signaller) remove(ctx context.Context, address string) {
	if address == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, address, nil)
	if err != nil {
		return
	}
	s.authorize(req)
	resp, err := s.http.Do(req)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16))
	resp.Body.Close()
}

func (s *signaller) authorize(req *http.Request) {
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
}

// host names a server in messages; paths and queries may hold secrets.
func host(address string) string {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		return u.Host
	}
	return "the server"
}

func unreachable(address string, err error) error {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.As(err, &dns):
		return missingf("nobody knows the host %s: check the address", host(address))
	case errors.As(err, &cert):
		return fmt.Errorf("the certificate of %s is not trusted: use --insecure if it is your own", host(address))
	}
	return missingf("%s cannot be reached: check that the server runs and that the address is right", host(address))
}

// refused makes a sentence of an answer that is no success.
func (s *signaller) refused(address string, resp *http.Response, body []byte) error {
	var hint string
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		hint = "it wants a token: give one with --token"
		if s.token != "" {
			hint = "the token is wrong: give another with --token"
		}
	case http.StatusForbidden:
		hint = "the token does not allow this: give another with --token"
	case http.StatusNotFound:
		hint = "there is no such room or stream: check the path of the address"
	case http.StatusMethodNotAllowed:
		hint = "nothing can be posted there: check the path of the address"
	case http.StatusTooManyRequests:
		hint = "joins come too fast: lower --num-per-second"
	case http.StatusServiceUnavailable:
		hint = "it is full: lower --subscribers"
	default:
		hint = "check the address and the server's log"
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if detail := problemDetail(kind, body); detail != "" {
		hint = fmt.Sprintf("%s (%s)", hint, detail)
	}
	text := fmt.Sprintf("%s answered %d: %s", host(address), resp.StatusCode, hint)
	if resp.StatusCode == http.StatusNotFound {
		return &missingError{text}
	}
	return errors.New(text)
}

// problemDetail returns what a problem document (RFC 9457) says, cut to one short line.
func problemDetail(kind string, body []byte) string {
	var doc struct {
		Title  string `json:"title"`
		Detail string `json:"detail"`
	}
	if !strings.HasSuffix(kind, "json") || json.Unmarshal(body, &doc) != nil {
		return ""
	}
	text := doc.Detail
	if text == "" {
		text = doc.Title
	}
	text = strings.TrimRight(strings.Join(strings.Fields(text), " "), ".")
	if r := []rune(text); len(r) > 200 {
		text = string(r[:200])
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
}
