package guest

import (
	"slices"
	"strings"
)

// maxFragment bounds a trickle ICE fragment, in octets.
const maxFragment = 64 << 10

// fragment is a trickle ICE fragment (RFC 8840 section 9): a piece of a session description with nothing but ICE attributes
// under pseudo media lines.
type fragment struct {
	ufrag, pwd string
	candidates []string // without "candidate:"
	end        bool     // no more candidates will come
}

// parseFragment reads a fragment. All sections share one transport, so it does not matter which of them an attribute is for.
// Errors are of type *engine.UserError.
func parseFragment(text string) (*fragment, error) {
	if len(text) > maxFragment {
		return nil, badOffer("The fragment has %d octets; send at most %d.", len(text), maxFragment)
	}
	f := &fragment{}
	known := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		attribute, ok := strings.CutPrefix(line, "a=")
		if !ok {
			if line == "" || len(line) > 1 && line[1] == '=' {
				continue // pseudo media lines and what may come
			}
			return nil, badOffer("The body is not a trickle ICE fragment (RFC 8840); send lines like a=candidate:... after an m= line.")
		}
		key, value, _ := strings.Cut(attribute, ":")
		switch key {
		case "ice-ufrag":
			if f.ufrag != "" && f.ufrag != value {
				return nil, badOffer("The fragment has two values of a=ice-ufrag; send one transport's.")
			}
			f.ufrag = value
		case "ice-pwd":
			if f.pwd != "" && f.pwd != value {
				return nil, badOffer("The fragment has two values of a=ice-pwd; send one transport's.")
			}
			f.pwd = value
		case "candidate":
			if value != "" && !slices.Contains(f.candidates, value) {
				f.candidates = append(f.candidates, value)
			}
			f.end = f.end || value == ""
		case "end-of-candidates":
			f.end = true
		case "mid", "group", "ice-options", "ice-lite", "ice-pacing":
		default:
			continue
		}
		known = true
	}
	if !known {
		return nil, badOffer("The body has no ICE attributes; send a trickle ICE fragment (RFC 8840).")
	}
	if f.ufrag != "" && f.pwd != "" && !validCredentials(f.ufrag, f.pwd) {
		return nil, badOffer("The fragment's a=ice-ufrag or a=ice-pwd is malformed; send what the browser or encoder made.")
	}
	return f, nil
}
