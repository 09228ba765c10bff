package plugins

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// spawn starts the process in a group of its own, which dies with castd.
func (c *child) spawn(stdout, stderr *os.File) error {
	started := make(chan error, 1)
	go func() {
		// The signal of a parent's death comes when the thread that started the process ends. It waits for the process, and does nothing else.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		// Without a network at all, where the system lets us; else what Landlock knows of is refused.
		var err error
		for _, isolate := range []bool{!c.confinement.Network && !c.shared, false} {
			if err = c.command(stdout, stderr, isolate); err != nil {
				break
			}
			if err = c.cmd.Start(); err == nil || !isolate {
				c.isolated = isolate
				break
			}
		}
		if err == nil && !c.begun(c.cmd.Process.Pid) {
			c.kill()
		}
		started <- err
		if err != nil {
			return
		}
		c.reap()
	}()
	return <-started
}

func (c *child) command(stdout, stderr *os.File, isolate bool) error {
	spec, err := json.Marshal(&c.confinement)
	if err != nil {
		return fmt.Errorf("encode confinement: %w", err)
	}
	// The launcher is this program again: it confines itself, and executes the plugin in its place.
	c.cmd = &exec.Cmd{
		Path: "/proc/self/exe", Args: append([]string{"castd", launcherArg, string(spec), c.program}, c.args...), Env: c.env, Dir: c.dir,
		Stdout: stdout, Stderr: stderr,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	}
	if isolate {
		c.cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNET
		if os.Geteuid() != 0 {
			c.cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
			c.cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
			c.cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
		}
	}
	return nil
}

// reap waits for the process, and ends what it has started before its process id can be another's.
func (c *child) reap() {
	for {
		if err := unix.Waitid(unix.P_PID, c.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	c.mu.Lock()
	_ = unix.Kill(-c.pid, unix.SIGKILL)
	_ = c.cmd.Wait() // how it ended is in ProcessState
	c.gone = true
	c.mu.Unlock()
	close(c.exited)
	// What it has started and left in other groups may hold its output open.
	time.AfterFunc(time.Second, func() { _, _ = c.out.Close(), c.err.Close() })
}

// kill ends the process and all that it started.
func (c *child) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doomed = true
	if !c.gone && c.pid > 0 {
		_ = unix.Kill(-c.pid, unix.SIGKILL)
	}
}

// memory returns the resident memory of the process in octets; 0 unknown.
func (c *child) memory() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone || c.pid == 0 {
		return 0
	}
	text, err := os.ReadFile("/proc/" + strconv.Itoa(c.pid) + "/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}
