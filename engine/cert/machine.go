package cert

import (
	"net"
	"net/netip"
	"os"
	"strings"
)

// Machine returns by what others may call this machine: its names, also with .local behind them (multicast DNS), and the
// addresses of its interfaces.
func Machine() Names {
	n := Names{DNS: append([]string{"localhost"}, HostNames()...), IPs: []netip.Addr{netip.IPv6Loopback(), netip.AddrFrom4([4]byte{127, 0, 0, 1})}}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return n // those that clients connect to come later
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLinkLocalUnicast() {
			n.IPs = append(n.IPs, p.Addr())
		}
	}
	return n
}

// HostNames returns this machine's name, alone and in multicast DNS; none where it has no name.
func HostNames() []string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return nil
	}
	if strings.HasSuffix(name, ".local") {
		return []string{name}
	}
	return []string{name, name + ".local"}
}

// Reachable returns the address under which others on the local network most likely reach this machine: of an interface's
// addresses the first private one of IPv4, else any other IPv4, else IPv6; false where there is only the loopback.
func Reachable() (netip.Addr, bool) { return reachable(Machine().IPs) }

func reachable(ips []netip.Addr) (best netip.Addr, ok bool) {
	worth := func(a netip.Addr) int {
		switch {
		case a.IsLoopback() || !a.IsGlobalUnicast():
			return 0
		case a.Is4() && a.IsPrivate():
			return 3
		case a.Is4():
			return 2
		}
		return 1
	}
	for _, a := range ips {
		if worth(a) > 0 && (!ok || worth(a) > worth(best)) {
			best, ok = a, true
		}
	}
	return best, ok
}
