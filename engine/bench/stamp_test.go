package bench

import (
	"bytes"
	"testing"
	"time"

	"github.com/pion/rtp/codecs"
)

func TestStamp(t *testing.T) {
	for _, s := range []stamp{
		{},
		{publisher: 255, kind: video, counter: 1<<64 - 1, sent: 1<<63 - 1},
		{publisher: 3, kind: audio, counter: 12345, sent: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC).UnixNano()},
	} {
		b := bytes.Repeat([]byte{0xaa}, stampSize+7)
		s.put(b)
		if got, ok := readStamp(b); !ok || got != s {
			t.Errorf("got %+v, %v; want %+v", got, ok, s)
		}
		if !bytes.Equal(b[:7], bytes.Repeat([]byte{0xaa}, 7)) {
			t.Errorf("the stamp is longer than its place: %x", b)
		}
	}
	for _, b := range [][]byte{nil, make([]byte, stampSize), make([]byte, stampSize-1), make([]byte, 1200)} {
		if s, ok := readStamp(b); ok {
			t.Errorf("a stamp in %d zeros: %+v", len(b), s)
		}
	}
}

// TestPictures looks at a minute of what is sent as a receiver would.
func TestPictures(t *testing.T) {
	const bitrate = 1_500_000
	p := &publisher{pictureSize: bitrate / 8 / pictureRate, sinceKey: keyEvery, run: &run{}}
	packets, octets, keys, pictures := 0, 0, 0, 0
	first := true
	p.sink = func(b []byte) {
		packets++
		octets += len(b) - 12
		var d codecs.VP8Packet
		body, err := d.Unmarshal(b[12:])
		if err != nil {
			t.Fatal(err)
		}
		if (d.S == 1) != first {
			t.Fatalf("packet %d: start %d, want %v", packets, d.S, first)
		}
		if d.PictureID != uint16(pictures+1) || d.I != 1 || d.T != 1 {
			t.Fatalf("packet %d: picture id %d of picture %d", packets, d.PictureID, pictures+1)
		}
		if first {
			tag := int(body[0]) | int(body[1])<<8 | int(body[2])<<16
			if key := tag&1 == 0; key != vp8KeyFrame(b[12:]) {
				t.Fatalf("packet %d: key %v, said to be %v", packets, key, vp8KeyFrame(b[12:]))
			} else if key {
				keys++
				if !bytes.Equal(body[3:6], []byte{0x9d, 0x01, 0x2a}) {
					t.Fatalf("start code %x", body[3:6])
				}
			}
			if partition := tag >> 5; partition+10+stampSize > len(body) {
				t.Fatalf("the first partition has %d octets of %d", partition, len(body))
			}
		} else if vp8KeyFrame(b[12:]) {
			t.Fatalf("packet %d begins a key frame", packets)
		}
		if s, ok := readStamp(b[12:]); !ok || s.counter != uint64(packets-1) || s.kind != video {
			t.Fatalf("packet %d: stamp %+v, %v", packets, s, ok)
		}
		if first = b[1]&0x80 != 0; first {
			pictures++
		}
	}
	for range 60 * pictureRate {
		p.sendPicture()
	}
	if pictures != 60*pictureRate || keys != 60*pictureRate/keyEvery {
		t.Errorf("%d pictures, %d of them key frames", pictures, keys)
	}
	if perSecond := packets / 60; perSecond < 180 || perSecond > 200 {
		t.Errorf("%d packets a second", perSecond)
	}
	if rate := octets * 8 / 60; rate < bitrate*97/100 || rate > bitrate*103/100 {
		t.Errorf("%d bit/s, want %d", rate, bitrate)
	}
}

// TestKeyFrameWhenWanted checks that a wish is served soon, but not more often than an encoder would.
func TestKeyFrameWhenWanted(t *testing.T) {
	p := &publisher{pictureSize: 6000, sinceKey: keyEvery, run: &run{}}
	var keys []int
	picture := 0
	p.sink = func(b []byte) {
		if vp8KeyFrame(b[12:]) {
			keys = append(keys, picture)
		}
	}
	for picture = range 20 {
		p.wanted.Store(picture >= 1 && picture <= 14)
		p.sendPicture()
	}
	if len(keys) != 3 || keys[0] != 0 || keys[1] != keyGap || keys[2] != 2*keyGap {
		t.Errorf("key frames at %v", keys)
	}
}

func FuzzPayload(f *testing.F) {
	b := make([]byte, 100)
	stamp{kind: video, counter: 7}.put(b)
	f.Add(b)
	f.Add([]byte{0x90, 0xe0, 0x80, 1, 1, 0, 0x10})
	f.Add([]byte{0xb1, 111, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0xbe, 0xde, 0, 1, 9, 9, 9, 9, 5, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		vp8KeyFrame(b)
		if s, ok := readStamp(b); ok {
			again := bytes.Clone(b)
			s.put(again)
			if !bytes.Equal(again, b) {
				t.Errorf("%x became %x", b, again)
			}
		}
		if payload, ok := payloadOf(b); ok && (len(payload) == 0 || len(payload) > len(b)-12) {
			t.Errorf("a payload of %d octets in a packet of %d", len(payload), len(b))
		}
		if len(b) >= 12 {
			v := &viewer{run: &run{}, tracks: map[trackKey]*track{}, endpoint: &endpoint{}}
			v.packet(b, time.Now())
			v.readReports(b)
		}
	})
}
