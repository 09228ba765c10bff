package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/castd/castd/engine/bench"
)

// readyWithin bounds the start of a process that is to be measured.
const readyWithin = 30 * time.Second

// startRole runs this program in a role until stop is called.
func startRole(ctx context.Context, errs io.Writer, args ...string) (*role, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("this program cannot be found to start it again: %w", err)
	}
	cmd := exec.Command(program, append([]string{"--log-level", "warn", "bench"}, args...)...)
	cmd.Env, cmd.Stderr = cleanEnvironment(), errs
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	r := &role{pid: cmd.Process.Pid}
	r.stop = sync.OnceFunc(func() {
		in.Close() // the role ends with it
		kill := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait() // how it ends does not matter any more
	})
	late := time.AfterFunc(readyWithin, func() { _ = cmd.Process.Kill() })
	interrupted := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer interrupted()
	lines := bufio.NewReader(out)
	line, err := lines.ReadBytes('\n')
	late.Stop()
	if err != nil || json.Unmarshal(line, &r.ready) != nil || r.ready.Event != "ready" {
		r.stop()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("the process for %s could not be started: see what it wrote above", args[0])
	}
	r.out = lines
	return r, nil
}

// referenceServer starts the stock forwarder.
func (a *app) referenceServer(ctx context.Context, _ bench.Load) (*bench.Server, error) {
	r, err := startRole(ctx, a.err, "reference-server")
	if err != nil {
		return nil, err
	}
	return &bench.Server{WHIP: r.ready.HTTP + "/whip", WHEP: r.ready.HTTP + "/whep", PID: r.pid, Stop: r.stop}, nil
}

// ownServer starts a castd, and where the load wants them peers for it to feed.
func (a *app) ownServer(ctx context.Context, load bench.Load) (*bench.Server, error) {
	token := rand.Text()
	r, err := startRole(ctx, a.err, "peer", token)
	if err != nil {
		return nil, err
	}
	s := &bench.Server{
		WHIP: r.ready.HTTP + "/whip/" + benchRoom, WHEP: r.ready.HTTP + "/whep/" + benchRoom, Token: token, PID: r.pid, Stop: r.stop,
	}
	if load.Peers == 0 {
		return s, nil
	}
	if len(r.ready.Addrs) == 0 {
		r.stop()
		return nil, fmt.Errorf("the peer to be measured has no address: see what it wrote above")
	}
	children, err := startRole(ctx, a.err, "children", r.ready.Addrs[0], r.ready.Room, "--peers", fmt.Sprint(load.Peers))
	if err != nil {
		r.stop()
		return nil, err
	}
	count := &childCount{}
	go count.follow(children.out)
	s.Forwarded = count.packets.Load
	s.Stop = func() { children.stop(); r.stop() }
	for deadline := time.Now().Add(readyWithin); count.up.Load() < int64(load.Peers); time.Sleep(50 * time.Millisecond) {
		if ctx.Err() != nil || time.Now().After(deadline) {
			s.Stop()
			return nil, fmt.Errorf("only %d of %d peers have joined in time: try fewer", count.up.Load(), load.Peers)
		}
	}
	return s, nil
}
