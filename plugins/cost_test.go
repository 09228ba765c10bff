//go:build linux

package plugins

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// manyMedia is a room with many streams of sound.
type manyMedia struct {
	*testMedia
	streams []*engine.StreamState
}

func (m *manyMedia) Streams() []*engine.StreamState { return m.streams }
func (m *manyMedia) Subscribe(s engine.Sink, o engine.SinkOptions) (engine.Subscription, error) {
	sub, err := m.testMedia.Subscribe(s, o)
	s.Streams(m.streams)
	return sub, err
}

type manyService struct {
	*testService
	media *manyMedia
}

func (s *manyService) Find(string) (engine.Media, error) { return s.media, nil }

// processTime returns the CPU time of a process.
func processTime(t testing.TB, pid int) time.Duration {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text)[strings.LastIndexByte(string(text), ')')+2:])
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// BenchmarkStream shows what the stream to a plugin costs on both sides, for 500 tracks of 50 packets of 100 octets a second: each
// iteration is a second. AutoMTLS is on.
func BenchmarkStream(b *testing.B) {
	for _, tracks := range []int{100, 500} {
		b.Run(fmt.Sprintf("%d", tracks), func(b *testing.B) {
			h := newTestHost(b)
			h.install("count", Change{Grant: []string{"rooms", "audio"}, Set: []string{"do=count"}})
			media := &manyMedia{testMedia: h.service.media}
			for i := range tracks {
				media.streams = append(media.streams, &engine.StreamState{ID: wire.StreamID(i + 1), Kind: wire.KindAudio, Codec: "opus", ClockRate: 48000, Live: true})
			}
			if err := h.Start(&manyService{h.service, media}, func(engine.Event) {}); err != nil {
				b.Fatal(err)
			}
			pid := h.running("count").PID
			for media.listeners() == 0 {
				time.Sleep(10 * time.Millisecond)
			}
			sink := media.sinks[0].sink
			p := &engine.Packet{Payload: make([]byte, 100)}
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			number := uint64(0)
			seconds := func(n int) {
				for range 50 * n {
					<-tick.C
					for _, st := range media.streams {
						p.Stream, p.Header = st, wire.Header{Kind: wire.KindAudio, Number: number, Timestamp: uint32(number * 960), Level: 30}
						sink.WritePacket(p)
					}
					number++
				}
			}
			seconds(1)
			var before, after syscall.Rusage
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
			plugin := processTime(b, pid)
			b.ResetTimer()
			began := time.Now()
			seconds(b.N)
			wall := time.Since(began)
			b.StopTimer()
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
			host := time.Duration(after.Utime.Nano() - before.Utime.Nano() + after.Stime.Nano() - before.Stime.Nano())
			plugin = processTime(b, pid) - plugin
			b.ReportMetric(100*host.Seconds()/wall.Seconds(), "host-%core")
			b.ReportMetric(100*plugin.Seconds()/wall.Seconds(), "plugin-%core")
			b.ReportMetric(float64(h.running("count").Dropped), "dropped")
		})
	}
}
