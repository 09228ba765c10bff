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
	below  bool                // the peer that was hit was on its way from the origin
	direct bool                // and its parent
	spared bool                // it had a backup
	gap    [2]time.Duration    // longest time without a packet of a track, the publisher's own lateness and rhythm taken off
	quiet  [2]time.Duration    // the same in a time before, in which nothing happened: manifests, and this machine
	lost   [2]int              // packets that never came
	delay  [2][2]time.Duration // mean by track, before and at the end
	moved  time.Duration       // by how much they differ, at the worse of the tracks
	wrong  []string            // what never may be
}

// quietTime is how long is looked at before a fault.
const quietTime = 1250 * time.Millisecond

// measure looks at what came at a viewer in the time of a fault, and in a quiet one before it.
func measure(v *viewer, sent *programme, at, end time.Duration) (s chaosSample) {
	for track := range trackNames {
		all, out := v.got(track), sent.all(track)
		rhythm := []time.Duration{audioEvery, pictureTime}[track]
		from, _ := slices.BinarySearchFunc(all, at-quietTime, func(a arrival, t time.Duration) int { return int(a.at - t) })
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
			// What the publisher sent late came late for that, whatever the peers do.
			own := max(rhythm, out[b.counter+1].at-out[b.counter].at)
			if a.at < at {
				s.quiet[track] = max(s.quiet[track], a.at-b.at-own)
				continue
			}
			s.lost[track] += int(a.counter - b.counter - 1)
			s.gap[track] = max(s.gap[track], a.at-max(b.at, at)-own)
		}
		s.gap[track] = max(s.gap[track], end-all[len(all)-1].at-2*rhythm)
		if len(before) > 0 && len(after) > 0 {
			// Of pictures about every other waits for the next one, with which their manifest comes: a median jumps between the two.
			s.delay[track] = [2]time.Duration{mean(before), mean(after)}
			s.moved = max(s.moved, (s.delay[track][1] - s.delay[track][0]).Abs())
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

func mean(all []time.Duration) (m time.Duration) {
	for _, d := range all {
		m += d
	}
	return m / time.Duration(len(all))
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
	tab := newTable("fault", "leaves", "events", "repeated", "late", "samples", "video gap p50/p95/p99/max ms", "before", "audio gap", "before", "lost v/a", "delay moved")
	for _, f := range figures {
		for i, fits := range []func(chaosSample) bool{isBelow, isBeside} {
			gap := func(track int) string {
				return three(of(f.samples, fits, func(s chaosSample) time.Duration { return s.gap[track] }))
			}
			quiet := func(track int) string {
				return three(of(f.samples, fits, func(s chaosSample) time.Duration { return s.quiet[track] }))
			}
			moved := of(f.samples, fits, func(s chaosSample) time.Duration { return s.moved })
			lost := [2]int{}
			for track := range lost {
				lost[track] = sum(of(f.samples, fits, func(s chaosSample) int { return s.lost[track] }))
			}
			tab.row(f.name, []string{"below", "beside"}[i], f.events, f.repeated, f.late, len(moved),
				gap(videoTrack), quiet(videoTrack), gap(audioTrack), quiet(audioTrack), fmt.Sprintf("%d/%d", lost[videoTrack], lost[audioTrack]), three(moved))
		}
	}
	tab.print(t)
}
