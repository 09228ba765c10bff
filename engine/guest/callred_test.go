package guest

import (
	"bytes"
	"testing"

	"github.com/castd/castd/engine"
)

// TestLossGauge: much loss counts at once, little only when it lasts.
func TestLossGauge(t *testing.T) {
	var g lossGauge
	for _, c := range []struct {
		percent float64
		times   int
		want    bool
	}{{0, 3, false}, {7, 3, false}, {9, 1, true}, {5, 30, true}, {1, calmReports - 1, true}, {5, 1, true}, {1, calmReports - 1, true}, {1, 1, false}, {20, 1, true}} {
		for range c.times {
			g.note(c.percent)
		}
		if g.high != c.want {
			t.Errorf("after %d reports of %.0f %%: %v, want %v", c.times, c.percent, g.high, c.want)
		}
	}
}

// TestWithEarlier: each packet has the ones before beside it, where they follow on one another and fit.
func TestWithEarlier(t *testing.T) {
	c := &caller{opus: 111, red: 63}
	packet := func(n int64, payload string) *engine.MediaPacket {
		return &engine.MediaPacket{Sequence: n, Timestamp: uint32(n) * 960, Payload: []byte(payload)}
	}
	say := func(p *engine.MediaPacket) []byte {
		b := c.withEarlier(p)
		copy(c.earlier[1:], c.earlier[:])
		c.earlier[0] = p
		if block, ok := primaryBlock(b); !ok || !bytes.Equal(block, p.Payload) {
			t.Errorf("packet %d: primary %q in %q", p.Sequence, block, b)
		}
		return b
	}
	long := string(bytes.Repeat([]byte{'x'}, 1024))
	for _, s := range []struct {
		n             int64
		payload, want string
	}{
		{1, "one", "\x6fone"},
		{2, "two", "\xef\x0f\x00\x03\x6fonetwo"}, // 960 samples before
		{3, "drei", "\xef\x1e\x00\x03\xef\x0f\x00\x03\x6fonetwodrei"},
		{5, "five", "\x6ffive"}, // 4 is missing
		{6, long, "\xef\x0f\x00\x04\x6ffive" + long},
		{7, "seven", "\xef\x1e\x00\x04\x6ffiveseven"}, // 6 is too long
	} {
		if got := say(packet(s.n, s.payload)); string(got) != s.want {
			t.Errorf("packet %d: %q, want %q", s.n, got, s.want)
		}
	}
	far := packet(8, "far")
	far.Timestamp += 1 << 14
	if got := say(far); string(got) != "\x6ffar" {
		t.Errorf("a packet far after: %q", got)
	}
}
