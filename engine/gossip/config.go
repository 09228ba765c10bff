package gossip

import (
	"crypto/ed25519"
	"log/slog"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
)

// DefaultPort is the TCP and UDP port that a peer listens at unless it is told otherwise.
const DefaultPort = 8471

// Config says how New makes a Plane. Only Key is needed.
type Config struct {
	// Key is the private device key. The peer id follows from it.
	Key ed25519.PrivateKey
	// Listen are the multiaddrs to listen at; a busy one is an error. None means all interfaces at DefaultPort, TCP and
	// QUIC, or at a free port where that one is busy.
	Listen []string
	// Bootstrap are peers to be connected to at all times. More of them make joining surer and cost a connection each.
	Bootstrap []peer.AddrInfo
	// Saved are peers that were of use before; each is tried until it was reached once. At most MaxSaved are used.
	Saved []peer.AddrInfo
	// MDNS turns on discovery on the local network, both ways.
	MDNS bool
	// Log takes what happens; nil discards it.
	Log *slog.Logger
	// Options are appended to those that the libp2p host is made with; tests put it on a simulated network with them.
	Options []libp2p.Option
}

// MaxSaved bounds how many saved peers are tried.
const MaxSaved = 64
