//go:build !unix

package plugins

import "io/fs"

// lockFolder does nothing where there are no advisory locks: one person at a time installs plugins.
func lockFolder(string) (unlock func(), err error) { return func() {}, nil }

func writableByOthers(fs.FileInfo) bool { return false }
func executable(fs.FileInfo) bool       { return true }
