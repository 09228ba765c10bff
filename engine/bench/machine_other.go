//go:build !linux

package bench

import (
	"fmt"
	"runtime"
)

// Machine names this machine.
func Machine() string {
	return fmt.Sprintf("%s/%s, %d cores, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
}
