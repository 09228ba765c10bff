//go:build !linux

package plugins

import "os"

// ownProgram is the file that this process runs.
func ownProgram() (string, error) { return os.Executable() }
