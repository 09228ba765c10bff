//go:build linux

package e2e_test

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// benchKind and benchResult are what `castd bench --json` promises.
type benchKind struct {
	Sent     uint64  `json:"sent"`
	Expected uint64  `json:"expected"`
	Received uint64  `json:"received"`
	Lost     uint64  `json:"lost"`
	DelayP50 float64 `json:"delay_ms_p50"`
	DelayP99 float64 `json:"delay_ms_p99"`
	DelayMax float64 `json:"delay_ms_max"`
}

type benchResult struct {
	Seconds      float64    `json:"seconds"`
	Subscribers  int        `json:"subscribers"`
	Failed       int        `json:"failed"`
	JoinRate     float64    `json:"joins_per_second"`
	Packets      uint64     `json:"packets"`
	FirstPacket  float64    `json:"first_packet_ms_p50"`
	FirstPicture float64    `json:"first_picture_ms_p50"`
	Audio        *benchKind `json:"audio"`
	Video        *benchKind `json:"video"`
	CPUPerPacket float64    `json:"cpu_us_per_packet"`
	CPUIdle      float64    `json:"cpu_ms_per_viewer_second"`
	RSS          int64      `json:"rss_bytes"`
	Threads      int        `json:"threads"`
	Files        int        `json:"files"`
	OwnCPU       float64    `json:"own_cpu_cores"`
}

// sane fails unless a result is that of viewers who got what was sent.
func (r *benchResult) sane(t *testing.T, what string) {
	t.Helper()
	if r.Seconds <= 0 || r.Failed != 0 || r.Packets == 0 || r.CPUPerPacket <= 0 || r.RSS < 5<<20 || r.Threads == 0 || r.OwnCPU < 0 {
		t.Errorf("%s: %+v", what, r)
	}
	for _, k := range []*benchKind{r.Audio, r.Video} {
		if k == nil {
			continue
		}
		if k.Sent == 0 || k.Expected != k.Sent*uint64(r.Subscribers) || k.Received+k.Lost != k.Expected || k.Lost > k.Expected/10 {
			t.Errorf("%s: %+v", what, *k)
		}
		if k.DelayP50 <= 0 || k.DelayP50 > k.DelayP99 || k.DelayP99 > k.DelayMax {
			t.Errorf("%s: delays %+v", what, *k)
		}
	}
}

// TestBench loads a running peer, which is found by its data folder.
func TestBench(t *testing.T) {
	o := origin(t, "--upload", "100M")
	out, errs, code := castd(t, "bench", "--data-dir", o.dir, "--room", "lobby", "--video-publishers", "1", "--audio-publishers", "1",
		"--subscribers", "3", "--duration", "2s", "--settle", "500ms", "--num-per-second", "50", "--json")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	var r benchResult
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	r.sane(t, "bench")
	if r.Subscribers != 3 || r.Audio == nil || r.Video == nil || r.FirstPacket <= 0 || r.FirstPicture < r.FirstPacket || r.JoinRate <= 0 {
		t.Errorf("got %+v", r)
	}
	if r.Audio != nil && r.Video != nil && (r.Audio.Sent < 50 || r.Video.Sent < 2*r.Audio.Sent) {
		t.Errorf("sent %+v, %+v", *r.Audio, *r.Video)
	}

	// For people, by address, without knowing the process.
	ready := o.ready()
	out, errs, code = castd(t, "bench", ready.text("http")+"/whip/lobby", "--token", ready.text("token"), "--audio-publishers", "1",
		"--subscribers", "2", "--duration", "1s", "--settle", "0s")
	if code != 0 || !strings.Contains(out, "audio  ") || !strings.Contains(out, "0 failed") || strings.Contains(out, "us/packet") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	if !strings.Contains(errs, "measuring for 1s") {
		t.Errorf("no progress: %s", errs)
	}

	// What goes wrong is said.
	for _, x := range []struct {
		args string
		code int
		want string
	}{
		{ready.text("http") + "/whip/lobby --token wrong --audio-publishers 1", 1, "the token is wrong: give another with --token"},
		{ready.text("http") + "/whip/lobby --audio-publishers 1", 1, "it wants a token: give one with --token"},
		{ready.text("http") + "/whip/other --token " + ready.text("token") + " --audio-publishers 1", 3, "check the path of the address"},
		{ready.text("http") + "/whep/other --token " + ready.text("token") + " --subscribers 2", 3, "check the path of the address"},
		{"--whep " + ready.text("http") + "/ --subscribers 1", 1, "answered 405"},
		{"--data-dir " + o.dir + " --room other --subscribers 1", 3, "no room of that name"},
		{"http://127.0.0.1:1/whip/lobby --audio-publishers 1", 3, "cannot be reached"},
	} {
		if out, errs, code := castd(t, append([]string{"bench"}, strings.Fields(x.args)...)...); code != x.code || !strings.Contains(errs, x.want) {
			t.Errorf("bench %s: exit code %d, want %d: %s%s", x.args, code, x.code, out, errs)
		}
	}
	if code, took := o.stop(); code != 0 || took > 10*time.Second {
		t.Errorf("the peer ended with %d after %v", code, took)
	}
}

// TestBenchCallers loads a conference: each of those who talk hears the others and not himself, and so do those who are silent.
func TestBenchCallers(t *testing.T) {
	p := launch(t, "hub", "start", "--room", "talk", "--mode", "conference", "--upload", "100M", "--http", "127.0.0.1:0")
	p.ready()
	out, errs, code := castd(t, "bench", "--data-dir", p.dir, "--room", "talk", "--callers", "5", "--talking", "3", "--subscribers", "2",
		"--duration", "4s", "--num-per-second", "50", "--json")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	var r struct {
		benchResult
		CPU  float64 `json:"cpu_cores"`
		Call struct {
			Callers  int     `json:"callers"`
			Talking  int     `json:"talking"`
			Failed   int     `json:"failed"`
			Ended    int     `json:"ended"`
			Sent     uint64  `json:"sent"`
			Expected uint64  `json:"expected"`
			Received uint64  `json:"received"`
			Lost     uint64  `json:"lost"`
			Twice    uint64  `json:"duplicates"`
			Ears     int     `json:"ears"`
			Others   int     `json:"others_p50"`
			Level    float64 `json:"others_db_p50"`
			Own      float64 `json:"own_voice_db"`
			Faulty   int     `json:"faulty_packets"`
		} `json:"call"`
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	c := r.Call
	if c.Callers != 5 || c.Talking != 3 || c.Failed+c.Ended+r.Failed != 0 || c.Ears != 5 || c.Faulty != 0 || r.CPU <= 0 {
		t.Errorf("%s", out)
	}
	// On a machine that is busy some of what is due in the window comes after it.
	if c.Sent < 300 || c.Received < 300 || c.Received+c.Lost != c.Expected || c.Lost > c.Expected/10 || c.Twice != 0 || r.Packets < c.Received {
		t.Errorf("packets: %s", out)
	}
	if c.Others < 2 || c.Level < -26 || c.Level > -14 || c.Own > -45 {
		t.Errorf("heard: %s", out)
	}
}

// TestBenchInterrupted stops a measurement: what there is gets printed.
func TestBenchInterrupted(t *testing.T) {
	o := origin(t)
	p := spawn(t, "bench", "", "bench", "--data-dir", o.dir, "--room", "lobby", "--audio-publishers", "1", "--subscribers", "1", "--settle", "0s", "--duration", "1h")
	for deadline := time.Now().Add(patience); !strings.Contains(p.stderr(), "measuring") && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	time.Sleep(500 * time.Millisecond)
	if code, _ := p.stop(); code != 0 || !strings.Contains(p.stdout(), "delay") {
		t.Errorf("exit code %d: %s%s", code, p.stdout(), p.stderr())
	}
}

// TestBenchReference measures with the stock forwarder beside: a peer that runs, and processes of its own.
func TestBenchReference(t *testing.T) {
	type row struct {
		Load      string       `json:"load"`
		Rounds    int          `json:"rounds"`
		Target    *benchResult `json:"target"`
		Reference *benchResult `json:"reference"`
		Ratio     float64      `json:"ratio"`
	}
	check := func(out string) {
		t.Helper()
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if len(lines) != 1 {
			t.Fatalf("output %q", out)
		}
		var r row
		if err := json.Unmarshal([]byte(lines[0]), &r); err != nil || r.Target == nil || r.Reference == nil {
			t.Fatalf("%v in %q", err, out)
		}
		r.Reference.sane(t, r.Load+", reference")
		if r.Target.Subscribers > 0 {
			r.Target.sane(t, r.Load)
		}
		if want := r.Target.CPUPerPacket / r.Reference.CPUPerPacket; r.Rounds != 1 || r.Ratio < want*0.99 || r.Ratio > want*1.01 || r.Ratio == 0 {
			t.Errorf("%s: %d rounds, ratio %v, want %v", r.Load, r.Rounds, r.Ratio, want)
		}
	}
	o := origin(t, "--upload", "100M")
	ready := o.ready()
	out, errs, code := castd(t, "bench", ready.text("http")+"/whip/lobby", "--token", ready.text("token"), "--pid", strconv.Itoa(o.cmd.Process.Pid),
		"--reference", "--rounds", "1", "--audio-publishers", "1", "--subscribers", "3", "--duration", "1s", "--settle", "200ms", "--json")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	check(out)
	o.stop()

	// The table starts all that it measures, and leaves nothing of it.
	t.Setenv("TMPDIR", folder(t))
	out, errs, code = castd(t, "bench", "--reference", "--rounds", "1", "--row", "video, 20", "--duration", "1s", "--settle", "200ms",
		"--num-per-second", "100", "--json")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	check(out)
	out, errs, code = castd(t, "bench", "--reference", "--rounds", "1", "--row", "idle", "--duration", "1s", "--settle", "200ms",
		"--num-per-second", "100", "--markdown")
	if code != 0 || !strings.Contains(out, "| --- |") || !strings.Contains(out, "| idle, 100 viewers | ") || !strings.Contains(out, "medians of 1 rounds") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestBenchPeers measures what hops to other peers cost, with few of them.
func TestBenchPeers(t *testing.T) {
	p := spawn(t, "peer", "", "bench", "peer", "a-token-for-this-test")
	ready := p.ready()
	children := spawn(t, "children", "", "bench", "children", p.address(), ready.text("room"), "--peers", "3")
	children.ready()
	out, errs, code := castd(t, "bench", ready.text("http")+"/whip/bench", "--token", ready.text("token"), "--audio-publishers", "1", "--duration", "1s", "--settle", "0s")
	if code != 0 {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	told := func() (up, packets int) {
		lines := strings.Split(strings.TrimSpace(children.stdout()), "\n")
		f := strings.Fields(lines[len(lines)-1])
		if len(f) == 2 {
			up, _ = strconv.Atoi(f[0])
			packets, _ = strconv.Atoi(f[1])
		}
		return up, packets
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if up, packets := told(); up == 3 && packets >= 3*40 {
			break
		}
	}
	if up, packets := told(); up != 3 || packets < 3*40 {
		t.Errorf("%d children up, %d packets", up, packets)
	}
	// Both end with their standard input.
	children.in.Close()
	p.in.Close()
	if a, b := children.exit(), p.exit(); a != 0 || b != 0 {
		t.Errorf("exit codes %d, %d", a, b)
	}
}
