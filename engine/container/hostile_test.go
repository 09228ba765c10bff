package container

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/castd/castd/engine/codec"
)

func octets(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// matroskaHead is an EBML header, a Segment of unknown size, and one Opus track with the number 1 and frames of 20 ms.
func matroskaHead(track ...byte) []byte {
	track = append(track, appendUint(nil, idTrackNumber, 1)...)
	track = appendUint(track, idTrackType, typeAudio)
	track = appendString(track, idCodecID, "A_OPUS")
	b := master(nil, idEBML, appendString(nil, idDocType, "webm"))
	b = appendUnknown(b, idSegment)
	return master(b, idTracks, master(nil, idTrackEntry, track))
}

func cluster(elements ...[]byte) []byte {
	return append(appendUint(appendUnknown(nil, idCluster), idTimestamp, 1000), bytes.Join(elements, nil)...)
}

func simple(b string) []byte { return master(nil, idSimpleBlock, []byte(b)) }

// stream describes frames compactly.
func stream(frames []*Frame) string {
	var s []string
	for _, f := range frames {
		s = append(s, f.Time.String()+" "+hex.EncodeToString(f.Data))
	}
	return strings.Join(s, ", ")
}

func TestMatroska(t *testing.T) {
	head := matroskaHead()
	stripped := master(nil, idContentEncodings, master(nil, idContentEncoding, master(nil, idCompression,
		append(appendUint(nil, idCompAlgo, 3), master(nil, idCompSettings, []byte{0x78})...))))
	deflated := master(nil, idContentEncodings, master(nil, idContentEncoding, master(nil, idCompression, appendUint(nil, idCompAlgo, 0))))
	for _, c := range []struct {
		name string
		file []byte
		want string // frames
		err  string // part of the error; empty for a clean end
	}{
		{"blocks", cluster(simple("\x81\x00\x05\x80\x78A"), simple("\x81\xff\xff\x80\x78B")), "1.005s 7841, 999ms 7842", ""},
		{"block of another track", cluster(simple("\x82\x00\x05\x80\x78A"), simple("\x81\x00\x00\x80\x78B")), "1s 7842", ""},
		{"xiph lacing", cluster(simple("\x81\x00\x00\x82\x02\x02\x01\x78A\x78\x78C")), "1s 7841, 1.02s 78, 1.04s 7843", ""},
		{"fixed lacing", cluster(simple("\x81\x00\x00\x84\x01\x78A\x78B")), "1s 7841, 1.02s 7842", ""},
		{"ebml lacing", cluster(simple("\x81\x00\x00\x86\x02\x82\xbe\x78A\x78\x78CC")), "1s 7841, 1.02s 78, 1.04s 784343", ""},
		{"ebml lacing that goes below zero", cluster(simple("\x81\x00\x00\x86\x02\x82\x80\x78A\x78\x78CC")), "", "malformed lacing"},
		{"fixed lacing that does not divide", cluster(simple("\x81\x00\x00\x84\x01\x78A\x78")), "", "malformed lacing"},
		{"xiph lacing beyond the end", cluster(simple("\x81\x00\x00\x82\x01\xff\x78A")), "", "malformed lacing"},
		{"lacing of nothing", cluster(simple("\x81\x00\x00\x82")), "", "malformed lacing"},
		{"block group", cluster(master(nil, idBlockGroup, master(appendUint(nil, idBlockDuration, 20), idBlock, []byte("\x81\x00\x01\x00\x78A")))), "1.001s 7841", ""},
		{"group without block", cluster(master(nil, idBlockGroup, appendUint(nil, idBlockDuration, 20))), "", "no Block"},
		{"two clusters, cues between", append(append(cluster(simple("\x81\x00\x00\x80\x78A")), master(nil, idCues, make([]byte, 99))...), cluster(simple("\x81\x00\x00\x80\x78B"))...), "1s 7841, 1s 7842", ""},
		{"void and crc inside", cluster(master(nil, idVoid, make([]byte, 300)), simple("\x81\x00\x00\x80\x78A"), master(nil, idCRC, make([]byte, 4))), "1s 7841", ""},
		{"cluster of known size", master(nil, idCluster, append(appendUint(nil, idTimestamp, 7), simple("\x81\x00\x00\x80\x78A")...)), "7ms 7841", ""},
		{"block larger than its cluster", master(nil, idCluster, append(appendUint(nil, idTimestamp, 7), 0xa3, 0x90, 0x81)), "", "larger than the Cluster"},
		{"cluster cut", append(appendSize(appendID(nil, idCluster), 50), append(appendUint(nil, idTimestamp, 7), simple("\x81\x00\x00\x80\x78A")...)...), "7ms 7841", "39 octets are missing"},
		{"block cut", cluster(simple("\x81\x00\x00\x80\x78A"), []byte{0xa3, 0x86, 0x81, 0, 0, 0x80}), "1s 7841", "cut inside a block"},
		{"no timestamp", append(appendUnknown(nil, idCluster), simple("\x81\x00\x00\x80\x78A")...), "", "before its timestamp"},
		{"timestamp beyond time", append(appendUint(appendUnknown(nil, idCluster), idTimestamp, math.MaxUint64), 0), "", "out of range"},
		{"block of 70 GB", cluster([]byte{0xa3, 0x08, 0x10, 0, 0, 0, 0, 0, 0}), "", "no element"},
		{"block too large", cluster([]byte{0xa3, 0x01, 0, 0, 0x10, 0, 0, 0, 0}), "", "larger than 16777216"},
		{"block too small", cluster(simple("\x81\x00")), "", "too short"},
		{"garbage", cluster(simple("\x81\x00\x00\x80\x78A"), []byte{0, 0, 0}), "1s 7841", "no element begins here"},
		{"second file", append(cluster(simple("\x81\x00\x00\x80\x78A")), head...), "1s 7841", "second file"},
		{"stripped headers", append([]byte("REPLACE"), append(matroskaHead(stripped...), cluster(simple("\x81\x00\x00\x80A"))...)...), "1s 7841", ""},
		{"compressed", append([]byte("REPLACE"), append(matroskaHead(deflated...), cluster(simple("\x81\x00\x00\x80A"))...)...), "", "compressed (method 0)"},
	} {
		file, replaced := bytes.CutPrefix(c.file, []byte("REPLACE"))
		if !replaced {
			file = append(bytes.Clone(head), c.file...)
		}
		if c.name == "block of 70 GB" {
			file = append(bytes.Clone(head), cluster([]byte{0xa3, 0x02, 0x10, 0, 0, 0, 0, 0})...)
			c.err = "larger than 16777216"
		}
		d, err := Open(bytes.NewReader(file))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		frames, err := readAll(d)
		if got := stream(frames); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		var bad *FormatError
		switch {
		case c.err == "" && err != io.EOF:
			t.Errorf("%s: %v", c.name, err)
		case c.err != "" && (!errors.As(err, &bad) || !strings.Contains(bad.What, c.err) || bad.Offset < int64(len(matroskaHead())) || !strings.HasPrefix(err.Error(), "at byte ")):
			t.Errorf("%s: %v, want %q", c.name, err, c.err)
		}
		if _, again := d.Next(); again != err {
			t.Errorf("%s: the error changed from %v to %v", c.name, err, again)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	ebml := func(doc string) []byte { return master(nil, idEBML, appendString(nil, idDocType, doc)) }
	for _, c := range []struct {
		name string
		file []byte
		err  string
	}{
		{"empty", nil, "the file is empty"},
		{"text", []byte("hello, this is not media"), `this is no media file that castd knows: it begins with "hello, t"`},
		{"one octet", []byte{0}, "it begins with the octets 00"},
		{"mp4", []byte("\x00\x00\x00\x20ftypisom"), "castd does not read MP4 files"},
		{"other ebml", append(ebml("potato"), 0), `neither WebM nor Matroska: its type is "potato"`},
		{"only a header", ebml("webm"), "at byte 12: the file is cut"},
		{"no segment", append(ebml("webm"), 0xa3, 0x80), "a Segment should begin"},
		{"header too large", []byte{0x1a, 0x45, 0xdf, 0xa3, 0x10, 0x20, 0, 0}, "at byte 0: the EBML header of 2097152 octets is larger"},
		{"header of unknown size", []byte{0x1a, 0x45, 0xdf, 0xa3, 0xff}, "no size"},
		{"no media", matroskaHead(), "ends before any media"},
		{"no tracks", append(appendUnknown(ebml("webm"), idSegment), cluster()...), "before any tracks"},
		{"empty tracks", append(master(appendUnknown(ebml("webm"), idSegment), idTracks, nil), cluster()...), "neither audio nor video"},
		{"scale of zero", master(appendUnknown(ebml("webm"), idSegment), idInfo, appendUint(nil, idTimestampScale, 0)), "impossible scale"},
		{"child beyond its parent", master(appendUnknown(ebml("webm"), idSegment), idTracks, []byte{0xae, 0x90}), "larger than the one around it"},
		{"ogg, cut", []byte("OggS\x00\x02aaaaaaaaaa"), "at byte 16: the file is cut inside an Ogg page header"},
		{"ogg, wrong sum", append([]byte("OggS\x00\x02"), make([]byte, 21)...), "at byte 0: Ogg page checksum is wrong"},
		{"ivf, cut", []byte("DKIF\x00\x00\x20\x00VP80"), "at byte 12: the file is cut inside the IVF header"},
		{"ivf without rate", append([]byte("DKIF\x00\x00\x20\x00VP80"), make([]byte, 20)...), "no frame rate"},
	} {
		_, err := Open(bytes.NewReader(c.file))
		if err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %q", c.name, err, c.err)
		}
	}
	broken := errors.New("broken pipe")
	if _, err := Open(io.MultiReader(bytes.NewReader(matroskaHead()[:20]), failing{broken})); !errors.Is(err, broken) {
		t.Errorf("reader's own error: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// A file that announces much and has little costs little.
func TestMemoryIsBounded(t *testing.T) {
	block := cluster([]byte{0xa3, 0x10, 0xff, 0xff, 0xff, 1, 2, 3}) // nearly 16 MiB
	for name, file := range map[string][]byte{
		"block":   append(matroskaHead(), block...),
		"header":  append(master(nil, idEBML, appendString(nil, idDocType, "webm")), 0x18, 0x53, 0x80, 0x67, 0xff, 0x16, 0x54, 0xae, 0x6b, 0x10, 0x0f, 0xff, 0xff),
		"segment": append(master(nil, idEBML, appendString(nil, idDocType, "webm")), 0x18, 0x53, 0x80, 0x67, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe),
		"ivf":     append(append([]byte("DKIF\x00\x00\x20\x00VP80\x10\x00\x10\x00\x1e\x00\x00\x00\x01\x00\x00\x00"), make([]byte, 8)...), 0, 0, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		d, err := Open(bytes.NewReader(file))
		if err == nil {
			_, err = readAll(d)
		}
		runtime.ReadMemStats(&after)
		var bad *FormatError
		if !errors.As(err, &bad) {
			t.Errorf("%s: %v", name, err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%s: took %d octets of memory", name, n)
		}
	}
}

// An octet that is changed never goes unnoticed in Ogg, and every error has a place inside the file.
func TestOggDamage(t *testing.T) {
	var b bytes.Buffer
	o, err := NewOggWriter(&b, 1, 312, 5)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if err := o.WritePacket([]byte{0x78, byte(i)}, time.Duration(i)*20*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	_ = o.Close()
	file := b.Bytes()
	for i := range file {
		damaged := bytes.Clone(file)
		damaged[i] ^= 0x40
		d, err := Open(bytes.NewReader(damaged))
		if err == nil {
			_, err = readAll(d)
		}
		var bad *FormatError
		if !errors.As(err, &bad) && i >= 4 || bad != nil && bad.Offset > int64(len(file)) || err == io.EOF {
			t.Fatalf("octet %d changed: %v", i, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	file, _ := recording(f, 1, true)
	f.Add(file[:600])
	f.Add(append(matroskaHead(), cluster(simple("\x81\x00\x00\x86\x02\x82\xbe\x78A\x78\x78CC"))...))
	f.Add(append(append([]byte("DKIF\x00\x00\x20\x00VP80\x10\x00\x10\x00\x1e\x00\x00\x00\x01\x00\x00\x00"), make([]byte, 8)...), 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3))
	f.Add(append([]byte("DKIF\x00\x00\x20\x00H264\x10\x00\x10\x00\x1e\x00\x00\x00\x01\x00\x00\x00"), append(make([]byte, 8), 40, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x0a, 0xd9, 0x0a, 0x35, 0, 0, 0, 1, 0x68, 0xce, 0x38, 0x80, 0, 0, 0, 1, 0x65, 0x88, 0x84, 0, 0x10)...))
	for _, file := range foreignSeeds() {
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file []byte) { exercise(t, file) })
}

// FuzzOgg mends the checksums of what it is given, so that the fuzzer reaches what is behind them.
func FuzzOgg(f *testing.F) {
	var b bytes.Buffer
	o, _ := NewOggWriter(&b, 1, 312, 5)
	for i := range 3 {
		_ = o.WritePacket([]byte{0x78, byte(i)}, time.Duration(i)*40*time.Millisecond)
	}
	_ = o.Close()
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, file []byte) {
		file = bytes.Clone(file)
		for at := 0; at+pageHeaderSize <= len(file); {
			copy(file[at:], "OggS\x00")
			end := at + pageHeaderSize + int(file[at+26])
			for i := at + pageHeaderSize; i < min(end, len(file)); i++ {
				end += int(file[i])
			}
			end = min(end, len(file))
			copy(file[at+22:], "\x00\x00\x00\x00")
			sum := oggSum(oggTable(), 0, file[at:end])
			copy(file[at+22:], []byte{byte(sum), byte(sum >> 8), byte(sum >> 16), byte(sum >> 24)})
			at = end
		}
		exercise(t, file)
	})
}

func exercise(t *testing.T, file []byte) {
	d, err := Open(bytes.NewReader(file))
	if err == nil {
		var frames []*Frame
		frames, err = readAll(d)
		octets := 0
		for _, f := range frames {
			octets += len(f.Data)
		}
		if octets > 2*len(file)+1024*len(frames) {
			t.Fatalf("%d octets of frames out of a file of %d", octets, len(file))
		}
		for _, track := range d.Tracks() {
			if _, err := codec.NewPacketizer(track.Codec, 0, track.Private); err != nil {
				continue
			}
		}
	}
	var bad *FormatError
	var foreign *ForeignError
	if errors.As(err, &foreign) {
		if (foreign.Container == "") != (foreign.Begins != "") || len(foreign.Tracks) > maxTracks {
			t.Fatalf("error %+v", foreign)
		}
		return
	}
	if err != io.EOF && (!errors.As(err, &bad) || bad.Offset > int64(len(file))) {
		t.Fatalf("error %v", err)
	}
}
