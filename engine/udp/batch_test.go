package udp

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// collector keeps copies of what comes.
type collector struct {
	mu  sync.Mutex
	all [][]byte
	got chan struct{}
}

func newCollector() *collector { return &collector{got: make(chan struct{}, 1<<16)} }

func (c *collector) Datagram(_ *Socket, _ netip.AddrPort, b []byte) {
	c.mu.Lock()
	c.all = append(c.all, bytes.Clone(b))
	c.mu.Unlock()
	c.got <- struct{}{}
}

func (c *collector) wait(t testing.TB, n int) [][]byte {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for i := range n {
		select {
		case <-c.got:
		case <-timeout:
			t.Fatalf("%d datagrams of %d", i, n)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all
}

// loopback returns the socket of a Port on one loopback address.
func loopback(t testing.TB, ip net.IP) *Socket {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: ip})
	if err != nil {
		t.Skip("no such address:", err)
	}
	p, err := On(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p.Sockets()[0]
}

func add(b *Batch, to netip.AddrPort, datagram []byte) {
	b.Add(to, len(append(b.Space(len(datagram)), datagram...)))
}

// TestBatch: whatever is batched, joined, cut and joined again, each receiver gets his datagrams as they were, in order.
func TestBatch(t *testing.T) {
	for _, ip := range []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback} {
		for _, segments := range []bool{true, false} {
			t.Run(fmt.Sprint(ip, segments), func(t *testing.T) {
				from, one, two := loopback(t, ip), loopback(t, ip), loopback(t, ip)
				if !segments {
					from.segments.Store(false)
				}
				c1, c2 := newCollector(), newCollector()
				one.Claim(from.LocalAddr(), c1)
				two.Claim(from.LocalAddr(), c2)
				b := from.NewBatch(64 << 10)
				var want1, want2 [][]byte
				put := func(to *Socket, want *[][]byte, size int) {
					d := bytes.Repeat([]byte{byte(len(*want) + 1)}, size)
					*want = append(*want, d)
					add(b, to.LocalAddr(), d)
				}
				for _, n := range []int{7, 1, 61, 130} { // pictures of so many packets, the last of each shorter
					for i := range n {
						size := 1100
						if i == n-1 {
							size = 333
						}
						put(one, &want1, size)
					}
					put(two, &want2, 100)
				}
				for size := range 40 { // all of different lengths
					put(one, &want1, size+1)
					put(two, &want2, 40-size)
				}
				for range 200 { // two by turns: nothing can be joined
					put(one, &want1, 120)
					put(two, &want2, 120)
				}
				sent := b.Flush()
				if sent.Failed != 0 || sent.Datagrams != len(want1)+len(want2) {
					t.Fatalf("%+v of %d", sent, len(want1)+len(want2))
				}
				for i, got := range [][][]byte{c1.wait(t, len(want1)), c2.wait(t, len(want2))} {
					want := [][][]byte{want1, want2}[i]
					for j := range want {
						if !bytes.Equal(got[j], want[j]) {
							t.Fatalf("receiver %d, datagram %d: %d octets of %d, want %d of %d", i, j, len(got[j]), got[j][0], len(want[j]), want[j][0])
						}
					}
				}
				if again := b.Flush(); again != (Sent{}) {
					t.Fatalf("%+v from an empty batch", again)
				}
			})
		}
	}
}

// TestBatchRefused: what the system does not take is counted, and takes nothing else with it.
func TestBatchRefused(t *testing.T) {
	from, to := loopback(t, net.IPv4(127, 0, 0, 1)), loopback(t, net.IPv4(127, 0, 0, 1))
	c := newCollector()
	to.Claim(from.LocalAddr(), c)
	b := from.NewBatch(256 << 10)
	nowhere := netip.MustParseAddrPort("127.0.0.1:0")
	add(b, to.LocalAddr(), []byte("one"))
	add(b, nowhere, []byte("lost"))
	add(b, nowhere, []byte("also"))
	add(b, to.LocalAddr(), []byte("two"))
	add(b, to.LocalAddr(), make([]byte, 65530)) // more than IP takes
	add(b, to.LocalAddr(), []byte("three"))
	if sent := b.Flush(); sent.Datagrams != 3 || sent.Failed != 3 || sent.Octets != 11 {
		t.Fatalf("%+v", sent)
	}
	if got := c.wait(t, 3); string(bytes.Join(got, nil)) != "onetwothree" {
		t.Fatalf("%q", got)
	}
	if n := from.port.Stats().Unsent; n != 3 {
		t.Fatalf("%d unsent", n)
	}
	b.Add(to.LocalAddr(), 0)
	b.Add(to.LocalAddr(), 1<<20)
	if sent := b.Flush(); sent != (Sent{}) {
		t.Fatalf("%+v of nothing", sent)
	}
}

// TestSegmentsTooLong: parts that do not fit the way go as IP fragments, one by one.
func TestSegmentsTooLong(t *testing.T) {
	from, to := loopback(t, net.IPv4(127, 0, 0, 1)), loopback(t, net.IPv4(127, 0, 0, 1))
	c := newCollector()
	to.Claim(from.LocalAddr(), c)
	b := from.NewBatch(128 << 10)
	for range 2 {
		add(b, to.LocalAddr(), make([]byte, 30000))
	}
	m := &b.messages[0]
	if from.segments.Load() && (len(b.messages) != 1 || m.segments != 2) {
		t.Fatalf("%+v", b.messages)
	}
	b.singly(m) // what the kernel's refusal leads to
	if got := c.wait(t, m.segments); len(got[0]) != 30000 {
		t.Fatalf("%d octets", len(got[0]))
	}
}

func TestSteadySendsDoNotAllocate(t *testing.T) {
	from, to := loopback(t, net.IPv4(127, 0, 0, 1)), loopback(t, net.IPv4(127, 0, 0, 1))
	b := from.NewBatch(64 << 10)
	packet := make([]byte, 1000)
	send := func() {
		for range 10 {
			add(b, to.LocalAddr(), packet)
		}
		b.Flush()
	}
	send()
	if n := testing.AllocsPerRun(200, send); n != 0 {
		t.Errorf("%.1f allocations", n)
	}
}

func BenchmarkBatch(b *testing.B) {
	for _, segments := range []bool{true, false} {
		name := "plain"
		if segments {
			name = "segmented"
		}
		b.Run(name, func(b *testing.B) {
			from, to := loopback(b, net.IPv4(127, 0, 0, 1)), loopback(b, net.IPv4(127, 0, 0, 1))
			from.segments.Store(segments && from.segments.Load())
			batch, packet := from.NewBatch(64<<10), make([]byte, 1100)
			b.ReportAllocs()
			b.SetBytes(6 * 1100)
			for b.Loop() {
				for range 6 {
					add(batch, to.LocalAddr(), packet)
				}
				batch.Flush()
			}
		})
	}
}
