package node

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics returns what the gateway shows besides its own: the engine's counters, rooms, guests, and the process.
func (n *Node) metrics() prometheus.Gatherer {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collector{n}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// collector reads a Node's counters when somebody asks. It is unchecked (it describes nothing beforehand), because which
// counters there are is the engine's business.
type collector struct{ n *Node }

func (c collector) Describe(chan<- *prometheus.Desc) {}

func (c collector) Collect(out chan<- prometheus.Metric) {
	counter := func(name, help string, v float64, labels ...string) {
		c.send(out, prometheus.CounterValue, name, help, v, labels)
	}
	gauge := func(name, help string, v float64, labels ...string) {
		c.send(out, prometheus.GaugeValue, name, help, v, labels)
	}
	counters := c.n.engine.Counters()
	for _, name := range slices.Sorted(maps.Keys(counters)) {
		counter(name, "See engine.Counters.", float64(counters[name]))
	}
	up, down := c.n.engine.Rates()
	gauge("upload_bits_per_second", "Sent to other peers.", float64(up))
	gauge("download_bits_per_second", "Received from other peers.", float64(down))
	gauge("peers", "Peers that there are connections to.", float64(len(c.n.plane.Connected())))
	for _, r := range c.n.engine.Rooms() {
		info, tree := r.Info(), r.Tree()
		gauge("room_audience", "Listeners of the room, as far as they are known.", float64(info.Audience), "room", info.Room)
		gauge("room_depth", "Depth of this peer in the room's tree.", float64(tree.Depth), "room", info.Room)
		gauge("room_children", "Children of this peer in the room's tree.", float64(len(tree.Children)), "room", info.Room)
		for _, s := range r.StreamCounters() {
			counter("stream_packets_total", "New packets of the stream.", float64(s.Packets), "room", info.Room, "stream", s.Stream)
			counter("stream_bytes_total", "Their octets.", float64(s.Bytes), "room", info.Room, "stream", s.Stream)
			counter("stream_lost_total", "Packets that never came.", float64(s.Lost), "room", info.Room, "stream", s.Stream)
			counter("stream_repaired_total", "Packets that came when they were asked for again.", float64(s.Repaired), "room", info.Room, "stream", s.Stream)
			counter("stream_duplicates_total", "Packets that came more than once.", float64(s.Duplicates), "room", info.Room, "stream", s.Stream)
		}
	}
	g := c.n.guests.Stats()
	gauge("guests", "Sessions of browsers and encoders.", float64(g.Publishing), "kind", "publishing")
	gauge("guests", "Sessions of browsers and encoders.", float64(g.Watching), "kind", "watching")
	counter("guest_packets_in_total", "RTP packets of publishing guests.", float64(g.PacketsIn))
	counter("guest_packets_refused_total", "RTP packets of publishing guests that were not taken.", float64(g.PacketsRefused))
	counter("guest_packets_out_total", "RTP packets to watching guests.", float64(g.PacketsOut))
	counter("guest_packets_retransmitted_total", "Of these, sent again.", float64(g.Retransmitted))
	counter("guest_packets_dropped_total", "Packets that watching guests were too slow for.", float64(g.AudioDropped), "kind", "audio")
	counter("guest_packets_dropped_total", "Packets that watching guests were too slow for.", float64(g.VideoDropped), "kind", "video")
}

// send emits one sample; labels are names and values in turn.
func (c collector) send(out chan<- prometheus.Metric, kind prometheus.ValueType, name, help string, v float64, labels []string) {
	var names, values []string
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	out <- prometheus.MustNewConstMetric(prometheus.NewDesc("castd_"+name, help, names, nil), kind, v, values...)
}
