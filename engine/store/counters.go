package store

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Counters that never go back. What is on disk is not what was used but what may be: a limit ahead of it. Numbers below the
// limit are given from memory; a crash loses the rest of the reserve, and the next run goes on at the limit. So a number is
// never used twice, which the seal of media relies on (two packets under one nonce give away the key). The reserve is Ahead
// times what is asked for at a time: the disk is written once in dozens of calls, and a counter that goes up by one does not
// jump by thousands after a crash. It is renewed in the background when half of it is used, so that a disk that is slow for a
// while, or full, is not felt.
//
// Counters of what comes and goes, like the streams of guests, would be too many one day. Then the half that was not used for
// longest is forgotten, but for the largest limit of each kind; kind is the key up to the first space. Whichever of them is
// asked for again goes on above that, and what is in use just now notices nothing.

// Bounds of counters.
const (
	// Ahead is how many times the numbers of a call are reserved on disk beyond it.
	Ahead = 64
	// MaxCounters is how many counters are kept apart.
	MaxCounters   = 4096
	maxKinds      = 64
	maxCounterKey = 128 // octets
	// maxAhead bounds a reserve, maxCount all numbers, so that sums do not overflow.
	maxAhead = 1 << 24
	maxCount = 1 << 62

	countersName = "counters.json"
	// sequenceAhead is how far the reserve of Sequence goes, in microseconds.
	sequenceAhead = uint64(time.Hour / time.Microsecond)
	// sequenceMargin is left after the last sequence number at Close, for envelopes that are signed later than that.
	sequenceMargin = uint64(time.Second / time.Microsecond)
	retryAfter     = time.Second
)

type counter struct {
	next  uint64 // first number not given yet
	limit uint64 // on disk: numbers from here on may not be given
	ahead uint64 // how far the limit is to be kept beyond next
	used  uint64 // call of this run that used it last; 0 none
}

type counters struct {
	path  string
	write func(path string, data []byte) error
	now   func() time.Time
	wake  chan struct{} // capacity 1: the keeper should look

	saving sync.Mutex // one write at a time; taken before mu

	mu       sync.Mutex // guards what follows; never held during a write
	all      map[string]*counter
	calls    uint64
	floors   map[string]uint64 // by kind: above all numbers of the counters that were forgotten
	sequence counter
	closed   bool
}

// countersFile is the content of counters.json.
type countersFile struct {
	Version  int               `json:"version"`
	Sequence uint64            `json:"sequence"`
	Floors   map[string]uint64 `json:"floors,omitempty"`
	Counters map[string]uint64 `json:"counters"`
}

func decodeCounters(data []byte) (*countersFile, error) {
	var f countersFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, err
	}
	if f.Version != 1 {
		return nil, fmt.Errorf("version %d is not known", f.Version)
	}
	if len(f.Counters) > MaxCounters || len(f.Floors) > maxKinds {
		return nil, fmt.Errorf("%d counters of %d kinds", len(f.Counters), len(f.Floors))
	}
	for kind, floor := range f.Floors {
		if len(kind) > maxCounterKey || floor > maxCount {
			return nil, errors.New("a kind of counters has no valid name or number")
		}
	}
	for key, limit := range f.Counters {
		if key == "" || len(key) > maxCounterKey || limit > maxCount {
			return nil, errors.New("a counter has no valid name or number")
		}
	}
	return &f, nil
}

// openCounters reads the counters. deviceKnown says that this device has run before: then the file must be there.
func openCounters(dir string, deviceKnown bool, write func(string, []byte) error, now func() time.Time) (*counters, error) {
	c := &counters{
		path: filepath.Join(dir, countersName), write: write, now: now, wake: make(chan struct{}, 1),
		all: make(map[string]*counter), floors: make(map[string]uint64),
	}
	const remedy = "put back its newest copy, or delete it and device.key: this machine then gets a new peer id, under which no number was ever used"
	b, err := readFile(c.path)
	switch {
	case missing(err) && deviceKnown:
		return nil, &DamagedError{Path: c.path, Reason: "it is gone, and with it what this peer's key has been used for", Remedy: remedy}
	case missing(err):
	case err != nil:
		return nil, err
	default:
		f, err := decodeCounters(b)
		if err != nil {
			return nil, &DamagedError{Path: c.path, Reason: err.Error(), Remedy: remedy}
		}
		for key, limit := range f.Counters {
			c.all[key] = &counter{next: limit, limit: limit}
		}
		maps.Copy(c.floors, f.Floors)
		c.sequence = counter{next: f.Sequence, limit: f.Sequence}
	}
	return c, c.extend("", 0)
}

// Reserve returns the first of n numbers of the counter that were never given before and never will be again, also after a
// crash. A new counter begins at 0, unless MaxCounters were reached. Calls in one run give numbers without holes for as long
// as the counter is among the half of MaxCounters that was used last. Reserve may wait for the disk when a reserve is used up;
// an error means that it is, and that the disk does not take more.
func (s *Store) Reserve(key string, n uint64) (first uint64, err error) {
	return s.counters.reserve(key, n)
}

// Sequence returns the sequence of this device's envelopes: each call of the function gives a larger number than all before,
// in this run and the earlier ones. Numbers are microseconds since 1970 where that grows. The function never waits for the disk.
func (s *Store) Sequence() func() uint64 { return s.counters.nextSequence }

func (c *counters) reserve(key string, n uint64) (uint64, error) {
	if key == "" || len(key) > maxCounterKey || n == 0 || n > maxCount {
		return 0, fmt.Errorf("reserve %d numbers of counter %q: out of bounds", n, key)
	}
	for { // until no other call takes what this one has reserved
		c.mu.Lock()
		if c.closed {
			c.mu.Unlock()
			return 0, ErrClosed
		}
		k := c.counterLocked(key)
		c.calls++
		k.used = c.calls
		k.ahead = max(k.ahead, min(n, maxAhead/Ahead)*Ahead)
		need := k.next + n
		if need > maxCount {
			c.mu.Unlock()
			return 0, fmt.Errorf("reserve %d numbers of counter %q: out of bounds", n, key)
		}
		if need <= k.limit {
			first := k.next
			k.next = need
			if k.limit-k.next < k.ahead/2 {
				c.poke()
			}
			c.mu.Unlock()
			return first, nil
		}
		c.mu.Unlock()
		if err := c.extend(key, need); err != nil {
			return 0, fmt.Errorf("reserve numbers: %w", err)
		}
	}
}

// counterLocked returns the counter of a key, where there is none a new one that has reserved nothing.
func (c *counters) counterLocked(key string) *counter {
	if k := c.all[key]; k != nil {
		return k
	}
	if len(c.all) >= MaxCounters {
		keys := slices.SortedFunc(maps.Keys(c.all), func(a, b string) int {
			return cmp.Or(cmp.Compare(c.all[a].used, c.all[b].used), cmp.Compare(a, b))
		})
		for _, old := range keys[:len(keys)/2] {
			kind := kindOf(old)
			if _, ok := c.floors[kind]; !ok && len(c.floors) >= maxKinds-1 {
				kind = ""
			}
			c.floors[kind] = max(c.floors[kind], c.all[old].limit)
			delete(c.all, old)
		}
	}
	floor := max(c.floors[kindOf(key)], c.floors[""])
	k := &counter{next: floor, limit: floor}
	c.all[key] = k
	return k
}

// kindOf returns a key's kind; it is empty for a key without a space.
func kindOf(key string) string {
	kind, _, ok := strings.Cut(key, " ")
	if !ok {
		return ""
	}
	return kind
}

func (c *counters) nextSequence() uint64 {
	now := uint64(max(0, c.now().UnixMicro()))
	c.mu.Lock()
	defer c.mu.Unlock()
	v := max(c.sequence.next, now, 1)
	c.sequence.next = v + 1
	if v+sequenceAhead/2 > c.sequence.limit {
		c.poke()
	}
	return v
}

// poke makes the keeper renew the reserves.
func (c *counters) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// keep is the keeper: it renews the reserves until done is closed.
func (c *counters) keep(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-c.wake:
		}
		if c.extend("", 0) == nil {
			continue
		}
		// A full disk: whoever needs numbers pokes again.
		retry := time.NewTimer(retryAfter)
		select {
		case <-done:
			retry.Stop()
			return
		case <-retry.C:
		}
	}
}

// extend moves all limits as far ahead as they should be, and that of key also beyond need.
func (c *counters) extend(key string, need uint64) error {
	c.saving.Lock()
	defer c.saving.Unlock()
	now := uint64(max(0, c.now().UnixMicro()))
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return ErrClosed
	}
	f := countersFile{Version: 1, Floors: maps.Clone(c.floors), Counters: make(map[string]uint64, len(c.all))}
	for name, k := range c.all {
		next := k.next
		if name == key {
			next = max(next, need)
		}
		f.Counters[name] = max(k.limit, min(next+k.ahead, maxCount))
	}
	f.Sequence = max(c.sequence.limit, max(c.sequence.next, now)+sequenceAhead)
	c.mu.Unlock()
	if err := c.save(&f); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, limit := range f.Counters {
		if k := c.all[name]; k != nil {
			k.limit = max(k.limit, limit)
		}
	}
	c.sequence.limit = f.Sequence
	return nil
}

// close writes down what was given, so that the next run goes on right there.
func (c *counters) close() error {
	c.saving.Lock()
	defer c.saving.Unlock()
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	f := countersFile{
		Version: 1, Sequence: c.sequence.next + sequenceMargin, Floors: maps.Clone(c.floors),
		Counters: make(map[string]uint64, len(c.all)),
	}
	for name, k := range c.all {
		f.Counters[name] = k.next
	}
	c.mu.Unlock()
	return c.save(&f)
}

func (c *counters) save(f *countersFile) error {
	b, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return fmt.Errorf("encode counters: %w", err)
	}
	return c.write(c.path, append(b, '\n'))
}
