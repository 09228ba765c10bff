package bench

import (
	"context"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// reference runs the stock forwarder in this process.
func reference(t *testing.T) (base string) {
	t.Helper()
	r, err := NewReference()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

// TestRun loads the reference: what comes of it is what is known to come.
func TestRun(t *testing.T) {
	base := reference(t)
	c := Config{
		WHIP: base + "/whip", WHEP: base + "/whep", VideoPublishers: 1, AudioPublishers: 1, Subscribers: 4, JoinRate: 100,
		Settle: 300 * time.Millisecond, Duration: time.Second, VideoBitrate: 1_500_000,
	}
	if runtime.GOOS == "linux" {
		c.PID = os.Getpid()
	}
	var said []string
	c.Progress = func(s string) { said = append(said, s) }
	before := runtime.NumGoroutine()
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if r.Subscribers != 4 || r.Failed != 0 || r.Ended != 0 || r.FirstFailure != "" || r.JoinsPerSecond <= 0 {
		t.Errorf("joins: %+v", r)
	}
	if r.Audio == nil || r.Video == nil {
		t.Fatalf("result %+v", r)
	}
	for _, k := range []*KindResult{r.Audio, r.Video} {
		if k.Sent == 0 || k.Expected != 4*k.Sent || k.Received+k.Lost != k.Expected {
			t.Errorf("counts %+v", *k)
		}
		if k.Lost > k.Expected/2 || k.Duplicates > k.Expected/2 {
			t.Errorf("lost and doubled %+v", *k)
		}
		if k.DelayP50 <= 0 || k.DelayP95 < k.DelayP50 || k.DelayP99 < k.DelayP95 || k.DelayMax < k.DelayP99 {
			t.Errorf("delays %+v", *k)
		}
	}
	if !strings.Contains(r.SRTP, "AES") || r.FirstPacket <= 0 || r.FirstPicture < r.FirstPacket || r.ConnectP50 <= 0 {
		t.Errorf("firsts %+v", r)
	}
	if r.Packets == 0 || r.Bitrate <= 0 || r.Seconds <= 0 {
		t.Errorf("traffic %+v", r)
	}
	if c.PID != 0 && (r.CPU <= 0 || r.CPUPerPacket <= 0 || r.RSS == 0 || r.Threads == 0 || r.OwnCPU <= 0) {
		t.Errorf("process %+v", r)
	}
	if len(said) == 0 || !strings.HasPrefix(said[len(said)-1], "measuring") {
		t.Errorf("progress %q", said)
	}
	// The reference's own connections end within moments.
	for range 100 {
		if runtime.NumGoroutine() <= before+5 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("%d goroutines before, %d after", before, runtime.NumGoroutine())
}

// TestIdle has viewers of something that nobody sends.
func TestIdle(t *testing.T) {
	base := reference(t)
	r, err := Run(t.Context(), Config{WHEP: base + "/whep", Subscribers: 3, JoinRate: 100, Duration: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if r.Packets != 0 || r.Audio != nil || r.Video != nil || r.Failed != 0 || r.FirstPacket != 0 {
		t.Errorf("result %+v", r)
	}
}

func TestRunRefused(t *testing.T) {
	base := reference(t)
	tests := []struct {
		name string
		c    Config
		want string
	}{
		{"publisher", Config{WHIP: base + "/nothing", AudioPublishers: 1, JoinRate: 1, Duration: time.Second}, "answered 404"},
		{"all viewers", Config{WHEP: base + "/nothing", Subscribers: 3, JoinRate: 100, Duration: time.Second}, "answered 404"},
		{"no server", Config{WHEP: "http://127.0.0.1:1/", Subscribers: 1, JoinRate: 100, Duration: time.Second}, "cannot be reached"},
	}
	for _, x := range tests {
		if r, err := Run(t.Context(), x.c); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %+v, %v", x.name, r, err)
		}
	}
}

// TestInterrupted checks that an end in the middle of the measurement still gives figures, and an earlier one an error.
func TestInterrupted(t *testing.T) {
	base := reference(t)
	ctx, cancel := context.WithCancel(t.Context())
	c := Config{WHIP: base + "/whip", WHEP: base + "/whep", AudioPublishers: 1, Subscribers: 1, JoinRate: 100, Duration: time.Hour}
	c.Progress = func(s string) {
		if strings.HasPrefix(s, "measuring") {
			time.AfterFunc(500*time.Millisecond, cancel)
		}
	}
	r, err := Run(ctx, c)
	if err != nil || r.Seconds > 60 || r.Audio == nil || r.Audio.Sent == 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := Run(ctx, c); err == nil {
		t.Errorf("already interrupted: %+v", r)
	}
}
