package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// rate is a flag of bits per second: "800k", "20M", "1.5G", "0". Prefixes are decimal, as in networks.
type rate uint64

func (r *rate) String() string { return formatRate(uint64(*r)) }
func (r *rate) Type() string   { return "rate" }

func (r *rate) Set(s string) error {
	v, err := parseRate(s)
	if err == nil {
		*r = rate(v)
	}
	return err
}

func parseRate(s string) (uint64, error) {
	number, factor := strings.TrimSpace(s), 1.0
	for _, unit := range []string{"bit/s", "bps"} {
		number = strings.TrimSpace(strings.TrimSuffix(number, unit))
	}
	if n := len(number); n > 0 {
		switch number[n-1] {
		case 'k', 'K':
			factor = 1e3
		case 'm', 'M':
			factor = 1e6
		case 'g', 'G':
			factor = 1e9
		}
		if factor > 1 {
			number = strings.TrimSpace(number[:n-1])
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(v) || v < 0 || v*factor > 1e15 {
		return 0, fmt.Errorf("%q is not a rate: write bits per second like 20M or 800k", s)
	}
	return uint64(math.Round(v * factor)), nil
}

func formatRate(v uint64) string {
	for _, u := range []struct {
		factor uint64
		name   string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if v >= u.factor {
			return strconv.FormatFloat(math.Round(float64(v)/float64(u.factor)*100)/100, 'f', -1, 64) + u.name
		}
	}
	return strconv.FormatUint(v, 10)
}

// span is a flag of time: Go's durations, plus days ("2d"), and plain seconds ("90").
type span time.Duration

func (d *span) String() string { return time.Duration(*d).String() }
func (d *span) Type() string   { return "duration" }

func (d *span) Set(s string) error {
	v, err := parseSpan(s)
	if err == nil {
		*d = span(v)
	}
	return err
}

func parseSpan(s string) (time.Duration, error) {
	bad := fmt.Errorf("%q is not a duration: write it like 1.5s, 10m or 24h", s)
	number, unit := strings.TrimSpace(s), time.Second
	if days, ok := strings.CutSuffix(number, "d"); ok {
		number, unit = days, 24*time.Hour
	}
	if v, err := strconv.ParseFloat(number, 64); err == nil {
		if v < 0 || math.IsNaN(v) || v*float64(unit) > math.MaxInt64/2 {
			return 0, bad
		}
		return time.Duration(v * float64(unit)), nil
	}
	v, err := time.ParseDuration(number)
	if err != nil || v < 0 || unit != time.Second {
		return 0, bad
	}
	return v, nil
}

// choice is a flag that takes one of a few words.
type choice struct {
	value   string
	allowed []string
}

func (c *choice) String() string { return c.value }
func (c *choice) Type() string   { return strings.Join(c.allowed, "|") }

func (c *choice) Set(s string) error {
	for _, a := range c.allowed {
		if strings.EqualFold(s, a) {
			c.value = a
			return nil
		}
	}
	return fmt.Errorf("%q is not possible: use %s", s, strings.Join(c.allowed, " or "))
}

// duration returns d as the standard library's.
func (d span) duration() time.Duration { return time.Duration(d) }
