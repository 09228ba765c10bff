package room

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxName bounds the name that a participant chooses, in characters.
const MaxName = 64

// isControl reports characters that must not reach a terminal or a page: controls, and the format characters that turn the
// direction of text or hide in it. The joiners (U+200C, U+200D) are parts of words and emoji.
func isControl(r rune) bool {
	if r == '\u200c' || r == '\u200d' {
		return false
	}
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError
}

// CleanName returns the form in which a participant's chosen name is shown: without control characters and outer spaces, at
// most MaxName characters.
func CleanName(s string) string { return CleanText(s, MaxName) }

// CleanText is CleanName for another bound, in characters.
func CleanText(s string, most int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if isControl(r) {
			continue
		}
		if n == most {
			break
		}
		b.WriteRune(r)
		n++
	}
	return strings.TrimSpace(b.String())
}
