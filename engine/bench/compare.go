package bench

import (
	"context"
	"fmt"
	"slices"
)

// Load is a row of a comparison.
type Load struct {
	Name         string
	Video, Audio int // publishers
	Subscribers  int
	Peers        int // that castd feeds in the place of viewers; the reference then has so many viewers

}

// Loads are those that castd's figures are told for.
func Loads() []Load {
	return []Load{
		{Name: "video, 20 viewers", Video: 1, Subscribers: 20},
		{Name: "video, 50 viewers", Video: 1, Subscribers: 50},
		{Name: "audio, 100 viewers", Audio: 1, Subscribers: 100},
		{Name: "audio, 200 viewers", Audio: 1, Subscribers: 200},
		{Name: "idle, 100 viewers", Subscribers: 100},
		{Name: "video, 50 peers", Video: 1, Peers: 50},
		{Name: "audio, 100 peers", Audio: 1, Peers: 100},
	}
}

// Server is one that runs and is to be measured.
type Server struct {
	WHIP, WHEP, Token string
	PID               int
	// Forwarded is as in Config.
	Forwarded func() uint64
	// Stop ends it, if it was started for the comparison.
	Stop func()
}

// Comparison says what to compare.
type Comparison struct {
	// Base has what is the same for all loads: rates, durations.
	Base   Config
	Loads  []Load
	Rounds int
	// Target and Reference start servers, or name those that run. They are measured in turns, Rounds times.
	Target, Reference func(context.Context, Load) (*Server, error)
	// Done is called with each row.
	Done func(*Row)
}

// Row is what a comparison says of a load: medians of the rounds.
type Row struct {
	Load      string  `json:"load"`
	Rounds    int     `json:"rounds"`
	Target    *Result `json:"target"`
	Reference *Result `json:"reference,omitempty"`
	// Ratio of CPU per packet, target to reference; of an idle viewer's CPU where no packets flow.
	Ratio float64 `json:"ratio,omitempty"`
}

// Compare measures target and reference in turns. Errors are sentences for people.
func Compare(ctx context.Context, c Comparison) error {
	for _, load := range c.Loads {
		row := &Row{Load: load.Name, Rounds: c.Rounds}
		var targets, references []*Result
		for round := range c.Rounds {
			c.say("%s, round %d of %d", load.Name, round+1, c.Rounds)
			r, err := c.measure(ctx, load, c.Reference)
			if err != nil {
				return fmt.Errorf("the reference: %w", err)
			}
			references = append(references, r)
			if r, err = c.measure(ctx, load, c.Target); err != nil {
				return err
			}
			targets = append(targets, r)
		}
		row.Target, row.Reference = medians(targets), medians(references)
		row.compare()
		c.Done(row)
	}
	return nil
}

func (c *Comparison) say(format string, args ...any) {
	if c.Base.Progress != nil {
		c.Base.Progress(fmt.Sprintf(format, args...))
	}
}

func (c *Comparison) measure(ctx context.Context, load Load, start func(context.Context, Load) (*Server, error)) (*Result, error) {
	s, err := start(ctx, load)
	if err != nil {
		return nil, err
	}
	if s.Stop != nil {
		defer s.Stop()
	}
	config := c.Base
	config.WHIP, config.WHEP, config.Token, config.PID, config.Forwarded = s.WHIP, s.WHEP, s.Token, s.PID, s.Forwarded
	config.VideoPublishers, config.AudioPublishers, config.Subscribers = load.Video, load.Audio, load.Subscribers
	if load.Peers > 0 && s.Forwarded == nil {
		config.Subscribers = load.Peers
	}
	config.Progress = nil
	return Run(ctx, config)
}

func (r *Row) compare() {
	t, f := r.Target, r.Reference
	switch {
	case f.CPUPerPacket > 0:
		r.Ratio = t.CPUPerPacket / f.CPUPerPacket
	case f.CPUIdle > 0 && t.Packets == 0:
		r.Ratio = t.CPUIdle / f.CPUIdle
	}
}

// medians makes one result of several: each figure is the median of its own, what was lost is the worst.
func medians(all []*Result) *Result {
	m := *all[0]
	for _, f := range []func(*Result) *float64{
		func(r *Result) *float64 { return &r.CPUPerPacket },
		func(r *Result) *float64 { return &r.CPU },
		func(r *Result) *float64 { return &r.CPUIdle },
		func(r *Result) *float64 { return &r.ConnectP50 },
		func(r *Result) *float64 { return &r.JoinsPerSecond },
		func(r *Result) *float64 { return &r.FirstPacket },
		func(r *Result) *float64 { return &r.FirstP95 },
		func(r *Result) *float64 { return &r.FirstPicture },
		func(r *Result) *float64 { return &r.PictureP95 },
		func(r *Result) *float64 { return &r.OwnCPU },
		func(r *Result) *float64 { return &r.OwnLate },
	} {
		*f(&m) = median(all, func(r *Result) float64 { return *f(r) })
	}
	m.RSS = int64(median(all, func(r *Result) float64 { return float64(r.RSS) }))
	m.Starved = m.OwnLate > ms(starvedAt)
	m.Audio = kindMedians(all, func(r *Result) *KindResult { return r.Audio })
	m.Video = kindMedians(all, func(r *Result) *KindResult { return r.Video })
	for _, r := range all {
		m.Failed, m.Ended = max(m.Failed, r.Failed), max(m.Ended, r.Ended)
	}
	return &m
}

func kindMedians(all []*Result, of func(*Result) *KindResult) *KindResult {
	if slices.ContainsFunc(all, func(r *Result) bool { return of(r) == nil }) {
		return nil
	}
	m := *of(all[0])
	for _, f := range []func(*KindResult) *float64{
		func(k *KindResult) *float64 { return &k.DelayP50 },
		func(k *KindResult) *float64 { return &k.DelayP95 },
		func(k *KindResult) *float64 { return &k.DelayP99 },
		func(k *KindResult) *float64 { return &k.DelayMax },
	} {
		*f(&m) = median(all, func(r *Result) float64 { return *f(of(r)) })
	}
	for _, r := range all {
		if k := of(r); k.Lost > m.Lost {
			m.Lost, m.Expected, m.Received = k.Lost, k.Expected, k.Received
		}
	}
	return &m
}

func median[T any](all []T, of func(T) float64) float64 {
	values := make([]float64, len(all))
	for i, v := range all {
		values[i] = of(v)
	}
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}
