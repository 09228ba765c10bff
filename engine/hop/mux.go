package hop

import (
	"github.com/pion/ice/v4"

	"github.com/castd/castd/engine/udp"
)

// Listen opens one UDP port for all media on every unicast address of this machine; see udp.Listen. It returns the port.
func Listen(port int, fallback bool) (ice.UDPMux, int, error) {
	p, err := udp.Listen(port, fallback)
	if err != nil {
		return nil, 0, err
	}
	return p, p.Number(), nil
}
