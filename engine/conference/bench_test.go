//go:build unix

package conference

import (
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/mixer/tonetest"
)

// limiterDelay is what the mixer's limiter looks ahead.
const limiterDelay = 2 * time.Millisecond

// voicePackets returns a second of a tone.
func voicePackets(b *testing.B, frequency float64) (packets [][]byte, level uint8) {
	b.Helper()
	v, err := tonetest.NewVoice(frequency, 0.1)
	if err != nil {
		b.Fatal(err)
	}
	defer v.Close()
	for range 50 {
		var p []byte
		if p, level, err = v.Packet(); err != nil {
			b.Fatal(err)
		}
		packets = append(packets, p)
	}
	return packets, level
}

// BenchmarkDelay: everybody sends, in real time; an operation is a tick. "ms-p50" and "ms-p99" are what mixing adds behind the jitter buffer:
// from the time of a tick, at which the buffers give their frames, until what was made of them is handed out, and the limiter's look ahead.
// That of the codec (6.5 ms) is in any Opus.
func BenchmarkDelay(b *testing.B) {
	for _, n := range []int{3, 10, 50} {
		b.Run(fmt.Sprintf("N=%d", n), func(b *testing.B) {
			s := New()
			defer s.Close()
			m, err := s.Open(func(*engine.MediaPacket) {})
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close()
			var mu sync.Mutex
			var delays []time.Duration
			ticked := make(chan struct{}, 1)
			packets, level := voicePackets(b, 500)
			var seats []engine.Seat
			for i := range n {
				seat, err := m.Join(engine.SeatConfig{Participant: fmt.Sprint(i), Hear: func(p *engine.MediaPacket) {
					d := time.Since(s.clock.at(uint64(p.Timestamp)/960)) + limiterDelay
					mu.Lock()
					delays = append(delays, d)
					mu.Unlock()
					if i == n-1 {
						select {
						case ticked <- struct{}{}:
						default:
						}
					}
				}})
				if err != nil {
					b.Fatal(err)
				}
				defer seat.Close()
				seats = append(seats, seat)
			}
			stop := make(chan struct{})
			var done sync.WaitGroup
			done.Go(func() {
				tick := time.NewTicker(20 * time.Millisecond)
				defer tick.Stop()
				for k := int64(1); ; k++ {
					select {
					case <-stop:
						return
					case <-tick.C:
					}
					for _, seat := range seats {
						seat.Write(&engine.MediaPacket{Sequence: k, Timestamp: uint32(k) * 960, Payload: packets[k%50], Level: level, Voice: true})
					}
				}
			})
			<-ticked
			for b.Loop() {
				<-ticked
			}
			close(stop)
			done.Wait()
			mu.Lock()
			defer mu.Unlock()
			slices.Sort(delays)
			ms := func(q float64) float64 { return delays[int(q*float64(len(delays)-1))].Seconds() * 1000 }
			b.ReportMetric(ms(0.5), "ms-p50")
			b.ReportMetric(ms(0.99), "ms-p99")
			b.ReportMetric(float64(s.Stats().Skipped), "skipped")
		})
	}
}

// BenchmarkIdleRooms: a thousand rooms of two, in real time; an operation is 20 ms. Nobody sends anything, or all send what browsers do while
// they are silent: a packet every 400 ms.
func BenchmarkIdleRooms(b *testing.B) {
	for _, sends := range []bool{false, true} {
		name := "nothing"
		if sends {
			name = "silence"
		}
		b.Run(name, func(b *testing.B) {
			s := New()
			defer s.Close()
			var seats []engine.Seat
			for range 1000 {
				m, err := s.Open(func(*engine.MediaPacket) {})
				if err != nil {
					b.Fatal(err)
				}
				for _, who := range []string{"a", "b"} {
					seat, err := m.Join(engine.SeatConfig{Participant: who, Hear: func(*engine.MediaPacket) {}})
					if err != nil {
						b.Fatal(err)
					}
					seats = append(seats, seat)
				}
			}
			time.Sleep(300 * time.Millisecond) // until all have been told who is there
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			k, start, before := 0, time.Now(), cpuTime()
			for b.Loop() {
				<-tick.C
				for i := k % 20; sends && i < len(seats); i += 20 {
					n := k / 20
					seats[i].Write(&engine.MediaPacket{Sequence: int64(n), Timestamp: uint32(k) * 960, Payload: silence, Level: 127})
				}
				k++
			}
			b.ReportMetric(float64(cpuTime()-before)/float64(time.Since(start))*100, "%-of-a-core")
		})
	}
}

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
