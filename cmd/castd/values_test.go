package main

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestRates(t *testing.T) {
	good := map[string]uint64{
		"0": 0, "20M": 20_000_000, "20m": 20_000_000, "1.5G": 1_500_000_000, "800k": 800_000, "800 kbit/s": 800_000, "64000": 64000, "0.0001k": 0, "1e3": 1000,
	}
	for s, want := range good {
		if got, err := parseRate(s); err != nil || got != want {
			t.Errorf("%q: %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "fast", "-1", "1T", "NaN", "inf", "1e30", "M", "20MB", "1,5M"} {
		if v, err := parseRate(s); err == nil {
			t.Errorf("%q is %d", s, v)
		}
	}
	for v, want := range map[uint64]string{0: "0", 999: "999", 1000: "1k", 1_234_567: "1.23M", 20_000_000: "20M", 1_500_000_000: "1.5G"} {
		if got := formatRate(v); got != want {
			t.Errorf("%d is %s", v, got)
		}
	}
}

func TestSpans(t *testing.T) {
	good := map[string]time.Duration{
		"1.5s": 1500 * time.Millisecond, "90": 90 * time.Second, "0": 0, "10m": 10 * time.Minute, "2d": 48 * time.Hour, "1h30m": 90 * time.Minute, "250ms": 250 * time.Millisecond, "0.5": 500 * time.Millisecond,
	}
	for s, want := range good {
		if got, err := parseSpan(s); err != nil || got != want {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "soon", "-1s", "-1", "1x", "d", "1hd", "1e300", "inf", "nan"} {
		if v, err := parseSpan(s); err == nil {
			t.Errorf("%q is %v", s, v)
		}
	}
}

func FuzzValues(f *testing.F) {
	for _, s := range []string{"20M", "1.5s", "2d", "inf", "0x1p4", "800 kbit/s", "upload: 20M\nlisten: [a, b]", "a: {b: c}", "&a [*a]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := parseRate(s); err == nil && v > 1e15 {
			t.Errorf("rate %d", v)
		}
		if v, err := parseSpan(s); err == nil && v < 0 {
			t.Errorf("span %v", v)
		}
		if keys, err := parseConfig([]byte(s)); err == nil {
			for _, k := range keys {
				if len(s) == 0 || len(k.values) > len(s) {
					t.Errorf("key %q with %d values", k.name, len(k.values))
				}
			}
		}
	})
}

func TestNearest(t *testing.T) {
	words := []string{"listen", "publish", "start", "status", "tree", "upload", "max-children"}
	for in, want := range map[string]string{
		"lisetn": "listen", "pub": "publish", "strat": "start", "uplaod": "upload", "max_children": "max-children", "TREE": "tree", "xyz": "", "": "", "frobnicate": "",
	} {
		if got := nearest(in, words); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestDistance compares with the definition, spelled out.
func TestDistance(t *testing.T) {
	var plain func(a, b string) int
	plain = func(a, b string) int {
		if a == "" || b == "" {
			return len(a) + len(b)
		}
		cost := 1
		if a[len(a)-1] == b[len(b)-1] {
			cost = 0
		}
		d := min(plain(a[:len(a)-1], b)+1, plain(a, b[:len(b)-1])+1, plain(a[:len(a)-1], b[:len(b)-1])+cost)
		if len(a) > 1 && len(b) > 1 && a[len(a)-1] == b[len(b)-2] && a[len(a)-2] == b[len(b)-1] {
			d = min(d, plain(a[:len(a)-2], b[:len(b)-2])+1)
		}
		return d
	}
	r := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		b := make([]byte, r.IntN(6))
		for i := range b {
			b[i] = "abc"[r.IntN(3)]
		}
		return string(b)
	}
	for range 300 {
		a, b := word(), word()
		if got, want := distance(a, b), plain(a, b); got != want {
			t.Fatalf("%q and %q: %d, want %d", a, b, got, want)
		}
	}
}

func TestDrawQR(t *testing.T) {
	plain, err := drawQR("castd://x", false)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(plain, "\n"), "\n")
	for i, l := range lines {
		if n := len([]rune(l)); n != 21+2*quiet || strings.ContainsRune(l, '\x1b') {
			t.Errorf("line %d has %d characters", i, n)
		}
	}
	if len(lines) != (21+2*quiet+1)/2 {
		t.Errorf("%d lines", len(lines))
	}
	if coloured, _ := drawQR("castd://x", true); strings.Count(coloured, "\x1b[0m") != len(lines) {
		t.Error("colours do not end with each line")
	}
	if _, err := drawQR(strings.Repeat("x", 5000), false); err == nil {
		t.Error("5,000 octets became a QR code")
	}
}
