package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// A frame is its length, two octets big-endian, and that many octets. A response is a frame whose first octet is its status.
//
//	message, request: length (2) ‖ envelope
//	response:         length (2) ‖ status (1) ‖ rest
//
// rest is the answer (status ok), code ‖ 0x00 ‖ sentence for people (status refused), or nothing (status failed).
const (
	statusOK      = 0
	statusRefused = 1
	statusFailed  = 2

	frameHead = 2
	// maxFrame lets a response carry a whole envelope after its status.
	maxFrame = wire.MaxEnvelope + 1
	// maxSentence bounds what a peer can make people read, in octets.
	maxSentence = 512
)

// Errors of frames and responses.
var (
	// ErrTooLarge is returned for a message of more than wire.MaxEnvelope octets.
	ErrTooLarge = errors.New("gossip: message is too large")
	// ErrFailed is returned by Request when the peer could not answer and did not say why.
	ErrFailed = errors.New("gossip: peer failed to answer")

	errResponse = errors.New("gossip: malformed response")
)

// readFrame reads one frame of at most limit octets. It allocates nothing for a longer one.
func readFrame(r io.Reader, limit int) ([]byte, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("read frame: %w", err)
	}
	n := int(binary.BigEndian.Uint16(head[:]))
	if n > limit {
		return nil, ErrTooLarge
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("read frame: %w", err)
	}
	return b, nil
}

// appendFrame returns the frame of the parts, in one piece so that it leaves in one packet. The parts must fit.
func appendFrame(parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	b := make([]byte, frameHead, frameHead+n)
	binary.BigEndian.PutUint16(b, uint16(n))
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// responseFrame returns the frame of a handler's answer. Of an error only a UserError crosses to the peer.
func responseFrame(answer []byte, err error) []byte {
	var user *engine.UserError
	switch {
	case err == nil && len(answer) <= wire.MaxEnvelope:
		return appendFrame([]byte{statusOK}, answer)
	case errors.As(err, &user):
		m := user.Message
		if len(m) > maxSentence {
			m = m[:maxSentence]
		}
		return appendFrame([]byte{statusRefused}, []byte(user.Code), []byte{0}, []byte(m))
	default:
		return appendFrame([]byte{statusFailed})
	}
}

// parseResponse takes a response frame's content apart: the answer, or a *engine.UserError, ErrFailed or errResponse.
func parseResponse(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, errResponse
	}
	rest := b[1:]
	switch b[0] {
	case statusOK:
		return rest, nil
	case statusRefused:
		for i, c := range rest {
			if c == 0 {
				if i > 64 || len(rest)-i-1 > maxSentence {
					return nil, errResponse
				}
				return nil, engine.NewUserError(printable(rest[:i]), printable(rest[i+1:]))
			}
		}
		return nil, errResponse
	case statusFailed:
		return nil, ErrFailed
	default:
		return nil, errResponse // a status of the future: not an answer
	}
}

// printable returns text that another peer wrote without what could trouble a terminal or a log.
func printable(b []byte) string {
	out := make([]rune, 0, len(b))
	for _, r := range string(b) {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\ufffd' {
			r = '?'
		}
		out = append(out, r)
	}
	return string(out)
}
