package hop

import (
	"net/netip"
	"sync"

	"github.com/pion/ice/v4"

	"github.com/castd/castd/engine/udp"
)

// path is where packets of a hop go: the pair that ICE has selected, on a socket of the shared port. Media is written there in
// batches; ICE and DTLS go on over the ICE connection.
type path struct {
	socket *udp.Socket
	remote netip.AddrPort
}

// selected follows what ICE selects. Without a udp.Port there is no path, and media goes over the ICE connection.
func (h *Hop) selected(local, remote ice.Candidate) {
	port, ok := h.t.mux.(*udp.Port)
	if !ok || local == nil || remote == nil {
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
	socket := port.Socket(from)
	if socket == nil {
		h.path.Store(nil)
	} else {
		h.path.Store(&path{socket: socket, remote: netip.AddrPortFrom(to.Unmap(), uint16(remote.Port()))})
	}
	h.takeIn()
}

// way is a hop's way in while it is up: what comes on the selected path is taken on the socket's goroutine. Through the agent it
// would wake three goroutines, one after the other, for each datagram. What comes by other ways still goes through the agent.
type way struct {
	mu    sync.Mutex
	open  bool // between HopUp and the end
	taken *path
	agent udp.Handler // gets the answers to the agent's checks
}

// openWay begins to take what comes on the path.
func (h *Hop) openWay() {
	h.way.mu.Lock()
	h.way.open = true
	h.way.mu.Unlock()
	h.takeIn()
}

// closeWay ends that. Afterwards nothing is taken any more.
func (h *Hop) closeWay() {
	h.way.mu.Lock()
	h.way.open = false
	h.way.mu.Unlock()
	h.takeIn()
	h.receive.mu.Lock()
	h.receive.over = true
	h.receive.mu.Unlock()
}

// takeIn follows the path.
func (h *Hop) takeIn() {
	w := &h.way
	w.mu.Lock()
	defer w.mu.Unlock()
	p := h.path.Load()
	if !w.open {
		p = nil
	}
	if w.taken != nil && (p == nil || *p != *w.taken) {
		w.taken.socket.Release(w.taken.remote, h)
		w.taken = nil
	}
	port, ok := h.t.mux.(*udp.Port)
	if p == nil || w.taken != nil || !ok {
		return
	}
	ufrag, _, err := h.agent.GetLocalUserCredentials()
	if err != nil {
		return // closed
	}
	if w.agent = port.Agent(ufrag, p.socket); w.agent == nil {
		return
	}
	w.taken = p
	p.socket.Claim(p.remote, h)
}

// Datagram implements udp.Handler.
func (h *Hop) Datagram(s *udp.Socket, from netip.AddrPort, b []byte) {
	if !udp.IsSTUN(b) {
		h.demux(b)
		return
	}
	h.way.mu.Lock()
	agent := h.way.agent
	h.way.mu.Unlock()
	agent.Datagram(s, from, b)
}
