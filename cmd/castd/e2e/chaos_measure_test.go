//go:build linux

package e2e_test

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// chaosSample is what one leaf noticed of one fault.
type chaosSample struct {
	leaf   string
	below  bool             // the peer that was hit was on its way from the origin
	direct bool             // and its parent
	spared bool             // it had a backup
	gap    [2]time.Duration // longest time without a packet of a track, the publisher's own lateness and rhythm taken off
	lost   [2]int           // packets that never came
	moved  time.Duration    // by how much the median delay at the end differs from that before, at the worse of the tracks
	wrong  []string         // what never may be
}

// measure looks at what came at a viewer from a second before a fault to the end of the window.
func measure(v *viewer, sent *programme, at, end time.Duration) (s chaosSample) {
	for track := range trackNames {
		all, out := v.got(track), sent.all(track)
		rhythm := []time.Duration{audioEvery, pictureTime}[track]
		from, _ := slices.BinarySearchFunc(all, at-time.Second, func(a arrival, t time.Duration) int { return int(a.at - t) })
		if from == len(all) {
			s.gap[track] = end - at
			continue
		}
		all = all[from:]
		var before, after []time.Duration
		for i, a := range all {
			switch delay := a.at - out[a.counter].at; {
			case a.at < at:
				before = append(before, delay)
			case a.at >= end-time.Second:
				after = append(after, delay)
			}
			if i == 0 {
				continue
			}
			b := all[i-1]
			if a.counter <= b.counter {
				s.wrong = append(s.wrong, fmt.Sprintf("%s %d after %d", trackNames[track], a.counter, b.counter))
				continue
			}
			if a.at < at {
				continue
			}
			s.lost[track] += int(a.counter - b.counter - 1)
			// What the publisher sent late came late for that, whatever the peers do.
			own := max(0, out[b.counter+1].at-out[b.counter].at)
			s.gap[track] = max(s.gap[track], a.at-max(b.at, at)-max(own, rhythm))
		}
		s.gap[track] = max(s.gap[track], end-all[len(all)-1].at-2*rhythm)
		if len(before) > 0 && len(after) > 0 {
			s.moved = max(s.moved, (percentile(after, 50) - percentile(before, 50)).Abs())
		}
	}
	return s
}

// chaosFigures are the samples of one kind of fault.
type chaosFigures struct {
	name     string
	events   int
	repeated int // because this process was late
	late     int // events that count although it was
	samples  []chaosSample
}

// of returns a figure of all samples that fit.
func of[T any](samples []chaosSample, fits func(chaosSample) bool, figure func(chaosSample) T) (all []T) {
	for _, s := range samples {
		if fits(s) {
			all = append(all, figure(s))
		}
	}
	return all
}

func isBelow(s chaosSample) bool  { return s.below }
func isBeside(s chaosSample) bool { return !s.below }

// three prints the median, 95th and 99th percentile, and the greatest, in milliseconds.
func three(all []time.Duration) string {
	ms := func(p float64) int64 { return percentile(all, p).Round(time.Millisecond).Milliseconds() }
	return fmt.Sprintf("%d / %d / %d / %d", ms(50), ms(95), ms(99), ms(100))
}

func sum(all []int) (n int) {
	for _, v := range all {
		n += v
	}
	return n
}

// printChaos prints a row for the leaves below the peers that were hit, and one for the others.
func printChaos(t *testing.T, figures []*chaosFigures) {
	t.Helper()
	tab := newTable("fault", "leaves", "events", "repeated", "late", "samples", "video gap p50/p95/p99/max ms", "audio gap p50/p95/p99/max ms", "lost v/a", "delay moved p50/p95/p99/max ms")
	for _, f := range figures {
		for i, fits := range []func(chaosSample) bool{isBelow, isBeside} {
			video := of(f.samples, fits, func(s chaosSample) time.Duration { return s.gap[videoTrack] })
			audio := of(f.samples, fits, func(s chaosSample) time.Duration { return s.gap[audioTrack] })
			moved := of(f.samples, fits, func(s chaosSample) time.Duration { return s.moved })
			lost := [2]int{}
			for track := range lost {
				lost[track] = sum(of(f.samples, fits, func(s chaosSample) int { return s.lost[track] }))
			}
			tab.row(f.name, []string{"below", "beside"}[i], f.events, f.repeated, f.late, len(video), three(video), three(audio), fmt.Sprintf("%d/%d", lost[videoTrack], lost[audioTrack]), three(moved))
		}
	}
	tab.print(t)
}
