package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/castd/castd/engine"
)

// ready is the first line of start, listen and publish.
type ready struct {
	Event string `json:"event"`
	Peer  string `json:"peer"`
	Room  string `json:"room,omitempty"`
	Name  string `json:"name,omitempty"`
	Mode  string `json:"mode,omitempty"`
	Role  string `json:"role,omitempty"`
	// Private rooms let in who has an invite; Invite then only leads there.
	Private bool   `json:"private,omitempty"`
	HTTP    string `json:"http,omitempty"`
	// Fingerprint is that of the gateway's certificate, PublicURL what guests on other machines use where that is another address.
	Fingerprint string `json:"tls_fingerprint,omitempty"`
	PublicURL   string `json:"public_url,omitempty"`

	Token     string   `json:"token,omitempty"`
	Invite    string   `json:"invite,omitempty"`
	Addrs     []string `json:"addrs"`
	MediaPort int      `json:"media_port"`
}

// printer writes what a command tells, as JSON objects or for people. It is safe for concurrent use.
type printer struct {
	json bool
	// broken is called when nobody reads any more; nil does nothing.
	broken func(error)
	// take sees each event first, and reports whether it is not to be printed; nil sees none.
	take func(*engine.Event) bool

	mu sync.Mutex // one line at a time
	w  io.Writer
}

func (p *printer) object(v any) {
	var line bytes.Buffer
	e := json.NewEncoder(&line)
	e.SetEscapeHTML(false) // links hold ampersands, and no page holds this
	if err := e.Encode(v); err != nil {
		panic("castd: internal error: encode output: " + err.Error())
	}
	p.write(line.Bytes())
}

func (p *printer) text(format string, args ...any) { p.write(fmt.Appendf(nil, format, args...)) }

func (p *printer) write(b []byte) {
	p.mu.Lock()
	_, err := p.w.Write(b)
	p.mu.Unlock()
	if err != nil && p.broken != nil {
		p.broken(fmt.Errorf("write output: %w", err))
	}
}

func (p *printer) ready(r ready) {
	if p.json {
		p.object(r)
		return
	}
	var b strings.Builder
	if r.Room != "" {
		fmt.Fprintf(&b, "Room %s (%s)", r.Name, r.Room)
		if r.Role == "owner" {
			b.WriteString(", yours")
		}
		b.WriteByte('\n')
	}
	if r.HTTP != "" && r.Token != "" {
		page := r.HTTP + "/"
		if r.Room != "" {
			page += "r/" + r.Name
		}
		fmt.Fprintf(&b, "  page    %s#token=%s\n", page, r.Token)
		if r.Role == "owner" {
			fmt.Fprintf(&b, "  OBS     WHIP server %s/whip/%s, bearer token as in the page's link\n", r.HTTP, r.Name)
		}
	}
	if r.PublicURL != "" && r.Room != "" {
		fmt.Fprintf(&b, "  guests  castd invite %s --guest prints links at %s\n", r.Name, r.PublicURL)
	}
	if r.Fingerprint != "" {
		fmt.Fprintf(&b, "  TLS     certificate SHA-256 %s\n", r.Fingerprint)
	}
	switch {
	case r.Private && r.Role == "owner":
		fmt.Fprintf(&b, "  private: castd invite %s prints a link that lets others in\n", r.Name)
	case r.Invite != "" && !r.Private:
		fmt.Fprintf(&b, "  invite  %s\n", r.Invite)
	}
	p.text("%s", b.String())
}

func (p *printer) event(ev *engine.Event) {
	if p.take != nil && p.take(ev) {
		return
	}
	if p.json {
		p.object(ev)
		return
	}
	if s := describe(ev); s != "" {
		clock := ev.Time
		if _, rest, ok := strings.Cut(clock, "T"); ok && len(rest) >= 8 {
			clock = rest[:8]
		}
		p.text("%s  %s\n", clock, s)
	}
}

// describe says an event in words; "" for what only machines want.
func describe(ev *engine.Event) string {
	switch ev.Event {
	case "joined":
		return "" // the parent comes next
	case "parent":
		how := fmt.Sprintf("now fed by %s at depth %d (%s)", short(ev.Peer), deref(ev.Depth), ev.Reason)
		if ev.Reason == "join" {
			how = fmt.Sprintf("joined at depth %d, fed by %s", deref(ev.Depth), short(ev.Peer))
		}
		if ev.Backup != "" {
			how += ", " + short(ev.Backup) + " stands by"
		}
		return how
	case "stream":
		if ev.State == "ended" {
			return ev.Kind + " of " + short(ev.Participant) + " has ended"
		}
		return fmt.Sprintf("%s of %s is live (%s)", ev.Kind, short(ev.Participant), ev.Codec)
	case "gap":
		return fmt.Sprintf("stream %s: %d ms without a packet, %d lost", ev.Stream, deref(ev.Ms), deref(ev.Lost))
	case "stats":
		if ev.Stream != "" {
			return fmt.Sprintf("stream %s: %d packets, %d bytes, %d lost, %d repaired", ev.Stream, deref(ev.Packets), deref(ev.Bytes),
				deref(ev.Lost), deref(ev.Repaired))
		}
		return fmt.Sprintf("%d children, up %sbit/s, down %sbit/s", deref(ev.Children), formatRate(deref(ev.UpBps)), formatRate(deref(ev.DownBps)))
	case "peer":
		return "peer " + short(ev.Peer) + " has come"
	case "left":
		return "peer " + short(ev.Peer) + " has left"
	case "hand":
		switch ev.State {
		case engine.HandUp:
			return "the hand of " + short(ev.Participant) + " is up"
		case engine.HandCalled:
			return short(ev.Participant) + " was called to speak"
		}
		return "the hand of " + short(ev.Participant) + " is down"
	case "plugin":
		return "plugin " + ev.Code + ": " + ev.Message
	case "error":
		return "error: " + ev.Message
	}
	return ""
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// short returns enough of an id to recognise it.
func short(id string) string {
	switch {
	case id == "":
		return "nobody"
	case len(id) <= 12:
		return id
	}
	return "…" + id[len(id)-8:]
}
