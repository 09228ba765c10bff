package machine

import (
	"sync"

	"github.com/prometheus/procfs"
	"github.com/prometheus/procfs/sysfs"
)

// Watch looks at this computer. It is safe for concurrent use.
type Watch struct {
	mu     sync.Mutex
	before cpu
}

// New returns a Watch; what is idle counts from now on.
func New() *Watch {
	w := &Watch{}
	w.before, _ = processors()
	return w
}

// Spare returns how many thousandths of the processors were idle since the last call, and whether the computer runs on battery. What
// cannot be found out is as good as can be: nobody is passed by for what his system does not tell.
func (w *Watch) Spare() (idleness int, battery bool) {
	idleness = 1000
	if now, ok := processors(); ok {
		w.mu.Lock()
		idleness = idle(w.before, now)
		w.before = now
		w.mu.Unlock()
	}
	return idleness, onBattery(supplies())
}

// processors reads what the processors have done since the computer was started. What a hypervisor took counts as busy.
func processors() (cpu, bool) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return cpu{}, false
	}
	st, err := fs.Stat()
	if err != nil {
		return cpu{}, false
	}
	t := st.CPUTotal
	c := cpu{idle: t.Idle + t.Iowait}
	c.all = c.idle + t.User + t.Nice + t.System + t.IRQ + t.SoftIRQ + t.Steal // guests are part of user
	return c, true
}

func supplies() []supply {
	fs, err := sysfs.NewDefaultFS()
	if err != nil {
		return nil
	}
	class, err := fs.PowerSupplyClass()
	if err != nil {
		return nil
	}
	list := make([]supply, 0, len(class))
	for _, p := range class {
		list = append(list, supply{
			kind: p.Type, online: p.Online != nil && *p.Online != 0, drains: p.Status == "Discharging", device: p.Scope == "Device",
		})
	}
	return list
}
