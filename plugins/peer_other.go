//go:build !linux

package plugins

import "net"

// FromPlugin is of Linux: elsewhere a plugin may do what its user may.
func (h *Host) FromPlugin(net.Conn) bool { return false }
