package gossip

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

func TestReadFrame(t *testing.T) {
	tests := []struct {
		name string
		in   string
		want string
		err  error
	}{
		{"message", "\x00\x03abc", "abc", nil},
		{"empty", "\x00\x00", "", nil},
		{"rest is not read", "\x00\x01abc", "a", nil},
		{"nothing", "", "", io.EOF},
		{"half a head", "\x00", "", io.ErrUnexpectedEOF},
		{"no body", "\x00\x03", "", io.ErrUnexpectedEOF},
		{"half a body", "\x00\x03ab", "", io.ErrUnexpectedEOF},
		{"too large", "\x00\x0b01234567890", "", ErrTooLarge},
		{"far too large", "\xff\xff", "", ErrTooLarge},
	}
	for _, tt := range tests {
		got, err := readFrame(iotest.OneByteReader(strings.NewReader(tt.in)), 10)
		if string(got) != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: %q, %v; want %q, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
	if n := testing.AllocsPerRun(100, func() { readFrame(strings.NewReader("\xff\xff"), wire.MaxEnvelope) }); n > 2 {
		t.Errorf("%v allocations for a frame that is refused", n)
	}
}

func TestResponses(t *testing.T) {
	largest := bytes.Repeat([]byte{1}, wire.MaxEnvelope)
	tests := []struct {
		name   string
		answer []byte
		err    error
		want   error
	}{
		{"answer", []byte("yes"), nil, nil},
		{"empty answer", nil, nil, nil},
		{"largest answer", largest, nil, nil},
		{"too large an answer", append(largest, 1), nil, ErrFailed},
		{"failure", nil, errors.New("open /home/u/key: permission denied"), ErrFailed},
	}
	for _, tt := range tests {
		b, err := readFrame(bytes.NewReader(responseFrame(tt.answer, tt.err)), maxFrame)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseResponse(b)
		if !errors.Is(err, tt.want) || err == nil && !bytes.Equal(got, tt.answer) || bytes.Contains(b, []byte("home")) {
			t.Errorf("%s: %d octets, %v", tt.name, len(got), err)
		}
	}
	_, err := parseResponse(responseFrame(nil, engine.NewUserError("full", "wait\x1b[31m "+strings.Repeat("é", 1000)))[frameHead:])
	var user *engine.UserError
	if !errors.As(err, &user) || user.Code != "full" || !strings.HasPrefix(user.Message, "wait?[31m é") || len(user.Message) > maxSentence {
		t.Errorf("refused: %v", err)
	}
	for _, b := range []string{"", "\x01", "\x01codeonly", "\x03", "\xff", "\x01" + strings.Repeat("c", 65) + "\x00m", "\x01c\x00" + strings.Repeat("m", maxSentence+1)} {
		if got, err := parseResponse([]byte(b)); err != errResponse {
			t.Errorf("parseResponse(%q) = %q, %v", b, got, err)
		}
	}
}

func FuzzFrame(f *testing.F) {
	f.Add([]byte("\x00\x03\x00ok"))
	f.Add([]byte("\x00\x07\x01full\x00x"))
	f.Add(responseFrame(nil, errors.New("x")))
	f.Add([]byte("\xff\xffabc"))
	f.Fuzz(func(t *testing.T, in []byte) {
		b, err := readFrame(bytes.NewReader(in), maxFrame)
		if err != nil {
			return
		}
		if len(b) > maxFrame || !bytes.Equal(appendFrame(b), in[:frameHead+len(b)]) {
			t.Fatalf("frame of %d octets does not write back", len(b))
		}
		_, err = parseResponse(b)
		var user *engine.UserError
		if errors.As(err, &user) {
			for _, r := range user.Code + user.Message {
				if unicode.IsControl(r) {
					t.Fatalf("control character in %q", user.Message)
				}
			}
		}
	})
}
