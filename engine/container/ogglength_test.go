package container

import (
	"bytes"
	"testing"
	"time"
)

func TestOggLength(t *testing.T) {
	file := func(serial uint32, packets int) []byte {
		var b bytes.Buffer
		w, err := NewOggWriter(&b, 2, 312, serial)
		if err != nil {
			t.Fatal(err)
		}
		for i := range packets {
			if err := w.WritePacket([]byte{0x78, byte(i), 'O', 'g', 'g', 'S'}, time.Duration(i)*20*time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	whole := file(1, 150)
	const skip = 6500 * time.Microsecond
	for _, c := range []struct {
		name string
		file []byte
		want time.Duration
	}{
		{"whole", whole, 3*time.Second - skip},
		{"long", file(1, 20000), 400*time.Second - skip},
		{"with rubbish behind it", append(bytes.Clone(whole), "OggS and no page"...), 3*time.Second - skip},
		{"a chain", append(bytes.Clone(whole), file(2, 10)...), 0},
		{"empty", nil, 0},
		{"not Ogg", []byte("RIFF....WAVE"), 0},
		{"cut in its headers", whole[:60], 0},
	} {
		if got := OggLength(bytes.NewReader(c.file)); (got - c.want).Abs() > time.Millisecond {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func FuzzOggLength(f *testing.F) {
	var b bytes.Buffer
	w, _ := NewOggWriter(&b, 1, 312, 5)
	for i := range 3 {
		_ = w.WritePacket([]byte{0x78, byte(i)}, time.Duration(i)*40*time.Millisecond)
	}
	_ = w.Close()
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, file []byte) {
		if d := OggLength(bytes.NewReader(file)); d < 0 {
			t.Fatalf("length %v", d)
		}
	})
}
