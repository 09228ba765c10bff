//go:build !linux

package udp

import (
	"errors"
	"net"
)

// systemBatch holds nothing where there is no batched send.
type systemBatch struct{}

// write sends the messages one at a time.
func (b *Batch) write() {
	for i := range b.messages {
		b.singly(&b.messages[i])
	}
}

func (s *Socket) readBatches() { s.readSingly() }

func probeSegments(*net.UDPConn) bool { return false }

func fatal(err error) bool { return errors.Is(err, net.ErrClosed) }

// enlarge makes a socket's buffers hold the burst of a whole picture to many receivers, as far as the system allows.
func enlarge(c *net.UDPConn, size int) {
	_ = c.SetReadBuffer(size)
	_ = c.SetWriteBuffer(size)
}
