//go:build !linux

package plugins

import (
	"os"
	"os/exec"
)

// spawn starts the process. What confines it elsewhere is Linux's.
func (c *child) spawn(stdout, stderr *os.File) error {
	c.cmd = exec.Command(c.program, c.args...)
	c.cmd.Env, c.cmd.Dir, c.cmd.Stdout, c.cmd.Stderr = c.env, c.dir, stdout, stderr
	if err := c.cmd.Start(); err != nil {
		return err
	}
	if !c.begun(c.cmd.Process.Pid) {
		c.kill()
	}
	go func() {
		_ = c.cmd.Wait() // how it ended is in ProcessState
		c.mu.Lock()
		c.gone = true
		c.mu.Unlock()
		close(c.exited)
	}()
	return nil
}

func (c *child) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doomed = true
	if !c.gone && c.pid > 0 {
		_ = c.cmd.Process.Kill()
	}
}

func (c *child) memory() uint64 { return 0 }

// Launch is of Linux.
func Launch() {}

// networkHint says what a plugin can reach.
func networkHint(name string) string {
	return "castd confines plugins on Linux only: disable the plugin " + name + " if you do not trust it with your files and the network"
}

// Confinement lists what keeps a plugin from what it was not granted.
func Confinement() []string { return nil }
