package machine

import (
	"runtime"
	"testing"
	"time"
)

func TestIdle(t *testing.T) {
	for _, c := range []struct {
		name        string
		before, now cpu
		want        int
	}{
		{"first look, nothing known", cpu{}, cpu{}, 1000},
		{"half", cpu{100, 200}, cpu{150, 300}, 500},
		{"all busy", cpu{100, 200}, cpu{100, 300}, 0},
		{"all idle", cpu{100, 200}, cpu{200, 300}, 1000},
		{"time that went back", cpu{100, 200}, cpu{90, 190}, 1000},
		{"idle that went back", cpu{100, 200}, cpu{90, 300}, 0},
	} {
		if got := idle(c.before, c.now); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestOnBattery(t *testing.T) {
	battery := supply{kind: "Battery", drains: true}
	for _, c := range []struct {
		name string
		list []supply
		want bool
	}{
		{"a server", nil, false},
		{"a laptop on the train", []supply{{kind: "Mains"}, battery}, true},
		{"a laptop on the desk", []supply{{kind: "Mains", online: true}, {kind: "Battery"}}, false},
		{"by USB-C", []supply{{kind: "Mains"}, {kind: "USB", online: true}, battery}, false},
		{"full, and neither fed nor drained", []supply{{kind: "Mains"}, {kind: "Battery"}}, false},
		{"a desktop with a mouse", []supply{{kind: "Battery", drains: true, device: true}}, false},
	} {
		if got := onBattery(c.list); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// A computer whose processors are kept busy says so.
func TestSpare(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("what the computer can spare is known on Linux only")
	}
	w := New()
	for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); { // the kernel counts real time
	}
	got, _ := w.Spare()
	if most := 1000 - 1000/runtime.NumCPU()/2; got > most {
		t.Errorf("%d thousandths are idle while one of %d processors is kept busy", got, runtime.NumCPU())
	}
}
