//go:build linux && (amd64 || arm64)

package bench

import (
	"encoding/binary"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// control writes control messages: each of a level, a type and contents.
func control(messages ...[]uint64) []byte {
	var b []byte
	for _, m := range messages {
		b = binary.NativeEndian.AppendUint64(b, uint64(16+8*len(m[2:])))
		b = binary.NativeEndian.AppendUint32(b, uint32(m[0]))
		b = binary.NativeEndian.AppendUint32(b, uint32(m[1]))
		for _, v := range m[2:] {
			b = binary.NativeEndian.AppendUint64(b, v)
		}
	}
	return b
}

func TestKernelTime(t *testing.T) {
	stamped := []uint64{unix.SOL_SOCKET, unix.SCM_TIMESTAMPNS, 1000, 5}
	want := time.Unix(1000, 5)
	tests := []struct {
		name string
		b    []byte
		want time.Time
	}{
		{"nothing", nil, time.Time{}},
		{"a time", control(stamped), want},
		{"behind another message", control([]uint64{unix.SOL_IP, unix.IP_TOS, 1}, stamped), want},
		{"another message only", control([]uint64{unix.SOL_IP, unix.IP_TOS, 1}), time.Time{}},
		{"cut off", control(stamped)[:20], time.Time{}},
		{"too short to be one", control([]uint64{unix.SOL_SOCKET, unix.SCM_TIMESTAMPNS, 1000}), time.Time{}},
		{"a length of nothing", make([]byte, 32), time.Time{}},
	}
	for _, x := range tests {
		if got := kernelTime(x.b); !got.Equal(x.want) {
			t.Errorf("%s: %v, want %v", x.name, got, x.want)
		}
	}
}

// TestSocket checks that a datagram's time is that of its arrival and not that of its reading.
func TestSocket(t *testing.T) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := newSocket(c)
	to := c.LocalAddr().(*net.UDPAddr).AddrPort()
	buf := make([]byte, 100)
	for range 200 { // the first ones may come before the kernel has begun to look at its clock
		if _, err := c.WriteToUDPAddrPort([]byte("hello"), to); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
		read := time.Now()
		n, from, at, err := s.receive(buf)
		if err != nil || string(buf[:n]) != "hello" || from != to {
			t.Fatalf("%q from %v, %v", buf[:n], from, err)
		}
		if at.Before(read.Round(0).Add(-5 * time.Millisecond)) {
			return
		}
	}
	t.Error("each datagram is said to have come when it was read")
}
