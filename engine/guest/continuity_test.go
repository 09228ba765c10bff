package guest

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// layerPacket is a picture in one packet: number n of its encoding, with these numbers of pictures.
func layerPacket(st *engine.StreamState, n uint64, key bool, frame, picture uint16, base, keyIdx byte) *packet {
	h := wire.Header{Kind: st.Kind, Stream: st.ID, Number: n, Timestamp: uint32(n) * 6000, Marker: true, KeyFrame: key, FrameStart: true}
	h.Ext = wire.AppendExtension(nil, wire.ExtDependencyDescriptor, []byte{0xC0, byte(frame >> 8), byte(frame), 0x80, 0x01})
	payload := []byte{0x90, 0xF0, 0x80 | byte(picture>>8), byte(picture), base, keyIdx, 0x50, 0x36, 0, 0x9d, 1, 0x2a}
	return &packet{stream: st, header: h, payload: payload}
}

// TestPictureNumbersGoOn: after a change to another encoding, and where a group of pictures comes again, the numbers of pictures go on as
// those of one encoder would. Two encodings of a camera share the frame numbers, and of two key frames at a time the larger one's is the
// lower: a browser dropped it when it had seen that of the smaller one, and the picture stood still until the next.
func TestPictureNumbersGoOn(t *testing.T) {
	track, out, small := senderOn(t, wire.KindVideo, srtp.ProtectionProfileAeadAes128Gcm)
	key := make([]byte, 28)
	there, err := srtp.CreateContext(key[:16], key[16:], srtp.ProtectionProfileAeadAes128Gcm)
	if err != nil {
		t.Fatal(err)
	}
	if out.srtp, err = srtp.CreateContext(key[:16], key[16:], srtp.ProtectionProfileAeadAes128Gcm); err != nil {
		t.Fatal(err)
	}
	track.ext[uriDependency] = 2
	got := make(chan []byte, 100)
	out.path.Socket.Claim(out.path.Remote, receiver(got))
	arrives := func() (frame, picture uint16, base, keyIdx byte) {
		t.Helper()
		var b []byte
		select {
		case b = <-got:
		case <-time.After(20 * time.Second):
			t.Fatal("nothing came")
		}
		var h rtp.Header
		plain, err := there.DecryptRTP(nil, b, &h)
		if err != nil {
			t.Fatal(err)
		}
		d, p := h.GetExtension(2), plain[h.MarshalSize():]
		if len(d) != 5 || d[0] != 0xC0 || d[3] != 0x80 || d[4] != 0x01 || p[2]&0x80 == 0 || !bytes.Equal(p[6:], []byte{0x50, 0x36, 0, 0x9d, 1, 0x2a}) {
			t.Fatalf("descriptor %x, payload %x", d, p)
		}
		return binary.BigEndian.Uint16(d[1:]), binary.BigEndian.Uint16(p[2:]) & 0x7FFF, p[4], p[5]
	}
	large := &engine.StreamState{ID: 2, Kind: wire.KindVideo, Codec: codecVP8}
	group := func(backlog bool) []*packet {
		g := []*packet{layerPacket(large, 70, true, 1000, 9, 3, 0x1F), layerPacket(large, 71, false, 1002, 10, 4, 0xDF)}
		for _, p := range g {
			p.backlog, p.liveTime = backlog, 71*6000
		}
		return g
	}
	packets := append([]*packet{layerPacket(small, 50, false, 0xFFFE, 0x7FFF, 0xFF, 3)}, []*packet{
		layerPacket(small, 51, true, 1001, 0x7FFE, 200, 3), layerPacket(small, 52, false, 1003, 0x7FFF, 201, 0x83),
	}...)
	packets = append(packets, group(false)...)
	packets = append(packets, group(true)...) // asked for again
	packets = append(packets, layerPacket(large, 73, false, 1006, 12, 5, 0x1F))
	for i, p := range packets {
		if track.ready(p) {
			track.send(p, time.Duration(i)*66*time.Millisecond, out)
		}
	}
	out.batch.Flush()
	type numbers struct {
		frame, picture uint16
		base, key      byte
	}
	want := []numbers{
		{1001, 0x7FFE, 200, 3}, {1003, 0x7FFF, 201, 0x83}, // what comes first comes as it is
		{1004, 0, 202, 4}, {1006, 1, 203, 0xC4},
		{1007, 2, 204, 5}, {1009, 3, 205, 0xC5}, {1013, 5, 206, 5},
	}
	for i, w := range want {
		var g numbers
		if g.frame, g.picture, g.base, g.key = arrives(); g != w {
			t.Errorf("picture %d has %+v, want %+v", i, g, w)
		}
	}
	// What is sent again is the same.
	if n := track.resend([]uint16{track.line.seq}, time.Second, out); n != 1 {
		t.Fatalf("%d sent again", n)
	}
	out.batch.Flush()
	var g numbers
	if g.frame, g.picture, g.base, g.key = arrives(); g != want[len(want)-1] {
		t.Errorf("sent again %+v, want %+v", g, want[len(want)-1])
	}
}

// TestShortPictureID: seven bits stay seven bits, and go on.
func TestShortPictureID(t *testing.T) {
	var c continuity
	picture := func(cut bool, id byte) byte {
		b := []byte{0x90, 0x80, id, 0x50}
		r := c.next(cut, true, b, nil)
		r.payload(b)
		if b[0] != 0x90 || b[1] != 0x80 || b[3] != 0x50 {
			t.Fatalf("%x", b)
		}
		return b[2]
	}
	for i, p := range []struct {
		cut      bool
		in, want byte
	}{{true, 126, 126}, {false, 127, 127}, {false, 0, 0}, {true, 77, 1}, {false, 78, 2}, {true, 127, 3}, {false, 1, 5}} {
		if got := picture(p.cut, p.in); got != p.want {
			t.Errorf("picture %d: %d became %d, want %d", i, p.in, got, p.want)
		}
	}
}

// FuzzContinuity: nothing but the numbers of a payload is changed, whatever it is.
func FuzzContinuity(f *testing.F) {
	f.Add([]byte{0x90, 0xF0, 0x81, 2, 3, 4, 0x50}, []byte{0xC0, 1, 2}, uint16(7))
	f.Add([]byte{0x90, 0x80, 2, 0x50}, []byte{}, uint16(1))
	f.Add([]byte{0x90, 0xF0, 0x81}, []byte{0xC0, 1}, uint16(1))
	f.Fuzz(func(t *testing.T, payload, dependency []byte, n uint16) {
		c := continuity{}
		c.next(true, true, []byte{0x90, 0xF0, 0x80 | byte(n>>8), byte(n), byte(n), byte(n), 0x50}, []byte{0, byte(n >> 8), byte(n)})
		r := c.next(true, true, payload, dependency)
		b, d := bytes.Clone(payload), bytes.Clone(dependency)
		r.payload(b)
		r.dependency(d)
		was, is := numbersOfVP8(payload), numbersOfVP8(b)
		if was != is {
			t.Fatalf("%x became %x", payload, b)
		}
		if len(d) >= 3 && binary.BigEndian.Uint16(d[1:]) != n+1 {
			t.Fatalf("%x became %x after %d", dependency, d, n)
		}
		if was.base > 0 && b[was.base] != byte(n)+1 {
			t.Fatalf("%x became %x after %d", payload, b, n)
		}
		for i := range b {
			number := i == was.picture || was.long && i == was.picture+1 || i == was.base || i == was.key
			if b[i] != payload[i] && (i < 2 || !number) {
				t.Fatalf("octet %d of %x became %x", i, payload, b)
			}
		}
	})
}
