//go:build linux

package e2e_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newDistance makes two machines that are as far apart as delay, one way, and between which a share of the packets is lost, each way. A
// kernel without a delay queue (netem) can do that as well: the ends of the cable are TUN devices, between which the test carries
// the packets. Where that is not permitted the test is skipped.
func newDistance(t *testing.T, delay time.Duration, loss float64) *lan {
	t.Helper()
	l := newNamespaces(t)
	here, err := tunIn(l.here)
	if err == nil {
		t.Cleanup(func() { here.Close() })
		var away *os.File
		if away, err = tunIn(l.away); err == nil {
			t.Cleanup(func() { away.Close() })
			go carry(here, away, delay, loss)
			go carry(away, here, delay, loss)
		}
	}
	if err != nil {
		t.Skipf("TUN devices are not permitted here: %v", err)
	}
	l.up()
	return l
}

// tunIn makes a TUN device eth0 in a namespace.
func tunIn(ns string) (*os.File, error) {
	type result struct {
		file *os.File
		err  error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // for ever: the thread is in the namespace, and ends with the goroutine
		f, err := openTun(ns)
		done <- result{f, err}
	}()
	r := <-done
	return r.file, r.err
}

// openTun makes the device. It moves the calling thread into the namespace.
func openTun(ns string) (*os.File, error) {
	space, err := os.Open("/run/netns/" + ns)
	if err != nil {
		return nil, err
	}
	defer space.Close()
	if err := unix.Setns(int(space.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	ask, err := unix.NewIfreq("eth0")
	if err == nil {
		ask.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ask)
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "tun"), nil
}

// carry takes packets from one device to another until one of them is closed.
func carry(from, to *os.File, delay time.Duration, loss float64) {
	type flying struct {
		due    time.Time
		packet []byte
	}
	queue := make(chan flying, 1<<12) // more than fly at any time in these tests; what does not fit is lost
	defer close(queue)
	go func() {
		for f := range queue {
			time.Sleep(time.Until(f.due))
			_, _ = to.Write(f.packet) // a device that has gone takes none
		}
	}()
	buf := make([]byte, 1<<16)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if rand.Float64() < loss {
			continue
		}
		select {
		case queue <- flying{time.Now().Add(delay), append([]byte(nil), buf[:n]...)}:
		default:
		}
	}
}
