//go:build linux

package e2e_test

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// table is printed in one piece.
type table struct {
	b strings.Builder
	w *tabwriter.Writer
}

func newTable(columns ...any) *table {
	t := &table{}
	t.w = tabwriter.NewWriter(&t.b, 0, 0, 2, ' ', 0)
	t.row(columns...)
	return t
}

func (t *table) row(cells ...any) {
	for _, c := range cells {
		if d, ok := c.(time.Duration); ok {
			c = fmt.Sprintf("%.2f ms", float64(d)/1e6)
		}
		fmt.Fprint(t.w, c, "\t")
	}
	fmt.Fprintln(t.w)
}

func (t *table) print(tb *testing.T) {
	tb.Helper()
	_ = t.w.Flush()
	tb.Log("\n" + t.b.String())
}

// percentile returns the value that p percent of the values do not exceed; 0 of none.
func percentile(all []time.Duration, p float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(len(sorted)-1, int(float64(len(sorted))*p/100))]
}

// echo measures how late this process and the loopback are by themselves: it sends datagrams to a socket of its own and tells
// how long they took to a goroutine that waits for them. What a figure of other processes is worth, it tells.
func echo(t *testing.T, late *lateness) (stop func()) {
	t.Helper()
	in, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	out, err := net.DialUDP("udp4", nil, in.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 100)
		for {
			n, err := in.Read(buf)
			if err != nil {
				return
			}
			if s, ok := readStamp(buf[:n]); ok {
				late.add(clock() - s.sent)
			}
		}
	}()
	ticker := time.NewTicker(10 * time.Millisecond)
	quit := make(chan struct{})
	go func() {
		for {
			select {
			case <-ticker.C:
				_, _ = out.Write(stamp{sent: clock()}.append(nil))
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		ticker.Stop()
		_ = out.Close()
		_ = in.Close()
		<-done
	}
}

// findings collects what is wrong, so that it can be told from what a starved machine makes of the best program.
type findings struct {
	wrong   []string // what may come of lateness: something missing, or slow
	certain []string // what never may
}

func (f *findings) Errorf(format string, args ...any) {
	f.wrong = append(f.wrong, fmt.Sprintf(format, args...))
}

// Certain is Errorf for what lateness does not excuse.
func (f *findings) Certain(format string, args ...any) {
	f.certain = append(f.certain, fmt.Sprintf(format, args...))
}

// tooLate is how late a timer of this process may be at worst for an attempt to say something about others.
const tooLate = 150 * time.Millisecond

// attempt runs f, which returns how late this process itself was at worst, until f finds nothing wrong or has been in time. If
// it never was, the test is skipped: it cannot tell.
func attempt(t *testing.T, f func(*testing.T, *findings) time.Duration) {
	t.Helper()
	const attempts = 3
	for range attempts {
		var r findings
		var late time.Duration
		t.Run("attempt", func(t *testing.T) {
			late = f(t, &r)
			for _, w := range r.certain {
				t.Error(w)
			}
			for _, w := range r.wrong {
				if late <= tooLate {
					t.Error(w)
				} else {
					t.Log(w)
				}
			}
		})
		if t.Failed() || len(r.wrong) == 0 {
			return
		}
		t.Logf("this process was %v late by itself: that says nothing", late)
	}
	t.Skip("this machine is too loaded to tell")
}
