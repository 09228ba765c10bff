package bench

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

func statLine(name string, utime, stime string) string {
	return fmt.Sprintf("4711 (%s) S 1 4711 4711 0 -1 4194304 100 0 0 0 %s %s 7 8 20 0 9 0 100 200 300 18446744073709551615\n", name, utime, stime)
}

func TestParseStat(t *testing.T) {
	tests := []struct {
		line string
		want time.Duration
		bad  bool
	}{
		{line: statLine("castd", "12", "30"), want: 420 * time.Millisecond},
		{line: statLine("a b) R 1 2 (c", "1", "2"), want: 30 * time.Millisecond},
		{line: statLine("", "0", "0")},
		{line: statLine("castd", "-1", "2"), bad: true},
		{line: statLine("castd", "99999999999999999999", "2"), bad: true},
		{line: statLine("castd", "0", "21220000000000"), bad: true}, // more than a duration holds
		{line: "4711 (castd) S 1 2 3", bad: true},
		{line: "4711", bad: true},
		{line: "", bad: true},
	}
	for _, x := range tests {
		got, err := parseStat([]byte(x.line))
		if got != x.want || err != nil != x.bad {
			t.Errorf("%q: %v, %v; want %v", x.line, got, err, x.want)
		}
	}
}

func TestParseStatus(t *testing.T) {
	rss, threads := parseStatus([]byte("Name:\tcastd\nVmPeak:\t  9 kB\nVmRSS:\t   43008 kB\nThreads:\t8\nSigQ:\t1/2\n"))
	if rss != 43008<<10 || threads != 8 {
		t.Errorf("%d octets, %d threads", rss, threads)
	}
	if rss, threads := parseStatus([]byte("VmRSS:\nThreads: x\nVmRSS: -4 kB")); rss != 0 || threads != 0 {
		t.Errorf("of nonsense %d octets, %d threads", rss, threads)
	}
}

func TestReadUsage(t *testing.T) {
	u, err := ReadUsage(os.Getpid())
	if runtime.GOOS != "linux" {
		if err == nil || !strings.Contains(err.Error(), "--pid") {
			t.Fatalf("got %+v, %v", u, err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if u.RSS < 1<<20 || u.Threads < 2 || u.Files < 3 || u.CPU < 0 {
		t.Errorf("this process: %+v", u)
	}
	if _, err := ReadUsage(1 << 30); err == nil || !strings.Contains(err.Error(), "there is no process 1073741824") {
		t.Errorf("of a process that there is not: %v", err)
	}
	if m := Machine(); !strings.Contains(m, "cores") {
		t.Errorf("this machine is %q", m)
	}
}

func FuzzProc(f *testing.F) {
	f.Add([]byte(statLine("castd", "12", "30")))
	f.Add([]byte("VmRSS:\t   43008 kB\nThreads:\t8\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, err := parseStat(b); err == nil && d < 0 {
			t.Errorf("%q: %v", b, d)
		}
		if rss, threads := parseStatus(b); rss < 0 || threads < 0 {
			t.Errorf("%q: %d octets, %d threads", b, rss, threads)
		}
	})
}
