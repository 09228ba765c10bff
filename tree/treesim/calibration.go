package treesim

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math/rand/v2"
)

// Quantiles are those of a time on real processes, in milliseconds.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

// Calibration holds the times that belong to real processes: what they take beyond what the network does.
type Calibration struct {
	// Machine, Date and Command say where, when and with what the times were measured.
	Machine string `json:"machine"`
	Date    string `json:"date"`
	Command string `json:"command"`

	// DetectKill is from the death of a process until a peer with a TCP connection to it has seen the end of that.
	DetectKill Quantiles `json:"detect_kill_ms"`
	// DetectStop is from the last packet of a process that was stopped until its child acts on the silence, on a quiet wired link.
	DetectStop Quantiles `json:"detect_stop_ms"`
	// Resume is from a backup's receiving the request to feed until the first packet leaves it.
	Resume Quantiles `json:"resume_ms"`
	// HopSetup is what both ends spend on opening a hop, all round trips left out.
	HopSetup Quantiles `json:"hop_setup_ms"`
	// HopForward is from a packet's arrival at a relay until it leaves again.
	HopForward Quantiles `json:"hop_forward_ms"`
}

//go:embed calibration.json
var committed []byte

// ReadCalibration decodes and checks a calibration.
func ReadCalibration(b []byte) (Calibration, error) {
	var c Calibration
	if err := json.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("treesim: read calibration: %w", err)
	}
	for name, q := range map[string]Quantiles{
		"detect_kill_ms": c.DetectKill, "detect_stop_ms": c.DetectStop, "resume_ms": c.Resume,
		"hop_setup_ms": c.HopSetup, "hop_forward_ms": c.HopForward,
	} {
		if q.P50 < 0 || q.P95 < q.P50 || q.P99 < q.P95 || q.P99 > 60_000 || q.P99 == 0 {
			return c, fmt.Errorf("treesim: calibration: %s is %v, not three growing times of at most a minute", name, q)
		}
	}
	return c, nil
}

// Committed returns the calibration that the program was built with.
func Committed() Calibration {
	c, err := ReadCalibration(committed)
	if err != nil {
		panic(err.Error())
	}
	return c
}

// draw returns a time in ns: linear between the quantiles, and at most a tenth more than the largest.
func (q Quantiles) draw(r *rand.Rand) int64 {
	x := r.Float64()
	line := func(x0, x1, y0, y1 float64) float64 { return y0 + (y1-y0)*(x-x0)/(x1-x0) }
	var ms float64
	switch {
	case x < 0.5:
		ms = line(0, 0.5, q.P50*0.6, q.P50)
	case x < 0.95:
		ms = line(0.5, 0.95, q.P50, q.P95)
	case x < 0.99:
		ms = line(0.95, 0.99, q.P95, q.P99)
	default:
		ms = line(0.99, 1, q.P99, q.P99*1.1)
	}
	return int64(ms * 1e6)
}
