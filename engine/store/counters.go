package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"
)

// Counters that never go back. What is on disk is not what was used but what may be: a limit ahead of it. Numbers below the
// limit are given from memory; a crash loses the rest of the reserve, at most Step numbers, and the next run goes on at the
// limit. So a number is never used twice, which the seal of media relies on (two packets under one nonce give away the key),
// and the disk is written once in tens of thousands of numbers. The reserve is renewed in the background when half of it is
// used, so that a disk that is slow for a while, or full, is not felt.

// Step is how many numbers of a counter are reserved ahead on disk.
const Step = 1 << 16

// Bounds of counters.
const (
	// MaxCounters is how many counters there can be. None is ever forgotten.
	MaxCounters   = 4096
	maxCounterKey = 128 // octets

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
}

type counters struct {
	path  string
	write func(path string, data []byte) error
	now   func() time.Time
	wake  chan struct{} // capacity 1: the keeper should look

	saving sync.Mutex // one write at a time; taken before mu

	mu       sync.Mutex // guards what follows; never held during a write
	all      map[string]*counter
	sequence counter
	closed   bool
}

// countersFile is the content of counters.json.
type countersFile struct {
	Version  int               `json:"version"`
	Sequence uint64            `json:"sequence"`
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
	if len(f.Counters) > MaxCounters {
		return nil, fmt.Errorf("%d counters", len(f.Counters))
	}
	for key, limit := range f.Counters {
		if key == "" || len(key) > maxCounterKey || limit > maxCount {
			return nil, errors.New("a counter has no valid name or number")
		}
	}
	return &f, nil
}

// maxCount bounds numbers, so that sums do not overflow.
const maxCount = 1 << 62

// openCounters reads the counters. deviceKnown says that this device has run before: then the file must be there.
func openCounters(dir string, deviceKnown bool, write func(string, []byte) error, now func() time.Time) (*counters, error) {
	c := &counters{
		path: filepath.Join(dir, countersName), write: write, now: now, wake: make(chan struct{}, 1), all: make(map[string]*counter),
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
		c.sequence = counter{next: f.Sequence, limit: f.Sequence}
	}
	return c, c.extend("", 0)
}

// Reserve returns the first of n numbers of the counter that were never given before and never will be again, also after a
// crash. A new counter begins at 0. Calls in one run give numbers without holes, unless they fail. Reserve may wait for the
// disk when a reserve is used up; an error means that it is, and that the disk does not take more.
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
		k := c.all[key]
		if k == nil {
			if len(c.all) >= MaxCounters {
				c.mu.Unlock()
				return 0, fmt.Errorf("reserve numbers: there are %d counters already", MaxCounters)
			}
			k = &counter{}
			c.all[key] = k
		}
		need := k.next + n
		if need > maxCount {
			c.mu.Unlock()
			return 0, fmt.Errorf("reserve %d numbers of counter %q: out of bounds", n, key)
		}
		if need <= k.limit {
			first := k.next
			k.next = need
			if k.limit-k.next < Step/2 {
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

// extend moves all limits to Step beyond what was given, and that of key beyond need.
func (c *counters) extend(key string, need uint64) error {
	c.saving.Lock()
	defer c.saving.Unlock()
	now := uint64(max(0, c.now().UnixMicro()))
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return ErrClosed
	}
	f := countersFile{Version: 1, Counters: make(map[string]uint64, len(c.all))}
	for name, k := range c.all {
		next := k.next
		if name == key {
			next = max(next, need)
		}
		f.Counters[name] = max(k.limit, min(next+Step, maxCount))
	}
	f.Sequence = max(c.sequence.limit, max(c.sequence.next, now)+sequenceAhead)
	c.mu.Unlock()
	if err := c.save(&f); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, limit := range f.Counters {
		c.all[name].limit = limit
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
	f := countersFile{Version: 1, Counters: make(map[string]uint64, len(c.all)), Sequence: c.sequence.next + sequenceMargin}
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
