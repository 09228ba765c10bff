package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/node"
)

const maxEvent = 1 << 20 // octets of one server-sent event

// Events reads server-sent events. A reader who is too slow is cut off by the peer: what he missed is missing then, and what
// comes after it is read again.
func (p *remotePeer) Events(ctx context.Context, stats time.Duration) (<-chan engine.Event, error) {
	path := "events"
	if stats > 0 {
		path += "?stats=" + url.QueryEscape(stats.String())
	}
	resp, err := p.do(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return nil, err
	}
	events := make(chan engine.Event, 64)
	go func() {
		defer close(events)
		for {
			readEvents(ctx, resp.Body, events)
			resp.Body.Close()
			if ctx.Err() != nil {
				return
			}
			if resp, err = p.do(ctx, http.MethodGet, path, "", nil); err != nil {
				return // it was the peer who went
			}
		}
	}()
	return events, nil
}

// readEvents delivers the events of one response, until it or ctx ends.
func readEvents(ctx context.Context, r io.Reader, events chan<- engine.Event) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxEvent)
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data:"))
		if !ok {
			continue
		}
		var ev engine.Event
		if json.Unmarshal(data, &ev) != nil {
			continue // something that a newer peer says
		}
		select {
		case events <- ev:
		case <-ctx.Done():
			return
		}
	}
}

// Announce has a file heard in a conference, by all or by one participant. It returns how long it was.
func (p *remotePeer) Announce(ctx context.Context, room, to string, file mediaFile) (time.Duration, error) {
	body, err := file.open()
	if err != nil {
		return 0, err
	}
	query := url.Values{}
	if to != "" {
		query.Set("to", to)
	}
	resp, err := p.do(ctx, http.MethodPost, "rooms/"+url.PathEscape(room)+"/announcements?"+query.Encode(), "application/octet-stream", body)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var answer struct {
		Ms int64 `json:"ms"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return 0, fmt.Errorf("read answer: %w", err)
	}
	return time.Duration(answer.Ms) * time.Millisecond, nil
}

// Publish streams the file to the peer, which paces it. For a loop the file's octets are sent again and again in one body. How far it
// has come is in the informational responses that the peer sends meanwhile.
func (p *remotePeer) Publish(ctx context.Context, room string, file mediaFile, loop bool, progress func(node.Progress)) error {
	r, err := file.open()
	if err != nil {
		return err
	}
	body := &againReader{r: r, file: file}
	query := url.Values{}
	if loop {
		if body.size, err = file.size(); err != nil {
			r.Close()
			return err
		}
		query.Set("loop", strconv.FormatInt(body.size, 10))
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(_ int, header textproto.MIMEHeader) error {
		var pr node.Progress
		if json.Unmarshal([]byte(header.Get(node.ProgressHeader)), &pr) == nil && pr.State != "" {
			progress(pr)
		}
		return nil
	}})
	resp, err := p.do(ctx, http.MethodPost, "rooms/"+url.PathEscape(room)+"/media?"+query.Encode(), "application/octet-stream", body)
	if cause := body.err.Load(); cause != nil && ctx.Err() == nil {
		return *cause // why the peer saw the file end early
	}
	if err != nil {
		var bad *engine.UserError
		if errors.As(err, &bad) && bad.Code == engine.CodeBadMedia {
			return engine.NewUserError(bad.Code, file.name+": "+clause(bad.Message))
		}
		return err
	}
	return resp.Body.Close()
}

// clause makes of a whole sentence, as the gateway tells it, what can stand behind a colon. A command that it ends with is as it was.
func clause(s string) string {
	if first, size := utf8.DecodeRuneInString(s); size > 0 && size < len(s) {
		if second, _ := utf8.DecodeRuneInString(s[size:]); unicode.IsLower(second) {
			s = string(unicode.ToLower(first)) + s[size:]
		}
	}
	return strings.TrimSuffix(s, ".")
}

// againReader reads a file and, where size is set, begins it again each time after size octets.
type againReader struct {
	r    io.ReadCloser
	file mediaFile
	size int64 // 0: once
	done int64 // octets of this round

	err atomic.Pointer[error] // of the file; the transport may still read when the answer is there
}

func (a *againReader) Read(b []byte) (int, error) {
	if a.size > 0 {
		if a.done == a.size {
			a.r.Close()
			next, err := a.file.open()
			if err != nil {
				a.err.Store(&err)
				return 0, err
			}
			a.r, a.done = next, 0
		}
		b = b[:min(int64(len(b)), a.size-a.done)]
	}
	n, err := a.r.Read(b)
	a.done += int64(n)
	switch {
	case err == io.EOF && a.size > 0 && a.done < a.size:
		err = fmt.Errorf("%s became shorter while it was sent", a.file.name)
		a.err.Store(&err)
	case err == io.EOF && a.size > 0:
		err = nil
	case err != nil && err != io.EOF:
		err = fmt.Errorf("%s cannot be read: %w", a.file.name, err)
		a.err.Store(&err)
	}
	return n, err
}

func (a *againReader) Close() error { return a.r.Close() }

// Record copies what the peer writes. When w cannot take more, the rest is thrown away, as node.Record does.
func (p *remotePeer) Record(ctx context.Context, room string, w io.Writer, o node.RecordOptions) error {
	query := url.Values{"format": {string(o.Format)}}
	if o.For > 0 {
		query.Set("for", o.For.String())
	}
	if o.UntilEnd {
		query.Set("until-end", "true")
	}
	if !o.Since.IsZero() {
		query.Set("since", o.Since.Format(time.RFC3339Nano))
	}
	resp, err := p.do(ctx, http.MethodGet, "rooms/"+url.PathEscape(room)+"/media?"+query.Encode(), "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(&failingOnce{w: w, failed: o.Failed}, resp.Body)
	if message := resp.Trailer.Get(node.ErrorTrailer); message != "" {
		return engine.NewUserError(resp.Trailer.Get(node.CodeTrailer), message)
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("the running peer went away: %w", err)
	}
	return nil
}

// failingOnce is a writer that tells of its first failure and then takes everything, to no avail.
type failingOnce struct {
	w      io.Writer
	failed func(error)
	broken bool
}

func (f *failingOnce) Write(b []byte) (int, error) {
	if f.broken {
		return len(b), nil
	}
	if _, err := f.w.Write(b); err != nil {
		f.broken = true
		if f.failed != nil {
			f.failed(err)
		}
	}
	return len(b), nil
}
