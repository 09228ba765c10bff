package gossip

import (
	"fmt"
	"net"
	"strconv"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/castd/castd/engine"
)

// ListenAddrs returns the addresses that a peer listens at unless it is told otherwise: all interfaces, TCP and QUIC, at port.
func ListenAddrs(port int) []string {
	p := strconv.Itoa(port)
	return []string{
		"/ip4/0.0.0.0/tcp/" + p, "/ip4/0.0.0.0/udp/" + p + "/quic-v1",
		"/ip6/::/tcp/" + p, "/ip6/::/udp/" + p + "/quic-v1",
	}
}

// listener is the part of a swarm that opens listening sockets.
type listener interface {
	AddListenAddr(a ma.Multiaddr) error
	ListenClose(addrs ...ma.Multiaddr)
	ListenAddresses() []ma.Multiaddr
}

// listenAt listens at each of the addresses, or fails with a sentence that names the one that did not work.
func listenAt(l listener, addrs []string) error {
	for _, s := range addrs {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			return engine.NewUserError(engine.CodeBadOffer, fmt.Sprintf("%q is not a multiaddr to listen at; write it like /ip4/0.0.0.0/udp/8471/quic-v1", s))
		}
		if err := l.AddListenAddr(a); err != nil {
			return &listenError{
				user: engine.NewUserError(engine.CodeFull, fmt.Sprintf("cannot listen at %s; stop the program that uses it or choose another address with --listen", s)),
				err:  err,
			}
		}
	}
	return nil
}

// listenError is a sentence for people with its cause.
type listenError struct {
	user *engine.UserError
	err  error
}

func (e *listenError) Error() string   { return e.user.Message }
func (e *listenError) Unwrap() []error { return []error{e.user, e.err} }

// portTries is how many free ports are tried for one that TCP and UDP can share.
const portTries = 8

// listenDefault listens at port, or at a free port where that one is busy; at last at any ports at all.
func listenDefault(l listener, port int, ip6 bool) error {
	err := listenSamePort(l, port, ip6)
	for try := 0; err != nil && try < portTries; try++ {
		err = listenSamePort(l, 0, ip6)
	}
	if err != nil {
		err = listenAt(l, ListenAddrs(0)[:2])
	}
	return err
}

// listenSamePort listens at one port with both protocols and both versions of IP, or not at all. Port 0 takes a free one.
func listenSamePort(l listener, port int, ip6 bool) error {
	n := 2
	if ip6 {
		n = 4
	}
	for i := range n {
		err := listenAt(l, ListenAddrs(port)[i:i+1])
		if err == nil && port == 0 {
			port, err = boundPort(l)
		}
		if err != nil {
			l.ListenClose(l.ListenAddresses()...)
			return err
		}
	}
	return nil
}

// boundPort returns the TCP port that the system chose.
func boundPort(l listener) (int, error) {
	for _, a := range l.ListenAddresses() {
		if v, err := a.ValueForProtocol(ma.P_TCP); err == nil {
			return strconv.Atoi(v)
		}
	}
	return 0, fmt.Errorf("find the port: not listening")
}

// hasIP6 reports whether this machine can listen on IPv6 at all, so that its absence is not taken for a busy port.
func hasIP6() bool {
	c, err := net.ListenPacket("udp6", "[::]:0")
	if err != nil {
		return false
	}
	c.Close()
	return true
}
