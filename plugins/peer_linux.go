package plugins

import (
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// FromPlugin reports whether at the other end of a Unix socket is a plugin, or what one has started. Landlock keeps nobody from a socket
// whose path he can guess, and castd's own makes whoever opens it the administrator.
//
// Such a process is known by what it was given and cannot get rid of: no new privileges, and limits that only privileges raise.
func (h *Host) FromPlugin(c net.Conn) bool {
	conn, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	peer, err := credentials(conn)
	if err != nil {
		return true // it is closed
	}
	if peer.Pid == 0 {
		return false // of another container, and so no child of this process
	}
	proc := "/proc/" + strconv.Itoa(int(peer.Pid))
	status, err := os.ReadFile(proc + "/status")
	limits, err2 := os.ReadFile(proc + "/limits")
	if errors.Join(err, err2) != nil {
		return true // who has gone wants no answer
	}
	return confined(string(status), string(limits))
}

// credentials says who is at the other end of a Unix socket.
func credentials(c syscall.Conn) (*unix.Ucred, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var peer *unix.Ucred
	if e := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); e != nil {
		return nil, e
	}
	return peer, err
}

// sameUser reports whether the user of this process has opened the other end of a Unix socket.
func sameUser(c net.Conn) bool {
	conn, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	peer, err := credentials(conn)
	return err == nil && int(peer.Uid) == os.Geteuid()
}

// confined reports whether a process is confined as launch.go has it, or more, from its files status and limits (proc(5)).
func confined(status, limits string) bool {
	if !strings.Contains(status, "\nNoNewPrivs:\t1\n") {
		return false
	}
	hard := func(name string) uint64 {
		_, rest, _ := strings.Cut(limits, "\n"+name)
		line, _, _ := strings.Cut(rest, "\n")
		fields := strings.Fields(line) // soft, hard, unit
		if len(fields) < 2 {
			return unix.RLIM_INFINITY
		}
		n, err := strconv.ParseUint(fields[1], 10, 64)
		if err != nil {
			return unix.RLIM_INFINITY // "unlimited"
		}
		return n
	}
	return hard("Max core file size") == 0 && hard("Max open files") <= maxFiles && hard("Max data size") <= fenceMemory
}
