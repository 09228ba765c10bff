//go:build unix

package store

import (
	"io/fs"
	"os"
	"syscall"
)

// ownedBySelf reports whether the file belongs to the user of this process.
func ownedBySelf(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}
