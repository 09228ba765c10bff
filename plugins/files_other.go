//go:build !unix

package plugins

import (
	"errors"
	"io/fs"
)

// lockFolder does nothing where there are no advisory locks: one person at a time installs plugins.
func lockFolder(string) (unlock func(), err error) { return func() {}, nil }

// errTaken and tryLock are for what castd attaches to, which is not possible here.
var errTaken = errors.New("another process has it")

func tryLock(string) (unlock func(), err error) { return nil, errors.ErrUnsupported }

func ownedByUser(fs.FileInfo) bool { return false }

func writableByOthers(fs.FileInfo) bool { return false }
func executable(fs.FileInfo) bool       { return true }
