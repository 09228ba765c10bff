package recording

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/castd/castd/engine/container"
)

const (
	// maxSpool bounds what waits for the disk, in octets: half a minute of 16 Mbit/s. What does not fit is dropped, as a loss.
	maxSpool = 64 << 20
	// maxWrite bounds what is handed to the disk at a time.
	maxWrite = 256 << 10
	// probeSize is how much room there must be before a recording goes on that ended for want of it.
	probeSize = 1 << 20
	// syncEvery is how often files are made safe from the end of the machine.
	syncEvery = time.Second
)

// errBusy says that the disk does not keep up.
var errBusy = errors.New("the disk does not keep up")

// disk is where files are: the operating system's, or a test's.
type disk interface {
	create(path string) (diskFile, error)
	replace(path string, text []byte) error
	remove(path string) error
}

// diskFile is a file on a disk; container.File is one. Write takes all or nothing.
type diskFile interface {
	Write(b []byte) (int, error)
	Rewrite(b []byte, at int64) error
	Sync() error
	Close() error
}

// spool carries writes to a goroutine that may wait for the disk. Its methods return at once, and are safe for concurrent use.
type spool struct {
	disk disk
	now  func() time.Time
	wake chan struct{} // capacity 1
	done chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex // guards what follows
	queue   []operation
	free    [][]byte  // buffers to use again
	waiting int       // octets of what is not done yet
	pending int       // operations that are not
	since   time.Time // when the one under way began; zero: none is
	closed  bool
	trouble error // of what was replaced last
	probed  bool  // a probe has ended
}

// operation is something to be done to a file, in order.
type operation struct {
	file *spoolFile
	kind operationKind
	at   int64
	path string
	data []byte
}

type operationKind uint8

const (
	opCreate operationKind = iota
	opWrite
	opRewrite
	opClose
	opReplace
	opProbe
	opRemove
)

// spoolFile is a file that is written by a spool.
type spoolFile struct {
	spool *spool

	// of the goroutine, and of the one that syncs between its turns
	file diskFile

	mu   sync.Mutex // guards what follows
	err  error      // what went wrong first: nothing is written any more
	size int64
	over bool // it was closed, or never opened
}

// newSpool returns a spool to a disk, which is to be closed. now is the time.
func newSpool(d disk, now func() time.Time) *spool {
	s := &spool{disk: d, now: now, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go s.run()
	return s
}

// put adds an operation; it reports false where there is no room.
func (s *spool) put(op operation, data []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.waiting+len(data) > maxSpool {
		return false
	}
	if n := len(s.queue); op.kind == opWrite && n > 0 && s.queue[n-1].kind == opWrite && s.queue[n-1].file == op.file && len(s.queue[n-1].data)+len(data) <= maxWrite {
		s.queue[n-1].data = append(s.queue[n-1].data, data...)
	} else {
		if f := len(s.free); f > 0 && len(data) > 0 {
			op.data, s.free = s.free[f-1], s.free[:f-1]
		}
		op.data = append(op.data[:0], data...)
		s.queue = append(s.queue, op)
		s.pending++
	}
	s.waiting += len(data)
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return true
}

// stalled returns since when the disk has not done what it was asked to; the zero time where it has nothing to do or goes on.
func (s *spool) stalled() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.since
}

// failing returns why what was replaced last could not be.
func (s *spool) failing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trouble
}

// probe finds out whether there is room on the disk; path is of a file for that. room tells, once it is known.
func (s *spool) probe(path string) {
	s.mu.Lock()
	s.probed = false
	s.mu.Unlock()
	s.put(operation{kind: opProbe, path: path}, nil)
}

// room returns whether the last probe has ended, and what was wrong.
func (s *spool) room() (known bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.probed, s.trouble
}

// run is the goroutine.
func (s *spool) run() {
	defer close(s.done)
	open := &openFiles{files: make(map[*spoolFile]bool), end: make(chan struct{})}
	synced := make(chan struct{})
	go func() {
		defer close(synced)
		open.syncing()
	}()
	defer func() {
		close(open.end)
		<-synced
	}()
	var batch []operation
	for {
		s.mu.Lock()
		batch, s.queue = s.queue, batch[:0]
		closed := s.closed
		s.mu.Unlock()
		if len(batch) == 0 {
			if closed {
				return
			}
			<-s.wake
			continue
		}
		for i := range batch {
			s.mu.Lock()
			s.since = s.now()
			s.mu.Unlock()
			s.do(&batch[i], open)
			s.mu.Lock()
			s.waiting -= len(batch[i].data)
			s.pending--
			s.since = time.Time{}
			if cap(batch[i].data) <= maxWrite && len(s.free) < 64 {
				s.free = append(s.free, batch[i].data[:0])
			}
			s.mu.Unlock()
			batch[i] = operation{}
		}
	}
}

func (s *spool) do(op *operation, open *openFiles) {
	f := op.file
	switch op.kind {
	case opReplace:
		err := s.disk.replace(op.path, op.data)
		s.mu.Lock()
		s.trouble = err
		s.mu.Unlock()
		return
	case opProbe:
		err := s.disk.replace(op.path, make([]byte, probeSize))
		_ = s.disk.remove(op.path) // what is left of it is overwritten by the next one
		s.mu.Lock()
		s.trouble, s.probed = err, true
		s.mu.Unlock()
		return
	case opRemove:
		_ = s.disk.remove(op.path) // it is tried again with the next recording
		return
	case opCreate:
		file, err := s.disk.create(op.path)
		if err != nil {
			f.fail(err)
			f.end()
			return
		}
		f.file = file
		open.add(f)
		return
	}
	if f.file == nil {
		return
	}
	switch op.kind {
	case opWrite:
		if f.failed() != nil {
			return
		}
		if _, err := f.file.Write(op.data); err != nil {
			f.fail(err)
			return
		}
		f.mu.Lock()
		f.size += int64(len(op.data))
		f.mu.Unlock()
	case opRewrite:
		if f.failed() == nil {
			if err := f.file.Rewrite(op.data, op.at); err != nil {
				f.fail(err)
			}
		}
	case opClose:
		open.remove(f)
		if err := f.file.Close(); err != nil {
			f.fail(err)
		}
		f.end()
	}
}

// close ends the spool when all has been written.
func (s *spool) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// openFiles are those that are to be synced.
type openFiles struct {
	end chan struct{}

	mu    sync.Mutex // guards what follows; not held while a file is synced
	files map[*spoolFile]bool
	busy  *spoolFile // is being synced
	idle  sync.Cond
}

func (o *openFiles) add(f *spoolFile) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.files[f] = true
}

// remove waits for a sync of the file that is under way.
func (o *openFiles) remove(f *spoolFile) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.files, f)
	o.idle.L = &o.mu
	for o.busy == f {
		o.idle.Wait()
	}
}

// syncing syncs all files every second, one after another.
func (o *openFiles) syncing() {
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	for {
		select {
		case <-o.end:
			return
		case <-tick.C:
		}
		o.mu.Lock()
		o.idle.L = &o.mu
		var all []*spoolFile
		for f := range o.files {
			all = append(all, f)
		}
		for _, f := range all {
			if !o.files[f] {
				continue
			}
			o.busy = f
			o.mu.Unlock()
			err := f.file.Sync()
			if err != nil {
				f.fail(err)
			}
			o.mu.Lock()
			o.busy = nil
			o.idle.Broadcast()
		}
		o.mu.Unlock()
	}
}

// create begins a file.
func (s *spool) create(path string) *spoolFile {
	f := &spoolFile{spool: s}
	if !s.put(operation{file: f, kind: opCreate, path: path}, nil) {
		f.fail(errBusy)
		f.end()
	}
	return f
}

// replace writes a file anew, whole at any instant.
func (s *spool) replace(path string, text []byte) bool {
	return s.put(operation{kind: opReplace, path: path}, text)
}

// Write implements io.Writer: b goes as a whole or not at all.
func (f *spoolFile) Write(b []byte) (int, error) {
	if err := f.failed(); err != nil {
		return 0, err
	}
	if !f.spool.put(operation{file: f, kind: opWrite}, b) {
		return 0, errBusy
	}
	return len(b), nil
}

func (f *spoolFile) rewrite(b []byte, at int64) error {
	if err := f.failed(); err != nil {
		return err
	}
	if !f.spool.put(operation{file: f, kind: opRewrite, at: at}, b) {
		return errBusy
	}
	return nil
}

// close ends the file. It is not for what failed at its creation alone.
func (f *spoolFile) close() { f.spool.put(operation{file: f, kind: opClose}, nil) }

func (f *spoolFile) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

func (f *spoolFile) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
}

// done reports whether nothing of the file is waiting any more.
func (f *spoolFile) done() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.over
}

// failed returns what went wrong with the file.
func (f *spoolFile) failed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// written returns how many octets are on the disk.
func (f *spoolFile) written() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.size
}

// systemDisk is the operating system's, with paths below a folder.
type systemDisk struct{ dir string }

func (d systemDisk) create(path string) (diskFile, error) {
	path = filepath.Join(d.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := container.Create(path)
	if err != nil {
		return nil, err // not a nil pointer in an interface
	}
	return f, nil
}

func (d systemDisk) replace(path string, text []byte) (err error) {
	path = filepath.Join(d.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

func (d systemDisk) remove(path string) error { return os.RemoveAll(filepath.Join(d.dir, path)) }
