package bench

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Result is what a run has measured. Absent things are zero and left out of JSON.
type Result struct {
	Seconds        float64 `json:"seconds"`
	Subscribers    int     `json:"subscribers"`
	Failed         int     `json:"failed"` // viewers that did not connect
	FirstFailure   string  `json:"first_failure,omitempty"`
	Ended          int     `json:"ended,omitempty"` // sessions that the server ended before the time
	JoinsPerSecond float64 `json:"joins_per_second"`
	Packets        uint64  `json:"packets"`        // that all viewers got in the window
	Bitrate        float64 `json:"bitrate"`        // bits a second to all viewers
	SRTP           string  `json:"srtp,omitempty"` // protection profile of the first viewer

	ConnectP50   float64 `json:"connect_ms_p50"`
	FirstPacket  float64 `json:"first_packet_ms_p50,omitempty"`
	FirstP95     float64 `json:"first_packet_ms_p95,omitempty"`
	FirstPicture float64 `json:"first_picture_ms_p50,omitempty"`
	PictureP95   float64 `json:"first_picture_ms_p95,omitempty"`

	Call  *CallResult `json:"call,omitempty"`
	Audio *KindResult `json:"audio,omitempty"`
	Video *KindResult `json:"video,omitempty"`

	// Of the process that was looked at.
	CPUPerPacket float64 `json:"cpu_us_per_packet,omitempty"`
	CPU          float64 `json:"cpu_cores,omitempty"`
	CPUIdle      float64 `json:"cpu_ms_per_viewer_second,omitempty"`
	RSS          int64   `json:"rss_bytes,omitempty"`
	Threads      int     `json:"threads,omitempty"`
	Files        int     `json:"files,omitempty"`

	// Of this process.
	OwnCPU  float64 `json:"own_cpu_cores"`
	OwnLate float64 `json:"own_timer_late_ms_p99"`
	Starved bool    `json:"starved"` // delays mean nothing

	connect histogram
	cpu     time.Duration
}

// KindResult is what viewers got of one kind of media.
type KindResult struct {
	Sent       uint64  `json:"sent"`     // by all publishers in the window
	Expected   uint64  `json:"expected"` // by all viewers
	Received   uint64  `json:"received"`
	Lost       uint64  `json:"lost"`
	Duplicates uint64  `json:"duplicates"`
	Reordered  uint64  `json:"reordered"`
	DelayP50   float64 `json:"delay_ms_p50"`
	DelayP95   float64 `json:"delay_ms_p95"`
	DelayP99   float64 `json:"delay_ms_p99"`
	DelayMax   float64 `json:"delay_ms_max"`
}

// starvedAt is how late this process's timer may be, at its 99th percentile, for its delays to mean something.
const starvedAt = 20 * time.Millisecond

func (r *Result) server(before, after Usage, took time.Duration) {
	r.cpu = after.CPU - before.CPU
	r.CPU = float64(r.cpu) / float64(took)
	r.RSS, r.Threads, r.Files = after.RSS, after.Threads, after.Files
	if r.Packets > 0 {
		r.CPUPerPacket = float64(r.cpu.Microseconds()) / float64(r.Packets)
	}
}

// sum adds up what publishers and viewers have seen. All of them have ended.
func (r *run) sum(result *Result) {
	connected := r.Subscribers - result.Failed
	result.Subscribers = r.Subscribers
	result.ConnectP50 = ms(result.connect.quantile(0.5))
	if connected > 0 && result.cpu > 0 {
		result.CPUIdle = ms(result.cpu) / float64(connected) / result.Seconds
	}
	if r.Callers > 0 {
		r.sumCall(result.Call)
	}
	var packet, picture histogram
	var kindsSeen [kinds]KindResult
	var delays [kinds]histogram
	sent := map[trackKey]uint64{}
	for _, p := range r.publishers {
		if p.ended {
			result.Ended++
		}
		for k := range kinds {
			if p.media[k] {
				sent[trackKey{p.index, k}] = p.inWindow[k]
				kindsSeen[k].Sent += p.inWindow[k]
			}
		}
	}
	for _, v := range r.viewers {
		if v.ended {
			result.Ended++
		}
		if v.firstPacket > 0 {
			packet.add(v.firstPacket)
		}
		if v.firstPicture > 0 {
			picture.add(v.firstPicture)
		}
		if v.connectAt.IsZero() {
			continue
		}
		if result.SRTP == "" {
			result.SRTP = v.profile.String()
		}
		for key, n := range sent { // what not even one packet came of
			if v.tracks[key] == nil && len(r.publishers) == 1 {
				kindsSeen[key.kind].Expected += n
				kindsSeen[key.kind].Lost += n
			}
		}
		for key, t := range v.tracks {
			k := &kindsSeen[key.kind]
			expected, ok := sent[key]
			if !ok && t.inWindow > 0 { // of a publisher elsewhere
				expected = t.last - t.first + 1
			}
			k.Expected += expected
			k.Received += t.inWindow
			k.Lost += expected - min(t.inWindow, expected)
			k.Duplicates += t.duplicates
			k.Reordered += t.reordered
		}
		for k := range kinds {
			delays[k].merge(&v.delay[k])
		}
	}
	result.FirstPacket, result.FirstP95 = ms(packet.quantile(0.5)), ms(packet.quantile(0.95))
	result.FirstPicture, result.PictureP95 = ms(picture.quantile(0.5)), ms(picture.quantile(0.95))
	for k := range kinds {
		if kindsSeen[k].Sent == 0 && kindsSeen[k].Expected == 0 {
			continue
		}
		d := &delays[k]
		kindsSeen[k].DelayP50, kindsSeen[k].DelayP95 = ms(d.quantile(0.5)), ms(d.quantile(0.95))
		kindsSeen[k].DelayP99, kindsSeen[k].DelayMax = ms(d.quantile(0.99)), ms(d.most)
	}
	if kindsSeen[audio] != (KindResult{}) {
		result.Audio = &kindsSeen[audio]
	}
	if kindsSeen[video] != (KindResult{}) {
		result.Video = &kindsSeen[video]
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	late := r.late.quantile(0.99)
	result.OwnLate, result.Starved = ms(late), late > starvedAt
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// withSlot gives the publisher i a slot of its own, where the server has slots; others ignore it.
func withSlot(address string, i int) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	q := u.Query()
	q.Set("slot", fmt.Sprintf("bench-%d", i))
	u.RawQuery = q.Encode()
	return u.String()
}

// Sibling returns the address with the last from in its path replaced by to; "" if there is none.
func Sibling(address, from, to string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	i := strings.LastIndex(u.Path, from)
	if i < 0 {
		return ""
	}
	u.Path, u.RawPath = u.Path[:i]+to+u.Path[i+len(from):], ""
	return u.String()
}
