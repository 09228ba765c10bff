package node

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// alone starts a peer on free ports of the loopback.
func alone(t *testing.T) *Node {
	t.Helper()
	dir, err := os.MkdirTemp("", "castd") // t.TempDir's may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	o := DefaultOptions()
	o.DataDir, o.HTTP, o.HTTPSet, o.MediaPort, o.NoMDNS, o.Version = dir, "127.0.0.1:0", true, 0, true, "1.2.3"
	o.Listen = []string{"/ip4/127.0.0.1/tcp/0"}
	n, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return n
}

// busy is a peer whose metrics all have something to show: it is in a room and sends.
func busy(t *testing.T) *Node {
	t.Helper()
	n := alone(t)
	s := n.Service()
	info, err := s.AddRoom(t.Context(), engine.RoomSpec{Room: "lobby", Create: true, Title: "Hall"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.Find(info.Room)
	if err != nil {
		t.Fatal(err)
	}
	p, err := m.Publish(t.Context(), engine.SlotConfig{Slot: "main", Streams: []engine.StreamConfig{{Label: "audio", Kind: wire.KindAudio, Codec: "opus", ClockRate: 48000, Channels: 2}}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if err := p.Write("audio", &engine.MediaPacket{Sequence: int64(i), Timestamp: uint32(i * 960), Payload: []byte("sound")}); err != nil {
			t.Fatal(err)
		}
	}
	ms, lost := int64(120), uint64(1)
	n.engine.Emit(engine.Event{Event: "gap", Ms: &ms, Lost: &lost})
	resp, err := http.Post(n.HTTPAddr()+"/whep/lobby", "application/sdp", nil) // without a token
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return n
}

// scrape reads /metrics as Prometheus does.
func scrape(t *testing.T, n *Node) (text string, families map[string]*dto.MetricFamily) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.HTTPAddr()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+n.Token())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("status %d, %v: %s", resp.StatusCode, err, b)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	if families, err = parser.TextToMetricFamilies(strings.NewReader(string(b))); err != nil {
		t.Fatal(err)
	}
	return string(b), families
}

// TestMetricsFollowConventions: names, units and help as Prometheus wants them, and no label that could have a value for each
// peer, guest or stream.
func TestMetricsFollowConventions(t *testing.T) {
	n := busy(t)
	text, families := scrape(t, n)
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "castd_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	allowed := []string{"room", "name", "mode", "role", "kind", "event", "detail", "version", "protocol", "route", "status", "le", "reason"}
	own := 0
	for name, f := range families {
		if !strings.HasPrefix(name, "castd_") {
			continue
		}
		own++
		if len(f.GetMetric()) > 100 {
			t.Errorf("%s has %d series", name, len(f.GetMetric()))
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if !slices.Contains(allowed, l.GetName()) {
					t.Errorf("%s has the label %s", name, l.GetName())
				}
				if l.GetName() != "room" && strings.Contains(l.GetValue(), n.Self().String()) {
					t.Errorf("%s has a peer in the label %s", name, l.GetName())
				}
			}
		}
	}
	if own < 40 {
		t.Errorf("only %d metrics", own)
	}
	for name := range n.engine.Counters() {
		if strings.HasPrefix(helpOf(name), "See ") || !strings.HasSuffix(helpOf(name), ".") {
			t.Errorf("%s: help %q", name, helpOf(name))
		}
	}
}

// dashboard is what of Grafana's JSON is looked at.
type dashboard struct {
	Title      string
	Templating struct {
		List []struct{ Name, Type string }
	}
	Panels []struct {
		ID         int
		Type       string
		Title      string
		GridPos    struct{ X, Y, W, H int }
		Datasource struct{ UID string }
		Targets    []struct {
			RefID, Expr string
			Datasource  struct{ UID string }
		}
	}
}

// TestDashboard: the dashboard can be imported, and shows nothing that there is not.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("../../examples/grafana/castd.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Templating.List) == 0 || d.Templating.List[0].Type != "datasource" || len(d.Panels) < 20 {
		t.Fatalf("%d variables, %d panels", len(d.Templating.List), len(d.Panels))
	}
	_, families := scrape(t, busy(t))
	used := regexp.MustCompile(`\b(?:castd|go|process)_[a-z0-9_]+`)
	ids := map[int]bool{}
	shown := map[string]bool{}
	for i, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.GridPos.W == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %d %q: id %d, at %+v", i, p.Title, p.ID, p.GridPos)
		}
		ids[p.ID] = true
		for _, q := range d.Panels[:i] {
			if a, b := p.GridPos, q.GridPos; a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("%q lies over %q", p.Title, q.Title)
			}
		}
		if (p.Type == "row") != (len(p.Targets) == 0) {
			t.Errorf("%q has %d queries", p.Title, len(p.Targets))
		}
		for _, target := range p.Targets {
			if target.Datasource.UID != "${datasource}" {
				t.Errorf("%q asks %q", p.Title, target.Datasource.UID)
			}
			names := used.FindAllString(target.Expr, -1)
			if len(names) == 0 || strings.Count(target.Expr, "(") != strings.Count(target.Expr, ")") || strings.Count(target.Expr, "{") != strings.Count(target.Expr, "}") {
				t.Errorf("%q asks for %q", p.Title, target.Expr)
			}
			for _, name := range names {
				base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
				f := families[name]
				if f == nil && families[base] != nil && families[base].GetType() == dto.MetricType_HISTOGRAM {
					f = families[base]
				}
				if f == nil {
					t.Errorf("%q shows %s, which there is not", p.Title, name)
					continue
				}
				shown[f.GetName()] = true
				if f.GetType() == dto.MetricType_COUNTER && !strings.Contains(target.Expr, "rate("+name) {
					t.Errorf("%q shows the counter %s without rate()", p.Title, name)
				}
			}
		}
	}
	if len(shown) < 30 {
		t.Errorf("it shows %d metrics only", len(shown))
	}
}

// TestMetricsAreQuick: a scrape of a peer does not take the time of its rooms.
func TestMetricsAreQuick(t *testing.T) {
	n := busy(t)
	begin := time.Now()
	for range 20 {
		scrape(t, n)
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("20 scrapes took %s", took)
	}
}
