package jitter

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// TestTOC goes through the packet codes of RFC 6716, section 3.2, and its rules for malformed packets.
func TestTOC(t *testing.T) {
	octets := func(first byte, rest ...int) []byte {
		p := []byte{first}
		for _, r := range rest {
			p = append(p, byte(r))
		}
		return p
	}
	fill := func(p []byte, n int) []byte { return append(p, make([]byte, n)...) }
	const ms = Rate / 1000
	for _, tt := range []struct {
		name string
		p    []byte
		want toc
		bad  bool
	}{
		{"empty", nil, toc{}, true},
		{"SILK 10 ms", fill(octets(0), 9), toc{10 * ms, 10 * ms, false, false}, false},
		{"SILK 60 ms", fill(octets(3<<3), 9), toc{60 * ms, 60 * ms, false, false}, false},
		{"hybrid 20 ms", fill(octets(15<<3), 9), toc{20 * ms, 20 * ms, false, false}, false},
		{"CELT 2.5 ms", fill(octets(16<<3), 9), toc{120, 120, false, false}, false},
		{"CELT 20 ms", fill(octets(31<<3), 9), toc{20 * ms, 20 * ms, false, false}, false},
		{"DTX", octets(9 << 3), toc{20 * ms, 20 * ms, true, false}, false},
		{"DTX of two octets", octets(9<<3, 0), toc{20 * ms, 20 * ms, true, false}, false},
		{"copy, 20 ms", octets(9<<3, 0x40, 1, 2), toc{20 * ms, 20 * ms, false, true}, false},
		{"voice but no copy", octets(9<<3, 0x80, 1, 2), toc{20 * ms, 20 * ms, false, false}, false},
		{"copy, 60 ms", octets(11<<3, 0x10, 1, 2), toc{60 * ms, 60 * ms, false, true}, false},
		{"copy in the second channel", octets(9<<3|4, 0x10, 1, 2), toc{20 * ms, 20 * ms, false, true}, false},
		{"the same, mono", octets(9<<3, 0x10, 1, 2), toc{20 * ms, 20 * ms, false, false}, false},
		{"CELT has no copies", octets(31<<3, 0xff, 1, 2), toc{20 * ms, 20 * ms, false, false}, false},
		{"two equal frames", fill(octets(9<<3|1), 8), toc{40 * ms, 20 * ms, false, false}, false},
		{"two unequal, called equal", fill(octets(9<<3|1), 7), toc{}, true},
		{"two frames", fill(octets(9<<3|2, 3), 9), toc{40 * ms, 20 * ms, false, false}, false},
		{"two frames, copy", append(octets(9<<3|2, 3, 0x40, 0, 0), 1), toc{40 * ms, 20 * ms, false, true}, false},
		{"two frames, the first too long", fill(octets(9<<3|2, 10), 9), toc{}, true},
		{"two frames, no length", octets(9<<3 | 2), toc{}, true},
		{"two frames, half a length", octets(9<<3|2, 252), toc{}, true},
		{"three frames", fill(octets(9<<3|3, 3), 9), toc{60 * ms, 20 * ms, false, false}, false},
		{"three frames that do not divide", fill(octets(9<<3|3, 3), 8), toc{}, true},
		{"no frames", fill(octets(9<<3|3, 0), 8), toc{}, true},
		{"no count", octets(9<<3 | 3), toc{}, true},
		{"120 ms", fill(octets(9<<3|3, 6), 12), toc{120 * ms, 20 * ms, false, false}, false},
		{"140 ms", fill(octets(9<<3|3, 7), 14), toc{}, true},
		{"three of any length, padded", fill(octets(9<<3|3, 0xc3, 2, 1, 2, 0x40, 0, 0, 0, 0), 2), toc{60 * ms, 20 * ms, false, true}, false},
		{"padding beyond the end", fill(octets(9<<3|3, 0x43, 255, 9), 3), toc{}, true},
		{"padding without an end", octets(9<<3|3, 0x41, 255), toc{}, true},
		{"any length, too long", octets(9<<3|3, 0x83, 2, 100, 0, 0), toc{}, true},
		{"a frame that is too long", fill(octets(9<<3), 1276), toc{}, true},
	} {
		got, err := parseTOC(tt.p)
		if got != tt.want || errors.Is(err, errMalformed) != tt.bad {
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		}
	}
}

func TestRED(t *testing.T) {
	head := func(pt byte, back, n int) []byte {
		return []byte{0x80 | pt, byte(back >> 6), byte(back<<2) | byte(n>>8), byte(n)}
	}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	main := []byte{9 << 3, 1, 2}
	for _, tt := range []struct {
		name string
		p    []byte
		back []int64
		bad  bool
	}{
		{"nothing", nil, nil, true},
		{"primary alone", join([]byte{111}, main), nil, false},
		{"no primary", []byte{111}, nil, true},
		{"one block", join(head(111, 960, 2), []byte{111}, []byte{7, 8}, main), []int64{960}, false},
		{"two blocks", join(head(111, 1920, 2), head(111, 960, 1), []byte{111}, []byte{5, 6, 7}, main), []int64{1920, 960}, false},
		{"another payload type", join(head(13, 1920, 2), head(111, 960, 1), []byte{111}, []byte{5, 6, 7}, main), []int64{960}, false},
		{"an empty block", join(head(111, 1920, 0), head(111, 960, 1), []byte{111}, []byte{7}, main), []int64{960}, false},
		{"a block at the same time", join(head(111, 0, 1), []byte{111}, []byte{7}, main), nil, false},
		{"a block beyond the end", join(head(111, 960, 9), []byte{111}, []byte{7}, main), nil, true},
		{"half a header", []byte{0x80 | 111, 1}, nil, true},
		{"headers without an end", join(head(111, 960, 0), head(111, 960, 0)), nil, true},
		{"ten blocks", join(bytes.Repeat(head(111, 960, 1), 10), []byte{111}, make([]byte, 10), main), []int64{960, 960, 960, 960, 960, 960, 960, 960}, false},
	} {
		r, err := parseRED(tt.p)
		var back []int64
		for _, b := range r.blocks[:r.n] {
			back = append(back, b.back)
		}
		if errors.Is(err, errMalformed) != tt.bad || len(back) != len(tt.back) || !tt.bad && !bytes.Equal(r.primary, main) {
			t.Errorf("%s: %+v, %v", tt.name, r, err)
			continue
		}
		for i := range back {
			if back[i] != tt.back[i] {
				t.Errorf("%s: block %d is %d samples back", tt.name, i, back[i])
			}
		}
	}
}

func TestConfig(t *testing.T) {
	for _, tt := range []struct {
		c  Config
		ok bool
	}{
		{DefaultConfig(), true},
		{Config{Channels: 2}, true},
		{Config{}, false},
		{Config{Channels: 3}, false},
		{Config{Channels: 1, Start: -1}, false},
		{Config{Channels: 1, MinDelay: 2 * time.Second}, false},
		{Config{Channels: 1, MaxDelay: 2 * time.Second}, false},
		{Config{Channels: 1, MaxDelay: 2 * time.Second, MaxBuffered: 3 * time.Second}, true},
		{Config{Channels: 1, MaxPackets: 3}, false},
	} {
		if err := tt.c.Validate(); (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt.c, err)
		}
	}
}

// TestLimits sets limits while sound is played.
func TestLimits(t *testing.T) {
	p := newPlayer(t, voice(120))
	p.talk(300)
	for _, tt := range []struct{ least, most, base, want time.Duration }{
		{0, time.Second, 150 * time.Millisecond, 150 * time.Millisecond},
		{100 * time.Millisecond, time.Second, 0, 100 * time.Millisecond},
		{0, 60 * time.Millisecond, 150 * time.Millisecond, 60 * time.Millisecond},
		{0, time.Second, 0, 20 * time.Millisecond},
	} {
		if err := p.b.SetLimits(tt.least, tt.most, tt.base); err != nil {
			t.Fatal(err)
		}
		p.talk(400)
		delay := duration(p.b.now - p.b.delay.base.value - p.b.position() + 960)
		if p.b.Target() != tt.want || delay < tt.want-5*time.Millisecond || delay > tt.want+20*time.Millisecond {
			t.Errorf("%+v: target %v, delay %v", tt, p.b.Target(), delay)
		}
	}
	if p.b.SetLimits(2*time.Second, time.Second, 0) == nil {
		t.Error("limits that contradict each other were taken")
	}
	s := p.b.Stats()
	if s.ConcealedSamples+s.PacketsDiscarded > 0 || s.InsertedSamplesForDeceleration < 5000 || s.RemovedSamplesForAcceleration < 5000 {
		t.Errorf("%+v", s)
	}
}
