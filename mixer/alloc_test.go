package mixer

import "testing"

// A tick allocates nothing, with talkers who come and go, wishes, stereo and losses.
func TestNoAllocations(t *testing.T) {
	tp := &tape{lowest: 10}
	m, err := New(Config{Encoders: tp.encoder})
	if err != nil {
		t.Fatal(err)
	}
	const n = 20
	var frames [n + 1][]float32
	for i := ID(1); i <= n; i++ {
		m.AddInput(i)
		m.AddListener(i, 1+int(i%2), 32000)
		m.Loss(i, float64(i%3)*4)
		frames[i] = tone(200+20*float64(i), 0.2)(1)
	}
	m.Adjust(3, 1, -0.5)
	m.Wish(4, 2, 0.5)
	tick := uint64(0)
	step := func() {
		tick++
		for i := ID(1); i <= n; i++ {
			level := uint8(127)
			if (tick/40+uint64(i))%5 == 0 {
				level = 20 + uint8(i)
			}
			m.Heard(i, Header{Level: level, Known: true})
		}
		for _, w := range m.Select(tick) {
			m.Feed(w.ID, frames[w.ID], 1, 0)
		}
		m.Mix()
		m.Load(0.2)
	}
	for range 2000 {
		step()
	}
	if got := testing.AllocsPerRun(400, step); got != 0 {
		t.Errorf("%.2f allocations a tick", got)
	}
	if m.Stats().Encodes < 4000 {
		t.Errorf("%d encodes", m.Stats().Encodes)
	}
}
