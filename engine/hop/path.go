package hop

import (
	"net/netip"

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
		return
	}
	h.path.Store(&path{socket: socket, remote: netip.AddrPortFrom(to.Unmap(), uint16(remote.Port()))})
}
