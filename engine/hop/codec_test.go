package hop

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/secure"
	"github.com/castd/castd/engine/wire"
)

func TestParityRestoresAnyOne(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var g group
	r := newRecent()
	for round := range 2000 {
		first := uint16(rng.Uint32())
		n := 1 + rng.IntN(maxGroup)
		var pkts [][]byte
		for i := range n {
			p := originPacket(wire.KindVideo, uint64(100*round+i), wire.HeaderSize+rng.IntN(maxProtected-wire.HeaderSize+1))
			pkts = append(pkts, p)
			g.add(first+uint16(i), p)
		}
		b := g.append(nil)
		g.reset()
		lost := rng.IntN(n)
		*r = recent{}
		for i, p := range pkts {
			if i != lost {
				r.put(first+uint16(i), p)
			}
		}
		p, err := parseParity(b)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.restore(p); !bytes.Equal(got, pkts[lost]) {
			t.Fatalf("round %d: got %s, want %s", round, describe(got), describe(pkts[lost]))
		}
		if got := r.restore(p); got != nil {
			t.Fatal("restored the same packet twice")
		}
		if n > 1 {
			*r = recent{}
			for i, p := range pkts {
				if i > 1 {
					r.put(first+uint16(i), p)
				}
			}
			if got := r.restore(p); got != nil {
				t.Fatal("restored a packet of a group that lacks two")
			}
		}
	}
}

func FuzzParity(f *testing.F) {
	var g group
	g.add(65535, originPacket(wire.KindVideo, 1, 100))
	g.add(0, originPacket(wire.KindVideo, 2, 300))
	f.Add(g.append(nil), uint16(0))
	f.Add([]byte{0x1f}, uint16(9))
	f.Fuzz(func(t *testing.T, b []byte, sequence uint16) {
		p, err := parseParity(b)
		if err != nil {
			return
		}
		r := newRecent()
		for i := range uint16(recentSize / 2) {
			r.put(sequence+i, originPacket(wire.KindVideo, uint64(i), 22+int(i)*7))
		}
		if got := r.restore(p); got != nil && (len(got) < wire.HeaderSize || len(got) > wire.MaxPacket) {
			t.Errorf("restored %d octets", len(got))
		}
	})
}

func TestControlSplit(t *testing.T) {
	c := &wire.HopControl{Nacks: []*wire.Nack{{Stream: 3}}}
	for i := range 5000 {
		c.Nacks[0].Numbers = append(c.Nacks[0].Numbers, uint64(i)<<20)
	}
	parts, err := splitControl(c)
	if err != nil {
		t.Fatal(err)
	}
	var got []uint64
	for _, p := range parts {
		b := appendControl(nil, 1, p)
		if len(b) > maxControl || len(b)%4 != 0 {
			t.Errorf("a part has %d octets", len(b))
		}
		part, err := parseControl(b)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, part.GetNacks()[0].GetNumbers()...)
	}
	for i, n := range got {
		if n != uint64(i)<<20 {
			t.Fatalf("number %d is %d", i, n)
		}
	}
	if len(got) != 5000 {
		t.Errorf("%d numbers", len(got))
	}
	marks := &wire.HopControl{Pulse: &wire.Pulse{Stamp: 5, LossPermille: 6, Rooms: []*wire.RoomPulse{{Room: 1, Feeding: true}}}}
	for i := range 500 {
		marks.Pulse.Rooms[0].Marks = append(marks.Pulse.Rooms[0].Marks, &wire.StreamMark{Stream: uint64(i), Number: 1 << 40})
	}
	if parts, err = splitControl(marks); err != nil || len(parts) < 2 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	n := 0
	for _, p := range parts {
		part := new(wire.HopControl)
		if err := proto.Unmarshal(p, part); err != nil {
			t.Fatal(err)
		}
		if r := part.GetPulse().GetRooms()[0]; part.GetPulse().GetStamp() != 5 || part.GetPulse().GetLossPermille() != 6 ||
			!r.GetFeeding() || r.GetRoom() != 1 {
			t.Errorf("a part lacks what it should repeat: %v", part)
		}
		n += len(part.GetPulse().GetRooms()[0].GetMarks())
	}
	if n != 500 {
		t.Errorf("%d marks", n)
	}
}

func FuzzControl(f *testing.F) {
	msg, _ := proto.Marshal(&wire.HopControl{Pulse: &wire.Pulse{Stamp: 7}, Wishes: []*wire.KeyFrameWish{{Stream: 1}}})
	f.Add(appendControl(nil, 5, msg))
	f.Add(appendControl(nil, 5, nil))
	f.Add(appendControl(nil, 5, append(msg, 0x80)))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseControl(b)
		if err != nil {
			return
		}
		again, err := proto.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		d, err := parseControl(appendControl(nil, 1, again))
		if err != nil || !proto.Equal(c, d) {
			t.Errorf("%v became %v, %v", c, d, err)
		}
	})
}

func TestParseCandidate(t *testing.T) {
	const host = "1 1 udp 2130706431 "
	for _, c := range []struct {
		in   string
		ok   bool
		loop bool
	}{
		{host + "11.0.0.1 4000 typ host", true, false},
		{"candidate:" + host + "11.0.0.1 4000 typ host", true, false},
		{host + "2001:db8::1 4000 typ host", true, false},
		{host + "11.0.0.1 4000 typ srflx raddr 0.0.0.0 rport 0", true, false},
		{host + "127.0.0.1 4000 typ host", false, false},
		{host + "127.0.0.1 4000 typ host", true, true},
		{host + "::1 4000 typ host", false, false},
		{host + "::ffff:127.0.0.1 4000 typ host", false, false},
		{host + "169.254.1.1 4000 typ host", false, false},
		{host + "fe80::1 4000 typ host", false, false},
		{host + "fe80::1%eth0 4000 typ host", false, false},
		{host + "224.0.0.1 4000 typ host", false, false},
		{host + "ff02::1 4000 typ host", false, false},
		{host + "255.255.255.255 4000 typ host", false, false},
		{host + "0.0.0.0 4000 typ host", false, false},
		{host + "11.0.0.1 0 typ host", false, false},
		{host + "11.0.0.1 70000 typ host", false, false},
		{host + "3f1a.local 4000 typ host", false, false},
		{host + "example.org 4000 typ host", false, false},
		{host + "11.0.0.1 4000 typ relay raddr 1.2.3.4 rport 5", false, false},
		{"1 2 udp 2130706431 11.0.0.1 4000 typ host", false, false},
		{"1 1 tcp 2130706431 11.0.0.1 9 typ host tcptype active", false, false},
		{host + "11.0.0.1 4000 typ host " + strings.Repeat("x", 300), false, false},
		{"", false, false},
	} {
		if _, ok := parseCandidate(c.in, c.loop); ok != c.ok {
			t.Errorf("parseCandidate(%q, %v) = %v", c.in, c.loop, ok)
		}
	}
}

func TestParseTerms(t *testing.T) {
	print := secure.FormatFingerprint([32]byte{1, 2, 0xfe})
	pwd := strings.Repeat("p", 22)
	many := make([]string, 100)
	for i := range many {
		many[i] = "1 1 udp 2130706431 11.0.0.1 4000 typ host"
	}
	for _, c := range []struct {
		ufrag, pwd, print string
		candidates        []string
		want              error
	}{
		{"abcd", pwd, print, many[:1], nil},
		{"abcd", pwd, strings.ToLower(print), many, nil},
		{"abc", pwd, print, many, errCredentials},
		{"ab:d", pwd, print, many, errCredentials},
		{"abcd", pwd[1:], print, many, errCredentials},
		{"abcd", pwd, print[1:], many, errFingerprint},
		{"abcd", pwd, "sha-512" + print[7:], many, errFingerprint},
		{"abcd", pwd, strings.Replace(print, ":", "-", 1), many, errFingerprint},
		{"abcd", pwd, strings.Replace(print, "FE", "FG", 1), many, errFingerprint},
		{"abcd", pwd, print, nil, errCandidates},
		{"abcd", pwd, print, []string{"x"}, errCandidates},
	} {
		got, err := parseTerms(c.ufrag, c.pwd, c.print, c.candidates, false)
		if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
			t.Errorf("%+v: got %v, want %v", c, err, c.want)
		}
		if len(got.candidates) > maxCandidates {
			t.Errorf("%d candidates", len(got.candidates))
		}
	}
}

func FuzzCandidate(f *testing.F) {
	f.Add("candidate:1 1 udp 2130706431 11.0.0.1 4000 typ host")
	f.Add("1 1 udp 1 2001:db8::1 4000 typ srflx raddr 0.0.0.0 rport 0 generation 0")
	f.Fuzz(func(t *testing.T, s string) {
		c, ok := parseCandidate(s, false)
		if !ok {
			return
		}
		if _, ok := parseCandidate(c.Marshal(), false); !ok {
			t.Errorf("%q is accepted, what it is written as is not: %q", s, c.Marshal())
		}
		if strings.HasSuffix(c.Address(), ".local") {
			t.Errorf("%q needs a resolver", s)
		}
	})
}

func FuzzFingerprint(f *testing.F) {
	f.Add(secure.FormatFingerprint([32]byte{9}))
	f.Fuzz(func(t *testing.T, s string) {
		if sum, err := parseFingerprint(s); err == nil && !strings.EqualFold(secure.FormatFingerprint(sum), s) {
			t.Errorf("%q reads as %x", s, sum)
		}
	})
}

func TestLossMeter(t *testing.T) {
	now := time.Unix(1000, 0)
	var m lossMeter
	var got uint32
	run := func(d time.Duration, keep func(i int) bool) {
		for i := range int(d / (10 * time.Millisecond)) {
			now = now.Add(10 * time.Millisecond)
			m2 := uint16(now.UnixMilli() / 10)
			if keep(i) {
				got = m.packet(now, i%1, m2)
			}
		}
	}
	run(5*time.Second, func(int) bool { return true })
	if got != 0 {
		t.Errorf("%d ‰ without loss", got)
	}
	run(5*time.Second, func(i int) bool { return i%10 != 3 })
	if got < 90 || got > 110 {
		t.Errorf("%d ‰ at a loss of 10 %%", got)
	}
	run(3*time.Second, func(int) bool { return true })
	if got != 0 {
		t.Errorf("%d ‰ three seconds after the last loss", got)
	}
	// Reordering is not loss.
	base := uint16(now.UnixMilli() / 10)
	for i := range uint16(400) {
		now = now.Add(10 * time.Millisecond)
		got = max(got, m.packet(now, 0, base+(i^1)+2))
	}
	if got > 10 {
		t.Errorf("%d ‰ of packets that were only swapped", got)
	}
}
