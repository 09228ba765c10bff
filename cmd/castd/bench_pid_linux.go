package main

import (
	"net"

	"golang.org/x/sys/unix"

	"github.com/castd/castd/engine/store"
)

// runningPID returns the process that listens on a data folder's socket; 0 if it does not tell.
func runningPID(dataDir string) int {
	path, err := store.FindSocket(dataDir)
	if err != nil {
		return 0
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		return 0
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	_ = raw.Control(func(fd uintptr) {
		if c, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(c.Pid)
		}
	})
	return pid
}
