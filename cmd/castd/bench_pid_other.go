//go:build !linux

package main

// runningPID returns 0: the sockets of this system do not tell who listens.
func runningPID(string) int { return 0 }
