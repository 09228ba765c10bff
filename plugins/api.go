package plugins

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/castd/castd/engine"
)

// settleTime is how long a request to reload waits for plugins to come up, so that its answer says what became of them.
const settleTime = 3 * time.Second

// ServeHTTP lists the plugins for GET, and for POST reads plugins.lock again first. The path value "plugin" names one, with a verb for what it is
// to do, or with the path value "path" for what it answers itself. Its caller has let only the administrator in.
func (h *Host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if one := r.PathValue("plugin"); one != "" {
		h.serveOne(w, r, one)
		return
	}
	if r.Method == http.MethodPost {
		if err := h.Reload(); err != nil {
			fail(w, err)
			return
		}
		h.settle(r.Context())
	}
	list, err := h.Status()
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(list) // who does not read it any more does not miss it
}

// serveOne is for one plugin.
func (h *Host) serveOne(w http.ResponseWriter, r *http.Request, which string) {
	if path := r.PathValue("path"); path != "" {
		h.call(w, r, which, path)
		return
	}
	switch name, verb := verb(which); verb {
	case "run":
		h.run(w, r, name)
	case "dial":
		h.dial(w, r, name)
	default:
		tellProblem(w, http.StatusNotFound, CodeBadRequest, "write NAME:run for a plugin's command, NAME:dial for a call, or NAME/PATH for what it answers")
	}
}

// fail tells an error.
func fail(w http.ResponseWriter, err error) {
	status, code := http.StatusConflict, CodeBadPlugin
	if user, ok := errors.AsType[*engine.UserError](err); ok {
		switch code = user.Code; code {
		case CodeNoPlugin:
			status = http.StatusNotFound
		case CodeBadRequest:
			status = http.StatusBadRequest
		case engine.CodeNoRoom:
			status = http.StatusNotFound
		case engine.CodeNotAllowed:
			status = http.StatusForbidden
		case engine.CodeFull:
			status = http.StatusServiceUnavailable
		}
	}
	tellProblem(w, status, code, sentence(err))
}

func tellProblem(w http.ResponseWriter, status int, code, text string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"title": "plugins", "status": status, "detail": text, "code": code}) // who does not read it any more does not miss it
}

// settle waits until no plugin is starting, for a while.
func (h *Host) settle(ctx context.Context) {
	limit := time.After(settleTime)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		starting := false
		for _, s := range h.supervisors() {
			starting = starting || s.status().State == StateStarting
		}
		if !starting {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-limit:
			return
		case <-tick.C:
		}
	}
}

// Describe implements prometheus.Collector: what there is depends on the plugins.
func (h *Host) Describe(chan<- *prometheus.Desc) {}

// Limits of the figures of a plugin.
const (
	metricsTime = 500 * time.Millisecond
	maxMetrics  = 100
)

var metricPattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

// Collect implements prometheus.Collector.
func (h *Host) Collect(out chan<- prometheus.Metric) {
	all := h.supervisors()
	if len(all) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), metricsTime)
	defer cancel()
	var wg sync.WaitGroup
	for _, s := range all {
		wg.Go(func() { s.collect(ctx, out) })
	}
	wg.Wait()
}

// ownMetrics are the names of this package's, which plugins cannot have.
func ownMetrics() map[string]bool {
	return map[string]bool{
		"up": true, "starts_total": true, "failures_total": true, "memory_bytes": true, "messages_total": true, "sent_packets_total": true, "sent_bytes_total": true,
		"dropped_packets_total": true, "dropped_batches_total": true, "dropped_events_total": true, "received_packets_total": true, "refused_packets_total": true,
		"decisions_total": true, "decisions_remembered_total": true, "decisions_failed_total": true,
	}
}

func (s *supervisor) collect(ctx context.Context, out chan<- prometheus.Metric) {
	name, c := s.plugin.Name, s.counters
	send := func(kind prometheus.ValueType, metric, help string, v float64) {
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc("castd_plugin_"+metric, help, []string{"plugin"}, nil), kind, v, name)
	}
	up := 0.0
	if s.status().State == StateRunning {
		up = 1
	}
	send(prometheus.GaugeValue, "up", "1 while the plugin runs.", up)
	send(prometheus.GaugeValue, "memory_bytes", "Resident memory of the plugin.", float64(s.memory.Load()))
	for _, m := range []struct {
		name, help string
		v          uint64
	}{
		{"starts_total", "Starts of the plugin.", s.started.Load()},
		{"failures_total", "Times that the plugin ended or had to be ended.", s.crashed.Load()},
		{"messages_total", "Batches sent to the plugin.", c.messages.Load()},
		{"sent_packets_total", "Packets sent to the plugin.", c.packets.Load()},
		{"sent_bytes_total", "Their size, with all that goes with them.", c.bytes.Load()},
		{"dropped_packets_total", "Packets that the plugin was too slow for.", c.dropped.Load()},
		{"dropped_batches_total", "Batches that the plugin was too slow for.", c.droppedBatches.Load()},
		{"dropped_events_total", "Events that the plugin was too slow for.", c.droppedEvents.Load()},
		{"received_packets_total", "Packets of the plugin, for rooms.", c.received.Load()},
		{"refused_packets_total", "Packets of the plugin that no room took.", c.refused.Load()},
		{"decisions_total", "Questions that the plugin has answered.", c.decisions.Load()},
		{"decisions_remembered_total", "Questions that it had answered before.", c.decisionsKnown.Load()},
		{"decisions_failed_total", "Questions that it has not answered in time.", c.decisionsFailed.Load()},
	} {
		send(prometheus.CounterValue, m.name, m.help, float64(m.v))
	}
	seen := ownMetrics()
	for i, m := range s.metrics(ctx) {
		if i >= maxMetrics || seen[m.Name] || !metricPattern.MatchString(m.Name) {
			continue
		}
		seen[m.Name] = true
		kind := prometheus.GaugeValue
		if strings.HasSuffix(m.Name, "_total") {
			kind = prometheus.CounterValue
		}
		// One name may be of several plugins: type and text follow from the name alone.
		send(kind, m.Name, "Figure of a plugin.", m.Value)
	}
}
