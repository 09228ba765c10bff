//go:build !linux

package bench

import "errors"

// ReadUsage tells what a process has spent. Errors are sentences for people.
func ReadUsage(int) (Usage, error) {
	return Usage{}, errors.New("what a process spends can only be read on Linux: leave out --pid")
}
