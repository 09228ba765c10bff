//go:build linux

package e2e_test

import (
	encoding "encoding/binary"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// wiretap notes when the kernel passes RTP packets from one peer's media port to another's over the loopback. It sees what a hop
// takes exactly: the time from a packet's coming in at a peer to the same packet's going out to a child, without the wait for
// manifests, which only leaves do, and without the lateness of this process.
//
// Hop packets are encrypted, but not their RTP headers, whose timestamp and payload type are those of the origin packet, as is
// their length but for a constant. The payloads of one picture differ in length, so the three name a packet.
type wiretap struct {
	fd    int
	ports map[uint16]bool

	mu   sync.Mutex
	seen map[wire]time.Duration // of any zero
	done sync.WaitGroup
}

// wire is a packet between two ports.
type wire struct {
	from, to  uint16
	typ       byte
	timestamp uint32
	length    int
}

// tap begins to listen; nil where this process may not.
func tap(t *testing.T, peers []*node) *wiretap {
	t.Helper()
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Logf("hops are not measured on the wire: %v", err)
		return nil
	}
	proto := uint16(unix.ETH_P_ALL)<<8 | uint16(unix.ETH_P_ALL)>>8
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(proto))
	if err != nil {
		t.Logf("hops are not measured on the wire, which needs CAP_NET_RAW: %v", err)
		return nil
	}
	w := &wiretap{fd: fd, ports: map[uint16]bool{}, seen: map[wire]time.Duration{}}
	for _, p := range peers {
		w.ports[uint16(p.mediaPort())] = true
	}
	for _, err := range []error{
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: lo.Index}),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 200_000}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20)
	stop := make(chan struct{})
	w.done.Go(func() { w.run(stop) })
	t.Cleanup(func() {
		close(stop)
		w.done.Wait()
		_ = unix.Close(fd)
	})
	return w
}

func (w *wiretap) run(stop chan struct{}) {
	buf, oob := make([]byte, 2048), make([]byte, 256)
	for {
		select {
		case <-stop:
			return
		default:
		}
		n, oobn, _, from, err := unix.Recvmsg(w.fd, buf, oob, 0)
		if err != nil {
			continue // timeouts let this look at stop
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); !ok || ll.Pkttype == unix.PACKET_OUTGOING {
			continue // the loopback shows everything twice
		}
		if p, ok := w.parse(buf[:n]); ok {
			if at, ok := stampOf(oob[:oobn]); ok {
				w.mu.Lock()
				if _, again := w.seen[p]; !again {
					w.seen[p] = at
				}
				w.mu.Unlock()
			}
		}
	}
}

// parse reads an IP packet.
func (w *wiretap) parse(b []byte) (p wire, ok bool) {
	if len(b) < 20 {
		return p, false
	}
	proto, header := b[9], int(b[0]&15)*4
	if b[0]>>4 == 6 {
		if len(b) < 40 {
			return p, false
		}
		proto, header = b[6], 40
	}
	if proto != unix.IPPROTO_UDP || len(b) < header+8+12 {
		return p, false
	}
	udp := b[header:]
	p.from, p.to = encoding.BigEndian.Uint16(udp), encoding.BigEndian.Uint16(udp[2:])
	rtp := udp[8:]
	if !w.ports[p.from] || !w.ports[p.to] || rtp[0]>>6 != 2 || rtp[1] >= 192 && rtp[1] < 224 {
		return p, false
	}
	p.typ, p.timestamp, p.length = rtp[1]&0x7f, encoding.BigEndian.Uint32(rtp[4:]), int(encoding.BigEndian.Uint16(udp[4:]))
	return p, true
}

func stampOf(oob []byte) (time.Duration, bool) {
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return 0, false
	}
	for _, m := range messages {
		if m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16 {
			return time.Duration(int64(encoding.NativeEndian.Uint64(m.Data))*1e9 + int64(encoding.NativeEndian.Uint64(m.Data[8:]))), true
		}
	}
	return 0, false
}

// take returns what was seen and begins anew.
func (w *wiretap) take() map[wire]time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.seen
	w.seen = map[wire]time.Duration{}
	return seen
}

// hopDelays returns, of all packets that came to a peer from its parent and went from it to a child, how long that took.
func hopDelays(seen map[wire]time.Duration, parent, self, child int) []time.Duration {
	var all []time.Duration
	for p, in := range seen {
		if int(p.from) != parent || int(p.to) != self {
			continue
		}
		p.from, p.to = uint16(self), uint16(child)
		if out, ok := seen[p]; ok {
			all = append(all, out-in)
		}
	}
	return all
}
