package secure

import (
	"testing"
	"time"
)

func FuzzRecords(f *testing.F) {
	f.Add([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 5}, int32(PhaseLastFlight))
	f.Add([]byte{21, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 5}, int32(PhaseProtected))
	f.Fuzz(func(t *testing.T, b []byte, phase int32) {
		d := NewFeed(nil)
		d.phase.Store(phase)
		if len(b) > 0 && d.admissible(b) && phase != PhaseOpen && (b[0] == 20 || b[0] == 23 || b[3] != 0 || b[4] != 1) {
			t.Errorf("%x is admitted", b)
		}
	})
}

func TestFeedRemembersFlights(t *testing.T) {
	record := func(epoch, body byte) []byte { return []byte{22, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 1, 0, 1, body} }
	f := NewFeed(nil)
	f.Put(record(0, 1))
	f.Advance(PhaseLastFlight)
	f.Advance(PhaseOpen) // never back
	f.Put(record(0, 1))
	f.Put(record(0, 2)) // forged
	if f.Phase() != PhaseLastFlight || len(f.in) != 2 || f.Dropped() != 1 {
		t.Fatalf("phase %d, %d records, %d dropped", f.Phase(), len(f.in), f.Dropped())
	}
	f.Advance(PhaseProtected)
	f.Put(record(0, 1))
	f.Put(record(1, 7))
	if len(f.in) != 3 || f.Dropped() != 2 || f.known != nil {
		t.Fatalf("%d records, %d dropped", len(f.in), f.Dropped())
	}
	for range 100 {
		f.Put(record(1, 7))
	}
	if len(f.in) != cap(f.in) {
		t.Fatal("the queue has no bound")
	}
}

// What a peer says over the connection is let in only where somebody listens.
func TestFeedData(t *testing.T) {
	record := func(epoch byte) []byte { return []byte{23, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 1, 0, 1, 7} }
	for _, takes := range []bool{false, true} {
		f := NewFeed(nil)
		if takes {
			f.TakeData()
		}
		f.Advance(PhaseProtected)
		f.Put(record(1))
		f.Put(record(0)) // forged
		if got := len(f.in) == 1; got != takes || len(f.in) > 1 {
			t.Errorf("takes data: %v, %d records", takes, len(f.in))
		}
	}
}

func TestFingerprint(t *testing.T) {
	c, err := NewCertificate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if s := FormatFingerprint(c.Fingerprint); len(s) != len(FingerprintPrefix)+3*32-1 {
		t.Fatal(s)
	}
}
