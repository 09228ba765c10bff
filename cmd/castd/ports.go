package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/node"
)

// States of a port.
const (
	portOpen = "open" // the running peer listens there
	portFree = "free"
	portBusy = "busy" // another program has it
)

// Who can reach a port, as far as this machine decides it.
const (
	toMachine = "machine" // loopback addresses only
	toNetwork = "network" // everyone whom routers and firewalls let through
	toLocal   = "local"   // the local network, by multicast
)

// portLine is one line of `castd ports --json`.
type portLine struct {
	engine.PortInfo
	OpenTo string `json:"open_to"`
	State  string `json:"state"`
	Note   string `json:"note"`
}

func (a *app) portsCommand() *cobra.Command {
	var flags peerFlags
	cmd := &cobra.Command{
		Use:   "ports",
		Short: "Shows which ports a peer uses, for whom they are open, and what to open in a router or firewall",
		Long: "Shows the ports of the running peer. Where none runs, it shows those that castd start would use with the same flags, variables\n" +
			"and file, and whether they are free.",
		Example: "  castd ports\n  castd ports --http 0.0.0.0:8470 --media-port 9000\n  castd ports --json",
		Args:    between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.ports(cmd.Context(), &flags)
		},
	}
	a.jsonFlag(cmd.Flags())
	flags.register(cmd.Flags(), node.DefaultHTTP)
	return cmd
}

func (a *app) ports(ctx context.Context, flags *peerFlags) error {
	o, err := flags.options(a)
	if err != nil {
		return err
	}
	planned, err := node.PlannedPorts(o)
	if err != nil {
		return usagef("%s", err)
	}
	var lines []portLine
	running := false
	switch p, err := connect(ctx, a.dataDir); {
	case err == nil:
		defer p.Close()
		status, err := p.Status(ctx)
		if err != nil {
			return err
		}
		running = true
		for _, q := range status.Ports {
			lines = append(lines, portLine{PortInfo: q, OpenTo: openTo(q), State: portOpen})
		}
	case errors.Is(err, errNoPeer):
		for _, q := range planned {
			lines = append(lines, portLine{PortInfo: q, OpenTo: openTo(q), State: tryPort(q)})
		}
	default:
		return err
	}
	for i := range lines {
		lines[i].Note = portNote(&lines[i], running)
	}
	out := &printer{json: a.json, w: a.out}
	if a.json {
		for i := range lines {
			out.object(lines[i])
		}
		return nil
	}
	out.text("%s", portsText(lines, running, lanAddrs()))
	return nil
}

// openTo says who can reach a port.
func openTo(p engine.PortInfo) string {
	if p.Use == "discovery" {
		return toLocal
	}
	for _, s := range p.Addrs {
		if a, err := netip.ParseAddr(s); err != nil || !a.IsLoopback() {
			return toNetwork
		}
	}
	return toMachine
}

// tryPort reports whether a port could be listened on now. Discovery shares its port with other programs.
func tryPort(p engine.PortInfo) string {
	if p.Use == "discovery" || p.Port == 0 {
		return portFree
	}
	for _, addr := range p.Addrs {
		at := net.JoinHostPort(addr, strconv.Itoa(p.Port))
		var c interface{ Close() error }
		var err error
		if a, _ := netip.ParseAddr(addr); p.Protocol == "tcp" {
			c, err = net.Listen(versioned("tcp", a), at)
		} else {
			c, err = net.ListenPacket(versioned("udp", a), at)
		}
		if errors.Is(err, syscall.EADDRINUSE) || err != nil && runtime.GOOS == "windows" {
			return portBusy
		}
		if err == nil {
			c.Close()
		}
	}
	return portFree
}

// versioned keeps an IPv6 socket from taking IPv4's port as well.
func versioned(network string, a netip.Addr) string {
	if a.Is4() {
		return network + "4"
	}
	return network + "6"
}

// portNote says in one sentence what to know of a port.
func portNote(p *portLine, running bool) string {
	switch p.Use {
	case "gateway":
		if p.OpenTo == toMachine {
			return "the page, WHIP, WHEP and the API, for this machine only; --http 0.0.0.0:8470 with --tls self opens it to guests"
		}
		return "the page, WHIP, WHEP and the API; who has no token gets nothing"
	case "discovery":
		return "multicast DNS finds peers on the local network; --no-mdns switches it off; nothing to open in a router"
	}
	what := "peers find each other and agree"
	if p.Use == "media" {
		what = "all sound and picture, of peers and of guests"
	}
	flag := "--listen"
	if p.Use == "media" {
		flag = "--media-port"
	}
	switch {
	case p.State == portBusy:
		return what + "; another program has this port: a free one is taken unless " + flag + " asked for it"
	case running && !p.Fixed || p.Port == 0:
		return what + "; another port after the next start: fix one with " + flag
	}
	return what
}

// portsText draws the ports, and says what to open.
func portsText(lines []portLine, running bool, lan []netip.Addr) string {
	words := map[string]string{toMachine: "this machine", toNetwork: "network", toLocal: "local network"}
	t := table{head: []string{"USE", "PROTOCOL", ">PORT", "OPEN TO", "STATE", "ADDRESSES"}}
	var b strings.Builder
	var open []string
	var notes strings.Builder
	for i := range lines {
		l := &lines[i]
		port := strconv.Itoa(l.Port)
		if l.Port == 0 {
			port = "any"
		} else if l.OpenTo == toNetwork {
			open = append(open, port+"/"+l.Protocol)
		}
		t.row(l.Use, l.Protocol, port, words[l.OpenTo], l.State, strings.Join(l.Addrs, " "))
		fmt.Fprintf(&notes, "%-10s %s %s: %s\n", l.Use, l.Protocol, port, l.Note)
	}
	if !running {
		b.WriteString("No castd is running on this data folder; this is what castd start would use.\n\n")
	}
	b.WriteString(t.String())
	b.WriteString("\n" + notes.String())
	if len(open) > 0 {
		b.WriteString("\n" + routerText(open, lan))
	}
	return b.String()
}

// routerText says what to open so that others get in.
func routerText(open []string, lan []netip.Addr) string {
	var b strings.Builder
	b.WriteString("castd gets out through most routers and firewalls without this. That others can begin to talk to this peer, open:\n")
	fmt.Fprintf(&b, "  firewall  incoming %s\n", strings.Join(open, ", "))
	if runtime.GOOS == "linux" {
		b.WriteString("            (with ufw: ")
		for i, p := range open {
			if i > 0 {
				b.WriteString("; ")
			}
			b.WriteString("sudo ufw allow " + p)
		}
		b.WriteString(")\n")
	}
	private := slices.DeleteFunc(slices.Clone(lan), public)
	switch {
	case len(private) > 0 && len(private) == len(lan):
		fmt.Fprintf(&b, "  router    forward the same ports to this machine, %s\n", private[0])
	case len(lan) > len(private):
		b.WriteString("  router    nothing: this machine has a public address\n")
	}
	return b.String()
}

// public reports whether the whole internet can address a machine so.
func public(a netip.Addr) bool {
	shared := netip.MustParsePrefix("100.64.0.0/10") // RFC 6598: behind a provider's translation
	return a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a)
}

// lanAddrs lists this machine's addresses by which others may know it, IPv4 first.
func lanAddrs() []netip.Addr {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap().IsGlobalUnicast() {
			out = append(out, ip.Unmap())
		}
	}
	slices.SortStableFunc(out, netip.Addr.Compare)
	return out
}
