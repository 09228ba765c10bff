package plugins

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Limits of what a plugin keeps.
const (
	maxKeys   = 1000
	maxKey    = 256
	maxValue  = 64 << 10
	maxValues = 4 << 20 // octets of all together
)

// values are what a plugin keeps by Put. Each change is on disk when it returns. Methods are safe for concurrent use; their errors are those
// of gRPC.
type values struct {
	path string
	log  *slog.Logger

	mu   sync.Mutex // guards what follows
	read bool
	all  map[string][]byte
	size int
}

// load reads the file, once. A damaged one is set aside.
func (v *values) load() error {
	if v.read {
		return nil
	}
	text, err := os.ReadFile(v.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return status.Error(codes.Internal, "castd cannot read what the plugin kept")
	}
	all := make(map[string][]byte)
	if err == nil {
		if err := json.Unmarshal(text, &all); err != nil {
			v.log.Warn("what a plugin kept is damaged, and set aside", "file", v.path)
			_ = os.Rename(v.path, v.path+".damaged")
			all = make(map[string][]byte)
		}
	}
	v.read, v.all, v.size = true, all, 0
	for k, b := range all {
		v.size += len(k) + len(b)
	}
	return nil
}

func (v *values) get(key string) ([]byte, bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.load(); err != nil {
		return nil, false, err
	}
	b, ok := v.all[key]
	return b, ok, nil
}

func (v *values) put(key string, value []byte) error {
	if key == "" || len(key) > maxKey || len(value) > maxValue {
		return status.Errorf(codes.InvalidArgument, "a key has 1 to %d octets, a value at most %d", maxKey, maxValue)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.load(); err != nil {
		return err
	}
	old, there := v.all[key]
	size := v.size + len(key) + len(value)
	if there {
		size -= len(key) + len(old)
	}
	if !there && len(v.all) >= maxKeys || size > maxValues {
		return status.Errorf(codes.ResourceExhausted, "a plugin keeps at most %d values, of %d octets in all: use files in its folder", maxKeys, maxValues)
	}
	return v.change(func(all map[string][]byte) { all[key] = value }, size)
}

func (v *values) delete(key string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.load(); err != nil {
		return err
	}
	old, there := v.all[key]
	if !there {
		return nil
	}
	return v.change(func(all map[string][]byte) { delete(all, key) }, v.size-len(key)-len(old))
}

// change writes the file, and has the change only if that worked.
func (v *values) change(f func(map[string][]byte), size int) error {
	next := maps.Clone(v.all)
	f(next)
	text, err := json.Marshal(next)
	if err == nil {
		if err = os.MkdirAll(filepath.Dir(v.path), 0o700); err == nil {
			err = writeFile(v.path, text)
		}
	}
	if err != nil {
		v.log.Warn("what a plugin keeps cannot be written", "err", err)
		return status.Error(codes.Internal, fmt.Sprintf("castd cannot write what the plugin keeps: %v", err))
	}
	v.all, v.size = next, size
	return nil
}

func (v *values) keys() ([]string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.load(); err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(v.all)), nil
}
