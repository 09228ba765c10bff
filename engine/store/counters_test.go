package store

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// disk writes files until it is told to be full.
type disk struct {
	full   atomic.Bool
	writes atomic.Int64
}

// block is how many numbers a publication takes at a time.
const block = 1 << 16

var errFull = errors.New("no space left on device")

func (d *disk) write(path string, data []byte) error {
	d.writes.Add(1)
	if d.full.Load() {
		return errFull
	}
	return writeFile(path, data)
}

func mustOpen(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestReserveGivesEachNumberOnce(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	var next uint64
	for i, n := range []uint64{1, 10, block, block + 1, 5 * block, 1} {
		first, err := s.Reserve("a", n)
		if err != nil || first != next {
			t.Fatalf("call %d: Reserve = %d, %v; want %d", i, first, err, next)
		}
		next += n
	}
	if first, err := s.Reserve("b", 1); err != nil || first != 0 {
		t.Fatalf("another counter begins at %d, %v", first, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir) // after an orderly end nothing is skipped
	if first, err := s.Reserve("a", 1); err != nil || first != next {
		t.Fatalf("after a restart Reserve = %d, %v; want %d", first, err, next)
	}
}

func TestReserveRefusesNonsense(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	for _, c := range []struct {
		key string
		n   uint64
	}{{"", 1}, {"a", 0}, {"a", 1 << 63}, {"a", ^uint64(0)}, {string(make([]byte, 200)), 1}} {
		if _, err := s.Reserve(c.key, c.n); err == nil {
			t.Errorf("Reserve(%q, %d) succeeded", c.key, c.n)
		}
	}
	if _, err := s.Reserve("large", maxCount); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Reserve("large", 1); err == nil {
		t.Error("a counter went over its end")
	}
}

// Beyond the bound counters are forgotten, but none goes back, also after a crash.
func TestCountersAreBounded(t *testing.T) {
	dir := t.TempDir()
	c, err := openCounters(dir, false, writeFile, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	given := make(map[string]uint64) // by key: first number that was not given
	reserve := func(key string, n uint64) {
		t.Helper()
		first, err := c.reserve(key, n)
		if err != nil || first < given[key] {
			t.Fatalf("reserve(%q) = %d, %v; next was %d", key, first, err, given[key])
		}
		given[key] = first + n
	}
	for i := range 20 {
		reserve("number "+strconv.Itoa(i), uint64(1000*i+1))
		reserve("incarnation "+strconv.Itoa(i), 1)
		reserve(strconv.Itoa(i), 5)
	}
	for i := range MaxCounters - 60 {
		c.all["number x"+strconv.Itoa(i)] = &counter{used: 1000}
	}
	for range 2 {
		for i := range 20 {
			reserve("number "+strconv.Itoa(i), 1)
			reserve("number new"+strconv.Itoa(i), 1)
			reserve("incarnation "+strconv.Itoa(i), 1)
			reserve(strconv.Itoa(i), 5)
		}
		if len(c.all) > MaxCounters {
			t.Fatalf("%d counters", len(c.all))
		}
		if c.all["incarnation 3"].next > 10*Ahead {
			t.Errorf("an incarnation jumped to %d with the numbers", c.all["incarnation 3"].next)
		}
		if c, err = openCounters(dir, true, writeFile, time.Now); err != nil { // a crash
			t.Fatal(err)
		}
	}
	for i := range 2 * maxKinds {
		c.all[strconv.Itoa(i)+" kind"] = &counter{next: 7, limit: 7}
	}
	for i := len(c.all); i < MaxCounters; i++ {
		c.all["number y"+strconv.Itoa(i)] = &counter{used: 1}
	}
	reserve("number busy", block)
	before := given["number busy"]
	reserve("number z", 1)
	reserve("number busy", block)
	if given["number busy"] != before+block {
		t.Error("a counter in use has a hole")
	}
	if len(c.floors) > maxKinds {
		t.Errorf("%d kinds", len(c.floors))
	}
	for i := range 2 * maxKinds {
		if first, err := c.reserve(strconv.Itoa(i)+" kind", 1); err != nil || first < 7 {
			t.Fatalf("kind %d went back to %d, %v", i, first, err)
		}
	}
}

// An incarnation is the low 16 bits of a counter: a crash must not move it by a multiple of that.
func TestCrashSkipsLittleOfSlowCounters(t *testing.T) {
	dir := t.TempDir()
	var last uint64
	for range 50 {
		c, err := openCounters(dir, false, writeFile, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		first, err := c.reserve("incarnation a", 1)
		if err != nil || first > last+2*Ahead || uint16(first) == uint16(last) && first != 0 {
			t.Fatalf("%d after %d, %v", first, last, err)
		}
		last = first
	}
}

func TestReserveConcurrently(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	var mu sync.Mutex
	seen := make(map[uint64]bool)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				first, err := s.Reserve("a", block)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if seen[first] || first%block != 0 {
					t.Errorf("block %d was given twice or overlaps", first)
				}
				seen[first] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// A full disk is felt only when the reserve is used up, and not any more once there is space.
func TestReserveOnFullDisk(t *testing.T) {
	var d disk
	s, err := open(t.TempDir(), d.write)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Reserve("a", 100); err != nil {
		t.Fatal(err)
	}
	d.full.Store(true)
	given, last := 0, uint64(0)
	for {
		first, err := s.Reserve("a", 100)
		if err != nil {
			if !errors.Is(err, errFull) {
				t.Fatal(err)
			}
			break
		}
		if first <= last && given > 0 {
			t.Fatalf("%d after %d", first, last)
		}
		last = first
		given += 100
	}
	if given < 100*Ahead/2 {
		t.Errorf("the reserve lasted for %d numbers, want at least %d", given, 100*Ahead/2)
	}
	sequence := s.Sequence()
	if a, b := sequence(), sequence(); b <= a {
		t.Errorf("sequence %d after %d on a full disk", b, a)
	}
	d.full.Store(false)
	first, err := s.Reserve("a", 100)
	if err != nil || first <= last {
		t.Fatalf("with space again Reserve = %d, %v; want more than %d", first, err, last)
	}
}

// The keeper renews the reserve before it is used up, so that Reserve itself need not write.
func TestReserveIsRenewedInTheBackground(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var d disk
		s, err := open(dir, d.write)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if _, err := s.Reserve("a", block); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			d.full.Store(true) // whoever writes now is Reserve itself
			for range Ahead / 2 {
				if _, err := s.Reserve("a", block); err != nil {
					t.Fatal(err)
				}
			}
			d.full.Store(false)
			time.Sleep(2 * retryAfter) // the keeper may have met the full disk
			if _, err := s.Reserve("a", 1); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
	})
}

func TestSequenceOnlyGrows(t *testing.T) {
	dir := t.TempDir()
	var now atomic.Int64
	now.Store(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro())
	clock := func() time.Time { return time.UnixMicro(now.Load()) }
	var last uint64
	for run, step := range []time.Duration{0, time.Hour, -24 * time.Hour, -365 * 24 * time.Hour, time.Minute} {
		now.Add(step.Microseconds())
		c, err := openCounters(dir, false, writeFile, clock)
		if err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			v := c.nextSequence()
			if v <= last {
				t.Fatalf("run %d: %d after %d", run, v, last)
			}
			last = v
			now.Add(-7)
		}
		if run%2 == 0 { // the others are killed
			if err := c.close(); err != nil {
				t.Fatal(err)
			}
			if v := c.nextSequence(); v <= last {
				t.Fatalf("run %d: %d after %d, closed", run, v, last)
			} else {
				last = v
			}
		}
	}
}

func TestSequenceFollowsTheClock(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	if before, v := uint64(time.Now().UnixMicro()), s.Sequence()(); v < before {
		t.Errorf("sequence %d is before the clock, %d", v, before)
	}
}

// Without its counters a device key must not be used again.
func TestCountersGoneWithTheKeyStill(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, countersName)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	var damaged *DamagedError
	if _, err := Open(dir); !errors.As(err, &damaged) || damaged.Path != path {
		t.Fatalf("Open = %v, want an error that names %s", err, path)
	}
	device := s.Identity().Device
	if err := os.Remove(filepath.Join(dir, deviceKeyName)); err != nil {
		t.Fatal(err)
	}
	if s = mustOpen(t, dir); s.Identity().Device.Equal(device) {
		t.Error("the device key is the old one")
	}
}

func TestClosedStoreGivesNothing(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	_, err := s.Reserve("a", 1)
	for name, err := range map[string]error{
		"Reserve": err, "PutPeers": s.PutPeers(), "ForgetRoom": s.ForgetRoom("x"), "PutRoom": s.PutRoom(testRoom("a")),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s = %v, want ErrClosed", name, err)
		}
	}
}

func FuzzCounters(f *testing.F) {
	f.Add([]byte(`{"version":1,"sequence":5,"counters":{"a":65536}}`))
	f.Add([]byte(`{"version":1,"counters":{"":1}}`))
	f.Add([]byte(`{"version":1,"floors":{"a":7},"counters":{"a b":1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := decodeCounters(data)
		if err != nil {
			return
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, countersName), data, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := openCounters(dir, true, func(string, []byte) error { return nil }, time.Now)
		if err != nil {
			t.Fatalf("decoded, but: %v", err)
		}
		for key, limit := range file.Counters {
			if first, err := c.reserve(key, 1); err == nil && first != limit {
				t.Fatalf("counter %q begins at %d, want %d", key, first, limit)
			}
		}
		if v := c.nextSequence(); v < file.Sequence && file.Sequence < 1<<63 {
			t.Fatalf("sequence %d after %d", v, file.Sequence)
		}
	})
}
