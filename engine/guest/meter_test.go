package guest

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
)

func compound(t testing.TB, packets ...rtcp.Packet) []byte {
	t.Helper()
	b, err := rtcp.Marshal(packets)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMeter(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	sent := uint32(unixToNTP(now.Add(-100*time.Millisecond).UnixMicro()) >> 16)
	report := func(lost uint8, lsr, dlsr uint32) rtcp.ReceptionReport {
		return rtcp.ReceptionReport{SSRC: 7, FractionLost: lost, LastSenderReport: lsr, Delay: dlsr}
	}
	const kept = 65536 / 20 // 50 ms
	var m meter
	m.heard(compound(t, &rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{report(0, 0, 0)}}), now)
	if m.rtt.Load() != 0 || m.lost.Load() != 0 {
		t.Errorf("round trip %d, lost %d before anything is known", m.rtt.Load(), m.lost.Load())
	}
	m.heard(compound(t, &rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{report(26, sent, kept), report(64, 0, 0)}},
		&rtcp.PictureLossIndication{MediaSSRC: 7}), now)
	if rtt := time.Duration(m.rtt.Load()); rtt < 49*time.Millisecond || rtt > 51*time.Millisecond || m.lost.Load() != 250 {
		t.Errorf("round trip %s, lost %d", rtt, m.lost.Load())
	}
	m.heard(compound(t, &rtcp.SenderReport{SSRC: 9, Reports: []rtcp.ReceptionReport{report(0, sent+1<<20, 0)}}), now)
	if rtt := time.Duration(m.rtt.Load()); rtt > 51*time.Millisecond || m.lost.Load() != 0 {
		t.Errorf("round trip %s, lost %d", rtt, m.lost.Load())
	}
	m.heard(compound(t, &rtcp.PictureLossIndication{MediaSSRC: 7}), now)
	if n := testing.AllocsPerRun(100, func() { m.heard([]byte{0x81, 201, 0, 7, 31: 0}, now) }); n != 0 {
		t.Errorf("%v allocations a report", n)
	}
}

func TestMeterRate(t *testing.T) {
	var m meter
	now := time.Unix(0, 0).Add(time.Hour)
	for _, tt := range []struct {
		after  time.Duration
		octets uint32
		want   uint64
	}{{0, 1<<32 - 500, 0}, {100 * time.Millisecond, 0, 0}, {900 * time.Millisecond, 500, 8000}, {time.Millisecond, 900, 8000}, {time.Second - time.Millisecond, 500, 0}} {
		now = now.Add(tt.after)
		if got := m.rate(tt.octets, now); got != tt.want {
			t.Errorf("after %s: %d, want %d", tt.after, got, tt.want)
		}
	}
}

func FuzzReceptions(f *testing.F) {
	f.Add(compound(f, &rtcp.ReceiverReport{Reports: make([]rtcp.ReceptionReport, 2)}, &rtcp.SenderReport{Reports: make([]rtcp.ReceptionReport, 1)}))
	f.Add([]byte{0x9F, 200, 0, 1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var m meter
		m.heard(b, time.Unix(1_700_000_000, 0))
		if m.lost.Load() > 1000 || m.rtt.Load() < 0 || m.rtt.Load() > int64(time.Minute) {
			t.Fatalf("lost %d, round trip %d", m.lost.Load(), m.rtt.Load())
		}
	})
}
