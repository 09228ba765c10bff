// Package machine tells what the computer can spare for others: how much of its processors is idle, and whether it runs on battery.
// Both are known on Linux only; elsewhere a computer seems idle and plugged in.
package machine

// cpu is how long the processors together have been idle and not, in any unit.
type cpu struct{ idle, all float64 }

// idle returns the share between two looks in thousandths.
func idle(before, now cpu) int {
	all := now.all - before.all
	if all <= 0 {
		return 1000
	}
	return min(max(int(1000*(now.idle-before.idle)/all), 0), 1000)
}

// supply is a source of power.
type supply struct {
	kind   string // "Mains", "USB", "Battery"
	online bool   // feeds the computer
	drains bool
	device bool // feeds a mouse, and not the computer
}

// onBattery tells whether a battery is being used up and nothing else feeds the computer.
func onBattery(list []supply) bool {
	drained := false
	for _, s := range list {
		switch {
		case s.device:
		case s.kind == "Battery":
			drained = drained || s.drains
		case s.online:
			return false
		}
	}
	return drained
}
