package hop

import (
	"net"
	"net/netip"
	"sync"

	"github.com/pion/ice/v4"

	"github.com/castd/castd/engine/udp"
)

// path is where packets of a hop go: the pair that ICE has selected, on a socket of the shared port. Media is written there in
// batches; ICE and DTLS go on over the ICE connection.
type path struct {
	socket   *udp.Socket
	remote   netip.AddrPort
	from, to string // both ends, for people
}

// selected follows what ICE selects. Without a udp.Port there is no path, and media goes over the ICE connection.
func (h *Hop) selected(local, remote ice.Candidate) {
	port, ok := h.t.mux.(*udp.Port)
	if !ok || local == nil || remote == nil || h.retired.Load() {
		return
	}
	from, err := netip.ParseAddr(local.Address())
	if err != nil {
		return
	}
	to, err := netip.ParseAddr(remote.Address())
	if err != nil {
		return
	}
	var p *path
	if socket := port.Socket(from); socket != nil {
		remote := netip.AddrPortFrom(to.Unmap(), uint16(remote.Port()))
		p = &path{socket: socket, remote: remote, from: socket.LocalAddr().String(), to: remote.String()}
	}
	h.follow(p)
	h.inherit()
}

// follow makes p the hop's path.
func (h *Hop) follow(p *path) {
	h.path.Store(p)
	h.send.route(p)
}

// way is a hop's way in while it is up: what comes from the addresses that its agent has found is taken on the socket's goroutine.
// Through the agent it would wake three goroutines, one after the other, for each datagram. The two sides may have selected
// different pairs, so it is not only the path's address that the peer sends from.
type way struct {
	mu     sync.Mutex
	open   bool // between HopUp and the end
	ufrag  string
	claims []udp.Claim
}

// openWay begins to take what comes.
func (h *Hop) openWay() {
	ufrag, _, err := h.agent.GetLocalUserCredentials()
	if err != nil {
		return // closed
	}
	h.way.mu.Lock()
	h.way.open, h.way.ufrag = true, ufrag
	h.way.mu.Unlock()
	h.inherit()
}

// inherit takes over the addresses that the agent has claimed since.
func (h *Hop) inherit() {
	port, ok := h.t.mux.(*udp.Port)
	if !ok {
		return
	}
	h.way.mu.Lock()
	defer h.way.mu.Unlock()
	if h.way.open {
		h.way.claims = append(h.way.claims, port.Inherit(h.way.ufrag, h)...)
	}
}

// closeWay ends that. Afterwards nothing is taken any more.
func (h *Hop) closeWay() {
	h.way.mu.Lock()
	h.way.open = false
	for _, c := range h.way.claims {
		c.Socket.Release(c.From, h)
	}
	h.way.claims = nil
	h.way.mu.Unlock()
	h.receive.mu.Lock()
	h.receive.over = true
	h.receive.mu.Unlock()
}

// Datagram implements udp.Handler.
func (h *Hop) Datagram(s *udp.Socket, from netip.AddrPort, b []byte) {
	if !udp.IsSTUN(b) {
		h.demux(b)
		return
	}
	if h.retired.Load() {
		return
	}
	h.way.mu.Lock()
	ufrag := h.way.ufrag
	h.way.mu.Unlock()
	if agent := h.t.mux.(*udp.Port).Agent(ufrag, s); agent != nil {
		agent.Datagram(s, from, b)
	}
}

// wayOut is a hop as the way of its DTLS records and of what does not go in batches.
type wayOut Hop

func (w *wayOut) Write(b []byte) (int, error) {
	if w.retired.Load() {
		p := w.path.Load()
		return p.socket.WriteTo(b, p.remote)
	}
	return w.conn.Write(b)
}

func (w *wayOut) LocalAddr() net.Addr {
	if w.retired.Load() {
		return net.UDPAddrFromAddrPort(w.path.Load().socket.LocalAddr())
	}
	return w.conn.LocalAddr()
}

func (w *wayOut) RemoteAddr() net.Addr {
	if w.retired.Load() {
		return net.UDPAddrFromAddrPort(w.path.Load().remote)
	}
	return w.conn.RemoteAddr()
}
