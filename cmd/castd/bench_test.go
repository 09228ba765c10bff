package main

import (
	"strings"
	"testing"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/bench"
)

func TestBenchUsage(t *testing.T) {
	tests := []struct {
		args string
		code int
		want string
	}{
		{"", 2, "nothing to do: give --video-publishers or --audio-publishers, and --subscribers"},
		{"lobby --subscribers 1", 2, `"lobby" is no address: write it like http://127.0.0.1:8470/whip/lobby`},
		{"ftp://h/whip/lobby --subscribers 1", 2, "is no address"},
		{"http://h/lobby --subscribers 1", 2, "say with --whip, --whep or --call which it is"},
		{"http://h/call/a http://h/call/b --callers 1", 2, "two addresses for one direction"},
		{"--whep http://h/x --callers 1", 2, "no address to call at: give one, or --call, or --room"},
		{"http://h/call/a --callers 1001", 2, "up to 1000 callers"},
		{"http://h/call/a --callers -1", 2, "up to 1000 callers"},
		{"http://h/call/a --callers 2 --talking 3", 2, "at most all of them"},
		{"http://h/call/a --callers 2 --talking some", 2, "is not a number"},
		{"http://h/call/a --callers 2 --reference --pid 1", 2, "the reference has no conferences"},
		{"http://127.0.0.1:1/call/a --callers 1 --talking 0 --json", 3, "127.0.0.1:1 cannot be reached"},
		{"http://h/whip/a http://h/whip/b --subscribers 1", 2, "two addresses for one direction"},
		{"http://h/whip/a http://h/whep/b http://h/call/c http://h/call/d", 2, "takes only addresses"},
		{"--whip lobby --subscribers 1", 2, "is no address"},
		{"--whep http://h/x --audio-publishers 1", 2, "no address to publish to"},
		{"--whip http://h/x --subscribers 1", 2, "no address to watch"},
		{"http://h/whip/a --room lobby --subscribers 1", 2, "--room stands for addresses"},
		{"http://h/whip/a --subscribers -1", 2, "up to"},
		{"http://h/whip/a --subscribers 20000", 2, "up to 10000 subscribers"},
		{"http://h/whip/a --subscribers many", 2, "is not a number"},
		{"http://h/whip/a --subscribers 1 --duration 0", 2, "--duration is more than 0"},
		{"http://h/whip/a --subscribers 1 --duration soon", 2, "is not a duration"},
		{"http://h/whip/a --subscribers 1 --num-per-second 0", 2, "--num-per-second"},
		{"http://h/whip/a --subscribers 1 --num-per-second NaN", 2, "--num-per-second"},
		{"http://h/whip/a --video-publishers 1 --video-bitrate 1", 2, "--video-bitrate is from 50k to 50M"},
		{"http://h/whip/a --subscribers 1 --pid -1", 2, "--pid"},
		{"http://h/whip/a --subscribers 1 --markdown", 2, "--reference"},
		{"http://h/whip/a --subscribers 1 --row idle", 2, "--reference"},
		{"http://h/whip/a --subscribers 1 --reference", 2, "--pid"},
		{"--reference --rounds 0", 2, "--rounds"},
		{"--reference --row nothing", 2, `there is no such row: use "video, 20 viewers"`},
		{"--reference --subscribers 3", 2, "leave out publishers"},
		{"--room lobby --subscribers 1", 3, "no castd is running"},
		{"--subcribers 1", 2, "did you mean --subscribers"},
		{"http://127.0.0.1:1/whip/a --audio-publishers 1 --json", 3, "127.0.0.1:1 cannot be reached"},
		{"--help", 0, "castd bench --reference --markdown"},
	}
	for _, x := range tests {
		_, out, errs, code := cli(t, nil, append([]string{"bench"}, strings.Fields(x.args)...)...)
		if code != x.code || !strings.Contains(out+errs, x.want) {
			t.Errorf("bench %s: exit code %d, want %d; %s%s; want %q", x.args, code, x.code, out, errs, x.want)
		}
		if strings.Contains(out, "reference-server") {
			t.Errorf("bench %s tells of roles:\n%s", x.args, out)
		}
	}
}

func TestBenchAddresses(t *testing.T) {
	tests := []struct{ args, whip, whep, wantWHIP, wantWHEP, wantCall string }{
		{args: "http://h/whip/a", wantWHIP: "http://h/whip/a", wantWHEP: "http://h/whep/a", wantCall: "http://h/call/a"},
		{args: "http://h/a/whep", wantWHIP: "http://h/a/whip", wantWHEP: "http://h/a/whep", wantCall: "http://h/a/call"},
		{args: "http://h/whep/b http://h/whip/a", wantWHIP: "http://h/whip/a", wantWHEP: "http://h/whep/b", wantCall: "http://h/call/a"},
		{args: "http://h/call/a http://h/whep/b", wantWHIP: "http://h/whip/b", wantWHEP: "http://h/whep/b", wantCall: "http://h/call/a"},
		{args: "http://h/call/a", wantWHIP: "http://h/whip/a", wantWHEP: "http://h/whep/a", wantCall: "http://h/call/a"},
		{whip: "http://h/in", whep: "http://h/out", wantWHIP: "http://h/in", wantWHEP: "http://h/out"},
		{whip: "http://h/in", wantWHIP: "http://h/in"},
	}
	for _, x := range tests {
		var b benchFlags
		b.config.WHIP, b.config.WHEP = x.whip, x.whep
		if err := b.addresses(strings.Fields(x.args)); err != nil {
			t.Errorf("%+v: %v", x, err)
		}
		if b.config.WHIP != x.wantWHIP || b.config.WHEP != x.wantWHEP || b.config.Call != x.wantCall {
			t.Errorf("%+v: %s, %s, %s", x, b.config.WHIP, b.config.WHEP, b.config.Call)
		}
	}
}

func TestBenchText(t *testing.T) {
	r := &bench.Result{
		Subscribers: 3, Failed: 1, FirstFailure: "it is full", Ended: 1, JoinsPerSecond: 20, FirstPacket: 10, FirstPicture: 12, Packets: 300, Seconds: 2,
		Bitrate: 1_200_000, Audio: &bench.KindResult{Sent: 100, Expected: 200, Received: 199, Lost: 1, DelayP50: 1.5},
		CPUPerPacket: 12.34, CPU: 0.05, RSS: 40 << 20, Threads: 8, Starved: true,
	}
	text := benchText(r)
	for _, want := range []string{
		"3, 1 failed", "it is full", "ended          1 sessions", "first picture  p50 12 ms", "199 of 200 received, 1 lost", "p50 1.50 ms",
		"300 packets, 1.2Mbit/s", "12.34 us/packet, 5.0 % of a core", "40 MB", "the delays mean nothing",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	r = &bench.Result{Call: &bench.CallResult{
		Callers: 10, Talking: 4, Failed: 1, FirstFailure: "it is full", Ended: 2, Sent: 500, Expected: 400, Received: 399, Lost: 1, JitterP50: 0.5, JitterMax: 2,
		Ears: 9, Others: 3, Level: -20.1, Own: -60.5,
	}}
	text = benchText(r)
	for _, want := range []string{
		"10, 4 of them talk, 1 failed", "it is full", "2 calls, by the server", "500 sent; 399 of 400 received, 1 lost", "p50 0.5 ms, most 2.0 ms",
		"3 others at -20.1 dB, by 9 who listened; own voice -60.5 dB beside them",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if text := benchText(&bench.Result{}); strings.Contains(text, "server") || strings.Contains(text, "audio") {
		t.Errorf("of nothing:\n%s", text)
	}
}

func TestCountPackets(t *testing.T) {
	events := make(chan engine.Event, 16)
	stats := func(stream string, n uint64) { events <- engine.Event{Event: "stats", Stream: stream, Packets: &n} }
	events <- engine.Event{Event: "joined"}
	stats("a", 10)
	stats("b", 5)
	stats("a", 15)
	stats("a", 15)
	stats("", 99)
	close(events)
	var c childCount
	countPackets(events, &c.packets, &c.up)
	if c.packets.Load() != 20 || c.up.Load() != 1 {
		t.Errorf("%d packets, %d up", c.packets.Load(), c.up.Load())
	}
	var told childCount
	told.follow(strings.NewReader("nonsense\n1 2\n3 400\n"))
	if told.packets.Load() != 400 || told.up.Load() != 3 {
		t.Errorf("told of %d packets, %d up", told.packets.Load(), told.up.Load())
	}
}
