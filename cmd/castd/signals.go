package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// errStopped is the cause of a context that ended because somebody asked castd to stop.
var errStopped = errors.New("stopped")

// stopped reports whether somebody asked to stop: then an end in the middle is no failure.
func stopped(ctx context.Context) bool { return errors.Is(context.Cause(ctx), errStopped) }

// withSignals returns a context that ends on the first SIGINT or SIGTERM; on the second the process ends at once. A broken
// pipe becomes an error of the write, so that the peer can still say goodbye.
func withSignals(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	signal.Ignore(syscall.SIGPIPE)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-signals:
				if ctx.Err() != nil {
					fmt.Fprintln(os.Stderr, "castd: ended at once, without a goodbye")
					os.Exit(exitFailed)
				}
				cancel(errStopped)
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}
