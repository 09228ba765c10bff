package protocol

import (
	"bytes"
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"
)

func someMedia() []Media {
	return []Media{
		{Track: 1, Number: 7, Timestamp: 960, WallUs: 1_700_000_000_000_000, ArrivedUs: 1_700_000_000_010_000, Marker: true, Level: 30, Voice: true, Payload: []byte{1, 2, 3}},
		{Track: 300, Number: 1 << 40, Timestamp: 1<<32 - 1, Backlog: true, Payload: bytes.Repeat([]byte{9}, 1400)},
		{},
	}
}

// TestMediaIsProtobuf compares what is written by hand with what the generated code reads and writes.
func TestMediaIsProtobuf(t *testing.T) {
	var b []byte
	for _, m := range someMedia() {
		b = AppendToPlugin(b, &m)
	}
	b, err := Append(b, &ToPlugin{Number: 3, TimeUs: 5, Gaps: []*Gap{{Track: 1, First: 2, Last: 4}}})
	if err != nil {
		t.Fatal(err)
	}
	var all ToPlugin
	if err := proto.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	for i, m := range someMedia() {
		p := all.Packets[i]
		if got := (Media{
			Track: p.Track, Number: p.Number, Timestamp: p.Timestamp, WallUs: p.WallUs, ArrivedUs: p.ArrivedUs, Marker: p.Marker,
			Level: uint8(p.Level), Voice: p.Voice, Backlog: p.Backlog, Payload: p.Payload,
		}); !reflect.DeepEqual(got, m) {
			t.Errorf("packet %d is %+v", i, got)
		}
	}
	again, err := proto.Marshal(&all)
	if err != nil {
		t.Fatal(err)
	}
	var m ToPluginMessage
	for _, text := range [][]byte{b, again, b} { // a message is used again
		if err := m.Parse(text); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(m.Media, someMedia()) || m.Number != 3 || m.TimeUs != 5 || len(m.Gaps) != 1 || m.Gaps[0].Last != 4 {
			t.Errorf("parsed as %+v", &m)
		}
	}
}

func TestParseAllocatesNothingPerPacket(t *testing.T) {
	var b []byte
	for range 500 {
		b = AppendToPlugin(b, &Media{Track: 4, Number: 900, Timestamp: 960, Payload: make([]byte, 100)})
	}
	var m ToPluginMessage
	if err := m.Parse(b); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(10, func() { _ = m.Parse(b) }); n > 5 {
		t.Errorf("%v allocations for 500 packets", n)
	}
}

func FuzzParse(f *testing.F) {
	var b []byte
	for _, m := range someMedia() {
		b = AppendFromPlugin(AppendToPlugin(b, &m), &m)
	}
	b, _ = Append(b, &ToPlugin{Number: 3, Begin: &Begin{Room: &Room{Id: "x"}}})
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var to ToPluginMessage
		if to.Parse(b) == nil {
			var out []byte
			for i := range to.Media {
				out = AppendToPlugin(out, &to.Media[i])
			}
			var again ToPluginMessage
			if err := again.Parse(out); err != nil || len(again.Media) != len(to.Media) {
				t.Fatalf("%d packets became %d: %v", len(to.Media), len(again.Media), err)
			}
			for i := range to.Media {
				if a, b := to.Media[i], again.Media[i]; a.Number != b.Number || a.Level != b.Level || !bytes.Equal(a.Payload, b.Payload) {
					t.Fatalf("%+v became %+v", a, b)
				}
			}
		}
		var from FromPluginMessage
		_ = from.Parse(b)
	})
}
