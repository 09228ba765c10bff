package bench

import (
	"errors"
	"fmt"
	"os"
	"strconv"
)

// ReadUsage tells what a process has spent. Errors are sentences for people.
func ReadUsage(pid int) (Usage, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	if errors.Is(err, os.ErrNotExist) {
		return Usage{}, fmt.Errorf("there is no process %d: name one that runs with --pid", pid)
	}
	if err != nil {
		return Usage{}, fmt.Errorf("the process %d cannot be looked at: run as the user who started it", pid)
	}
	var u Usage
	if u.CPU, err = parseStat(stat); err != nil {
		return Usage{}, fmt.Errorf("the status of process %d is unreadable: leave out --pid", pid)
	}
	if status, err := os.ReadFile(dir + "/status"); err == nil {
		u.RSS, u.Threads = parseStatus(status)
	}
	if d, err := os.Open(dir + "/fd"); err == nil { // other users' are closed to us
		names, _ := d.Readdirnames(-1)
		d.Close()
		u.Files = len(names)
	}
	return u, nil
}
