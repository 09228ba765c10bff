//go:build !unix

package main

import "io"

// terminalSize returns a terminal's size in characters; here it is not known.
func terminalSize(io.Writer) (width, height int) { return 0, 0 }
