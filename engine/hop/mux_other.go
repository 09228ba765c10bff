//go:build !linux

package hop

import "net"

// enlarge makes a socket's buffers hold the burst of a whole picture to many children, as far as the system allows.
func enlarge(c *net.UDPConn, size int) {
	_ = c.SetReadBuffer(size)
	_ = c.SetWriteBuffer(size)
}
