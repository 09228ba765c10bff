package bench

import (
	"bytes"
	"errors"
	"strconv"
	"time"
)

// Usage is what a process had spent, and held, at one time. Fields that the system does not tell are 0.
type Usage struct {
	CPU     time.Duration // user and system time of all its threads, without children's
	RSS     int64         // octets
	Threads int
	Files   int // descriptors
}

var errProc = errors.New("unreadable process status")

// clockTicks is USER_HZ, which Linux has fixed for programs on all architectures that Go knows.
const clockTicks = 100

// parseStat reads the CPU time of /proc/PID/stat. The second field is the program's name in parentheses, which may hold
// anything, parentheses and blanks too.
func parseStat(b []byte) (time.Duration, error) {
	end := bytes.LastIndexByte(b, ')')
	if end < 0 {
		return 0, errProc
	}
	fields := bytes.Fields(b[end+1:]) // the first is field 3
	if len(fields) < 13 {
		return 0, errProc
	}
	var ticks uint64
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.ParseUint(string(f), 10, 38) // 87 years
		if err != nil {
			return 0, errProc
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / clockTicks), nil
}

// parseStatus reads memory and threads of /proc/PID/status.
func parseStatus(b []byte) (rss int64, threads int) {
	for line := range bytes.Lines(b) {
		key, value, _ := bytes.Cut(line, []byte(":"))
		fields := bytes.Fields(value)
		if len(fields) == 0 {
			continue
		}
		n, err := strconv.ParseInt(string(fields[0]), 10, 48)
		if err != nil || n < 0 {
			continue
		}
		switch string(key) {
		case "VmRSS":
			rss = n << 10
		case "Threads":
			threads = int(n)
		}
	}
	return rss, threads
}
