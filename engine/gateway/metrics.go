package gateway

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are the gateway's own, and the way to all others. Labels are bounded: routes are patterns, not paths.
type metrics struct {
	handler  http.Handler
	requests *prometheus.CounterVec
	took     *prometheus.HistogramVec
	open     *prometheus.GaugeVec
	total    *prometheus.CounterVec
	streams  prometheus.Gauge
	cut      prometheus.Counter
}

func newMetrics(more prometheus.Gatherer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "castd_http_requests_total", Help: "HTTP requests by route and status; no route is an unknown path or method.",
		}, []string{"route", "status"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "castd_http_request_duration_seconds", Help: "Time that requests took, streams of events and media included.",
			Buckets: []float64{.001, .005, .02, .1, .5, 2, 10, 60},
		}, []string{"route"}),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "castd_gateway_sessions", Help: "Sessions of guests that are open, by protocol (whip publishes, whep watches, call takes part).",
		}, []string{"protocol"}),
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "castd_gateway_sessions_total", Help: "Sessions of guests since the start, by protocol.",
		}, []string{"protocol"}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "castd_gateway_event_streams", Help: "Streams of events that are open.",
		}),
		cut: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "castd_gateway_event_streams_cut_total", Help: "Streams of events cut off since their readers were too slow.",
		}),
	}
	for _, p := range []string{whip.name, whep.name, tele.name} {
		m.open.WithLabelValues(p)
		m.total.WithLabelValues(p)
	}
	own := prometheus.NewRegistry()
	own.MustRegister(m.requests, m.took, m.open, m.total, m.streams, m.cut)
	all := prometheus.Gatherers{own}
	if more != nil {
		all = append(all, more)
	}
	// One collector that fails does not hide the others.
	m.handler = promhttp.HandlerFor(all, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
	return m
}

func (m *metrics) request(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.took.WithLabelValues(route).Observe(took.Seconds())
}

func (m *metrics) opened(protocol string) {
	m.open.WithLabelValues(protocol).Inc()
	m.total.WithLabelValues(protocol).Inc()
}

func (m *metrics) ended(protocol string) { m.open.WithLabelValues(protocol).Dec() }

func (g *Gateway) showMetrics(w http.ResponseWriter, r *http.Request) error {
	g.metrics.handler.ServeHTTP(w, r)
	return nil
}
