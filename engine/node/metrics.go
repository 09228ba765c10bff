package node

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/castd/castd/engine"
)

// metrics returns what the gateway shows besides its own: the engine's counters, rooms, hops, guests, and the process. Names
// follow the conventions of Prometheus: base units, _total for counters. Labels are rooms this peer is in and words from fixed
// lists; nothing has a label for each peer, guest or stream.
func (n *Node) metrics() prometheus.Gatherer {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collector{n}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if p := n.options.Plugins; p != nil {
		reg.MustRegister(p)
	}
	return reg
}

// collector reads a Node's counters when somebody asks. It is unchecked (it describes nothing beforehand), because which
// counters there are is the engine's business.
type collector struct{ n *Node }

func (c collector) Describe(chan<- *prometheus.Desc) {}

func (c collector) Collect(out chan<- prometheus.Metric) {
	s := samples{out}
	c.self(s)
	c.engine(s)
	c.hops(s)
	c.rooms(s)
	c.gossip(s)
	c.guests(s)
}

// self is about this peer as a whole.
func (c collector) self(s samples) {
	s.gauge("build_info", "1, with the version as a label.", 1, "version", cmp.Or(c.n.options.Version, "unknown"))
	s.gauge("peers", "Peers that there are connections to.", float64(len(c.n.plane.Connected())))
	s.gauge("upload_limit_bytes_per_second", "What may be spent on others.", float64(c.n.options.Upload)/8)
	up, down := c.n.engine.Rates()
	s.gauge("upload_bytes_per_second", "Sent to other peers, over the last moments.", float64(up)/8)
	s.gauge("download_bytes_per_second", "Received from other peers, over the last moments.", float64(down)/8)
}

// engine has the counters of the engine, and of what it told as events.
func (c collector) engine(s samples) {
	counters := c.n.engine.Counters()
	for _, name := range slices.Sorted(maps.Keys(counters)) {
		s.counter(name, helpOf(name), float64(counters[name]))
	}
	events := c.n.engine.EventTotals()
	for _, k := range slices.SortedFunc(maps.Keys(events), func(a, b engine.EventCount) int {
		return cmp.Or(cmp.Compare(a.Event, b.Event), cmp.Compare(a.Detail, b.Detail))
	}) {
		s.counter("events_total", "Events by kind; detail is a parent's reason or an error's code.", float64(events[k]), "event", k.Event, "detail", k.Detail)
	}
	gaps := c.n.engine.GapTotals()
	s.out <- prometheus.MustNewConstHistogram(prometheus.NewDesc("castd_gap_seconds", "Time without a packet of a flowing stream, where it was above 60 ms.", nil, nil),
		gaps.Count, gaps.Seconds, gaps.Buckets)
	s.counter("gap_lost_packets_total", "Packets of gaps that never came.", float64(gaps.Lost))
	drops := c.n.engine.Drops()
	for _, kind := range slices.Sorted(maps.Keys(drops)) {
		s.counter("child_queue_dropped_packets_total", "Packets that children were too slow for, by kind.", float64(drops[kind]), "kind", kind)
	}
}

// helpOf says what one of engine.Counters counts, made of its name where nobody has written it down.
func helpOf(name string) string {
	help := map[string]string{
		"packets_malformed_total":         "Packets of peers that could not be read.",
		"packets_unknown_stream_total":    "Packets of streams that nobody announced.",
		"packets_not_from_parent_total":   "Packets of peers that do not feed this one.",
		"packets_forged_total":            "Packets that their publisher did not sign.",
		"parent_connections_broken_total": "Idle connections to parents that their operating systems ended: crashes, mostly.",
		"nacks_sent_total":                "Requests for packets that were missing.",
		"packets_resent_total":            "Packets sent again to peers that missed them.",
		"control_messages_total":          "Control messages received over hops.",
		"control_messages_bad_total":      "Control messages that were refused.",
		"mailbox_full_total":              "Messages for a room that were dropped since it could not keep up.",
		"key_frame_requests_total":        "Key frames asked for by peers and players.",
		"overloads_total":                 "Times at which this peer began to carry more than it can.",
		"partition_probes_total":          "Looks for another part of a room, at peers that were met and lost.",
		"events_dropped_total":            "Events that readers were too slow for.",
	}
	if h := help[name]; h != "" {
		return h
	}
	return "Counter of the engine: " + strings.ReplaceAll(strings.TrimSuffix(name, "_total"), "_", " ") + "."
}

// hops has what all media connections to peers carried, and how the worst of each role does now.
func (c collector) hops(s samples) {
	t := c.n.engine.HopTotals()
	s.gauge("hops", "Media connections to peers.", float64(t.Open))
	s.counter("hop_sent_packets_total", "Media packets to peers, repairs included.", float64(t.PacketsSent))
	s.counter("hop_sent_bytes_total", "What was sent to peers, without IP and UDP headers.", float64(t.BytesSent))
	s.counter("hop_received_packets_total", "Media packets from peers, repairs included.", float64(t.PacketsReceived))
	s.counter("hop_received_bytes_total", "What came from peers, without IP and UDP headers.", float64(t.BytesReceived))
	s.counter("hop_recovered_packets_total", "Packets restored from redundancy.", float64(t.Recovered))
	s.counter("hop_invalid_packets_total", "Packets that did not authenticate or parse.", float64(t.Invalid))
	type worst struct{ peers, rtt, loss float64 }
	roles := map[string]worst{"parent": {}, "backup": {}, "child": {}, "publisher": {}, "hub": {}}
	for _, p := range c.n.engine.Peers() {
		w, ok := roles[p.Role]
		if !ok || !p.Hop {
			continue
		}
		roles[p.Role] = worst{w.peers + 1, max(w.rtt, p.RTTMs/1000), max(w.loss, float64(p.LossPm)/1000)}
	}
	for _, role := range slices.Sorted(maps.Keys(roles)) {
		w := roles[role]
		s.gauge("hop_peers", "Peers with a media connection, by what they are to this one.", w.peers, "role", role)
		s.gauge("hop_round_trip_max_seconds", "Longest round trip to a peer of the role.", w.rtt, "role", role)
		s.gauge("hop_loss_max_ratio", "Largest share of packets that were lost on the way from a peer of the role.", w.loss, "role", role)
	}
}

func (c collector) rooms(s samples) {
	for _, r := range c.n.engine.Rooms() {
		info, place := r.Info(), r.Tree()
		s.gauge("room_info", "1, with a room's name, mode and this peer's role in it as labels.", 1,
			"room", info.Room, "name", info.Name, "mode", info.Mode, "role", info.Role)
		s.gauge("room_audience", "Listeners of the room, as far as they are known.", float64(info.Audience), "room", info.Room)
		s.gauge("room_depth", "Depth of this peer in the room's tree; the origin's is 0.", float64(place.Depth), "room", info.Room)
		children := map[string]float64{"ordinary": 0, "backup": 0, "orphan": 0}
		for _, ch := range place.Children {
			children[ch.Kind]++
		}
		for _, kind := range slices.Sorted(maps.Keys(children)) {
			s.gauge("room_children", "Children of this peer in the room's tree, by kind.", children[kind], "room", info.Room, "kind", kind)
		}
		underprepared := 1.0
		if r.Prepared() {
			underprepared = 0
		}
		s.gauge("tree_underprepared", "1 while this peer would not know where to go if its parent died: it has no second one, or knows fewer than three others with room.",
			underprepared, "room", info.Room)
		live := map[string]float64{"audio": 0, "video": 0}
		for _, st := range info.Streams {
			if st.State == "live" {
				live[st.Kind]++
			}
		}
		for _, kind := range slices.Sorted(maps.Keys(live)) {
			s.gauge("room_streams", "Live streams of the room, by kind.", live[kind], "room", info.Room, "kind", kind)
		}
		for _, m := range r.MediaTotals() {
			l := []string{"room", info.Room, "kind", m.Kind}
			s.counter("media_packets_total", "New packets of the room's streams.", float64(m.Packets), l...)
			s.counter("media_bytes_total", "Their size.", float64(m.Bytes), l...)
			s.counter("media_lost_packets_total", "Packets that never came.", float64(m.Lost), l...)
			s.counter("media_repaired_packets_total", "Packets that came when they were asked for again.", float64(m.Repaired), l...)
			s.counter("media_duplicate_packets_total", "Packets that came more than once.", float64(m.Duplicates), l...)
		}
	}
}

// gossip has the counters of the control plane.
func (c collector) gossip(s samples) {
	g := c.n.plane.Stats()
	for _, m := range []struct {
		name, help string
		v          uint64
	}{
		{"gossip_sent_total", "Gossip published here.", g.GossipSent},
		{"gossip_received_total", "Gossip delivered here.", g.GossipReceived},
		{"gossip_rejected_total", "Gossip that was wrong, or broke the rules.", g.GossipRejected},
		{"gossip_ignored_total", "Gossip that was not worth passing on.", g.GossipIgnored},
		{"gossip_overflow_total", "Gossip dropped for want of room in a queue, on the way in.", g.GossipOverflow},
		{"gossip_unsent_total", "Gossip dropped for want of room in a queue, on the way out.", g.GossipUnsent},
		{"direct_sent_messages_total", "Messages sent to single peers.", g.MessagesSent},
		{"direct_received_messages_total", "Messages received from single peers.", g.MessagesReceived},
		{"direct_sent_requests_total", "Requests sent to single peers.", g.RequestsSent},
		{"direct_received_requests_total", "Requests received from single peers.", g.RequestsReceived},
		{"direct_rate_limited_total", "Messages of peers beyond their rate.", g.RateLimited},
		{"direct_busy_total", "Messages refused since too many were in work.", g.Busy},
		{"direct_malformed_total", "Messages that were cut off, too large or too slow.", g.Malformed},
		{"dead_connections_total", "Connections closed since the other end had fallen silent.", g.DeadConnections},
	} {
		s.counter(m.name, m.help, float64(m.v))
	}
}

// guests has what browsers and encoders sent and received; how many there are is the gateway's to tell.
func (c collector) guests(s samples) {
	g := c.n.guests.Stats()
	s.counter("guest_received_packets_total", "RTP packets of publishing guests.", float64(g.PacketsIn))
	s.counter("guest_refused_packets_total", "RTP packets of publishing guests that were not taken.", float64(g.PacketsRefused))
	s.counter("guest_sent_packets_total", "RTP packets to watching guests.", float64(g.PacketsOut))
	s.counter("guest_send_errors_total", "RTP packets to watching guests that the system refused.", float64(g.SendErrors))
	s.counter("guest_retransmitted_packets_total", "RTP packets sent again to watching guests.", float64(g.Retransmitted))
	s.counter("guest_feedback_dropped_total", "Messages of watching guests that came too fast.", float64(g.FeedbackDropped))
	for _, d := range []struct {
		kind string
		v    uint64
	}{{"audio", g.AudioDropped}, {"video", g.VideoDropped}} {
		s.counter("guest_dropped_packets_total", "Packets that watching guests were too slow for.", float64(d.v), "kind", d.kind)
	}
}

// samples takes what a collector has to tell.
type samples struct{ out chan<- prometheus.Metric }

func (s samples) counter(name, help string, v float64, labels ...string) {
	s.send(prometheus.CounterValue, name, help, v, labels)
}

func (s samples) gauge(name, help string, v float64, labels ...string) {
	s.send(prometheus.GaugeValue, name, help, v, labels)
}

// send emits one sample; labels are names and values in turn.
func (s samples) send(kind prometheus.ValueType, name, help string, v float64, labels []string) {
	var names, values []string
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, strings.ToValidUTF8(labels[i+1], ""))
	}
	s.out <- prometheus.MustNewConstMetric(prometheus.NewDesc("castd_"+name, help, names, nil), kind, v, values...)
}
