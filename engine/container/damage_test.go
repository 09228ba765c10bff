package container

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/castd/castd/engine/codec"
)

// checkDamaged cuts and damages a real file: one that is cut is told as such and gives all frames before the cut; one with damage inside
// gives what is good, and its frames go through packets, whatever is in them.
func checkDamaged(t *testing.T, path string, all []*Frame) {
	t.Helper()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, uint64(len(whole))))
	for range 10 {
		checkCut(t, whole, len(whole)/3+r.IntN(len(whole)/2), all)
	}
	for range 30 {
		damaged := bytes.Clone(whole)
		for range 1 + r.IntN(8) {
			at := r.IntN(len(damaged))
			damaged[at] ^= byte(1 << r.IntN(8))
		}
		sendThrough(t, damaged)
	}
}

// checkCut reads the first n octets of a file that holds all.
func checkCut(t *testing.T, whole []byte, n int, all []*Frame) {
	t.Helper()
	d, err := Open(bytes.NewReader(whole[:n]))
	if err != nil {
		t.Fatalf("cut at %d of %d: %v", n, len(whole), err)
	}
	got, err := readAll(d)
	var bad *FormatError
	if err != io.EOF && (!errors.As(err, &bad) || bad.Offset > int64(n)) {
		t.Fatalf("cut at %d: %v", n, err)
	}
	octets := 0
	for i, f := range got {
		octets += len(f.Data)
		if i >= len(all) || !bytes.Equal(f.Data, all[i].Data) || f.Time != all[i].Time {
			t.Fatalf("cut at %d: frame %d differs", n, i)
		}
	}
	// What is missing of what was there is at most the page or block that was cut, and what stands around frames.
	if missing := n - octets; missing > len(whole)/3+80000 {
		t.Fatalf("cut at %d: only %d octets of frames", n, octets)
	}
}

// sendThrough sends what is readable of a file through packetizers and puts it together again.
func sendThrough(t *testing.T, file []byte) {
	t.Helper()
	d, err := Open(bytes.NewReader(file))
	if err != nil {
		return
	}
	in, out := map[int]*codec.Packetizer{}, map[int]*codec.Depacketizer{}
	for _, track := range d.Tracks() {
		if p, err := codec.NewPacketizer(track.Codec, 0, track.Private); err == nil {
			in[track.ID] = p
			out[track.ID], _ = codec.NewDepacketizer(track.Codec)
		}
	}
	frames, err := readAll(d)
	if err == nil {
		t.Fatal("a file without an end")
	}
	for i, f := range frames {
		p := in[f.Track]
		if p == nil {
			continue
		}
		payloads, err := p.Packetize(f.Data, f.Discardable)
		if err != nil {
			continue
		}
		for _, b := range payloads {
			if frame, key, ok := out[f.Track].Push(b.Data, uint32(i), b.Marker, false); ok && key {
				codec.Dimensions("", frame)
			}
		}
	}
}
