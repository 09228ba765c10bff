package hop

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/transport/v5/vnet"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// forgedRecords are DTLS records as somebody without keys can make them: well-formed headers, some contents too.
func forgedRecords(rng *rand.Rand, n int) [][]byte {
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	all := make([][]byte, 0, n)
	for range n {
		body := random(rng.IntN(120))
		typ := byte(20 + rng.IntN(6))
		switch rng.IntN(4) {
		case 0: // alerts in clear, fatal ones and close_notify
			typ, body = 21, []byte{byte(1 + rng.IntN(2)), []byte{0, 10, 20, 40, 42, 80}[rng.IntN(6)]}
		case 1: // handshake messages of all types, complete but for their content
			typ = 22
			hs := []byte{byte(rng.IntN(25)), 0, 0, byte(len(body)), 0, byte(rng.IntN(8)), 0, 0, 0, 0, 0, byte(len(body))}
			body = append(hs, body...)
		case 2: // a ClientHello
			typ = 22
			hello := append([]byte{0xfe, 0xfd}, random(32)...)
			hello = append(hello, 0, 0, 0, 2, 0xc0, 0x2b, 1, 0)
			hs := []byte{1, 0, 0, byte(len(hello)), 0, byte(rng.IntN(3)), 0, 0, 0, 0, 0, byte(len(hello))}
			body = append(hs, hello...)
		}
		b := []byte{typ, 0xfe, 0xfd, 0, byte(rng.IntN(3)), 0, 0, 0, 0}
		b = binary.BigEndian.AppendUint16(b, uint16(rng.Uint32()))
		b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
		all = append(all, append(b, body...))
	}
	return all
}

// TestForgedDTLSWithSpoofedAddress puts records into an open hop as somebody would who can spoof the peer's address.
func TestForgedDTLSWithSpoofedAddress(t *testing.T) {
	inLab(t, 2, delay, func(t *testing.T, l *lab) {
		a, b := l.nodes[0], l.nodes[1]
		ha, hb := a.dial(b)
		rng := rand.New(rand.NewPCG(3, 4))
		for i, r := range forgedRecords(rng, 1000) {
			for _, h := range []engine.Hop{ha, hb} {
				h.(*Hop).receive.feed.Put(r)
			}
			time.Sleep(time.Millisecond)
			synctest.Wait()
			if ha.(*Hop).ending() || hb.(*Hop).ending() {
				t.Fatalf("record %d (%x) ended the hop: %v, %v", i, r, ha.(*Hop).err(), hb.(*Hop).err())
			}
		}
		_ = hb.Close()
		settle()
		if !ha.(*Hop).ending() {
			t.Error("close_notify was not heard after that")
		}
	})
}

// TestSprayedGarbage has a stranger send to both sides' addresses, before, during and after the set-up.
func TestSprayedGarbage(t *testing.T) {
	inLab(t, 2, delay, func(t *testing.T, l *lab) {
		a, b := l.nodes[0], l.nodes[1]
		ports := make(chan *net.UDPAddr, 100)
		seen := map[string]bool{}
		l.router.AddChunkFilter(func(c vnet.Chunk) bool {
			u, ok := c.SourceAddr().(*net.UDPAddr)
			l.set(func() {
				if ok && u.IP.String() != "11.0.0.99" && !seen[u.String()] {
					seen[u.String()] = true
					ports <- u
				}
			})
			return true
		})
		stranger, err := l.host("11.0.0.99").ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(11, 0, 0, 99), Port: 4000})
		if err != nil {
			t.Fatal(err)
		}
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			rng := rand.New(rand.NewPCG(5, 6))
			var targets []*net.UDPAddr
			for {
				select {
				case <-stop:
					return
				case u := <-ports:
					targets = append(targets, u)
				case <-time.After(time.Millisecond):
				}
				for _, u := range targets {
					for _, r := range forgedRecords(rng, 3) {
						if rng.IntN(3) == 0 {
							r[0] = byte(rng.Uint32())
						}
						_, _ = stranger.WriteTo(r, u)
					}
				}
			}
		}()
		ha, hb := a.dial(b)
		for i := range 200 {
			_, _ = hb.WritePackets(originPackets(wire.KindAudio, uint64(10*i), 10, 80))
			time.Sleep(5 * time.Millisecond)
		}
		settle()
		if a.count() != 2000 || ha.(*Hop).ending() || hb.(*Hop).ending() {
			t.Errorf("%d of 2000 packets arrived, hop ended with %v", a.count(), ha.(*Hop).err())
		}
		close(stop)
		<-stopped
		_ = stranger.Close()
	})
}

// TestBadPacketsCostThemselves puts datagrams on the wire from the peer's own socket.
func TestBadPacketsCostThemselves(t *testing.T) {
	inLab(t, 2, delay, func(t *testing.T, l *lab) {
		a, b := l.nodes[0], l.nodes[1]
		ha, hb := a.dial(b)
		b.mu.Lock()
		b.onPacket = func(_ engine.Hop, p []byte) {
			if h, _, _ := wire.ParseHeader(p); h.Number == 3 {
				panic("a handler that fails")
			}
		}
		b.mu.Unlock()
		rng := rand.New(rand.NewPCG(7, 8))
		bad := 0
		for i := range 500 {
			p := make([]byte, 1+rng.IntN(300))
			for j := range p {
				p[j] = byte(rng.Uint32())
			}
			p[0] = byte(64 + rng.IntN(192)) // neither STUN nor DTLS
			if n, err := ha.(*Hop).conn.Write(p); err == nil && n == len(p) {
				bad++
			}
			if i%50 == 0 {
				_, _ = ha.WritePackets(originPackets(wire.KindVideo, uint64(i/50), 1, 500))
			}
			time.Sleep(time.Millisecond)
		}
		settle()
		if s := hb.Stats(); s.Invalid != uint64(bad)+1 || b.count() != 10 {
			t.Errorf("%d of %d bad packets and one panic counted, %d of 10 good ones arrived", s.Invalid, bad, b.count())
		}
	})
}
