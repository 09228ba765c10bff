package node

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/store"
)

// What a peer listens on unless told otherwise. A busy default falls back to a free port, a port that was asked for does not.
const (
	// DefaultHTTP is where the gateway is.
	DefaultHTTP = "127.0.0.1:8470"
	// DefaultPort is libp2p's, of TCP and of QUIC.
	DefaultPort = 8471
	// DefaultMediaPort is the UDP port of all media.
	DefaultMediaPort = 8472
	// DefaultUpload is what a peer spends on others until its uplink is measured, in bits per second.
	DefaultUpload = 10_000_000
	// NoHTTP as Options.HTTP starts no gateway on TCP.
	NoHTTP = "off"
)

// Options configure a Node. The zero value is not useful: begin with DefaultOptions.
type Options struct {
	// DataDir holds keys, saved peers and the control socket. One process uses it at a time.
	DataDir string

	// HTTP is the gateway's host:port; no host means 127.0.0.1, port 0 picks one, NoHTTP none at all.
	HTTP string
	// HTTPSet says that the address was asked for: when it is busy, Start fails instead of picking another port.
	HTTPSet bool
	// TLSCert and TLSKey are PEM files; both or none.
	TLSCert, TLSKey string
	// TLSSelf makes a certificate of its own for the gateway and shows its fingerprint.
	TLSSelf bool
	// PublicURL is how guests on other machines reach the gateway, where that is not its address.
	PublicURL string
	// Token is the administrator's bearer token; "" makes one at first start and keeps it in DataDir.
	Token string

	// Listen are libp2p's multiaddrs. Empty: DefaultPort on all addresses, TCP and QUIC, or free ports where that is busy.
	Listen []string
	// Bootstrap are multiaddrs, with peer ids, of peers to connect to at start.
	Bootstrap []string
	// NoMDNS switches discovery on the local network off.
	NoMDNS bool

	// MediaPort is the UDP port of all media; 0 picks a free one.
	MediaPort int
	// MediaPortSet says that the port was asked for: when it is busy, Start fails.
	MediaPortSet bool
	// Upload is what may be spent on others, in bits per second; 0 never relays.
	Upload uint64
	// UploadSet says that Upload is the user's figure, which no measurement exceeds.
	UploadSet bool
	// MaxChildren bounds ordinary children; -1 derives it from Upload. The reserve for orphans and idle backups come on top.
	MaxChildren int
	// MaxParticipants bounds the participants of a conference that this peer mixes for, from 1 on; further peers mix for more. -1 derives
	// it from Upload.
	MaxParticipants int

	// Plugins is what runs plugins for this node: it is served at /api/v1/plugins, and its metrics are shown. nil: nothing does.
	Plugins interface {
		http.Handler
		prometheus.Collector
		// FromPlugin reports whether a plugin has made a connection to the data folder's socket, which is not for plugins.
		FromPlugin(net.Conn) bool
	}

	// Archive records rooms for the API; nil: nothing does.
	Archive engine.Archive

	// Policy is asked before somebody takes part, sends or watches by way of this node; nil: who has the right may.
	Policy engine.Policy

	// Log gets what happens; nil discards it.
	Log *slog.Logger
	// Version of the program, shown by the API.
	Version string
}

// DefaultOptions returns what `castd start` without flags uses. DataDir is empty where there is no home to put it.
func DefaultOptions() Options {
	dir, _ := store.DefaultDir() // Validate says what to do without
	return Options{
		DataDir:     dir,
		HTTP:        DefaultHTTP,
		MediaPort:   DefaultMediaPort,
		Upload:      DefaultUpload,
		MaxChildren: -1,

		MaxParticipants: -1,
	}
}

// Validate checks what can be checked without touching anything. Its errors are for people.
func (o *Options) Validate() error {
	if o.DataDir == "" {
		return fmt.Errorf("there is no home directory for the data folder: name one with --data-dir DIR")
	}
	if o.HTTP != NoHTTP && o.HTTP != "" {
		if _, _, err := net.SplitHostPort(o.HTTP); err != nil {
			return fmt.Errorf("%q is not an address for --http: write HOST:PORT, :PORT or off", o.HTTP)
		}
	}
	if (o.TLSCert == "") != (o.TLSKey == "") {
		return fmt.Errorf("--tls-cert and --tls-key go together: give both files, or --tls self")
	}
	if o.TLSSelf && o.TLSCert != "" {
		return fmt.Errorf("--tls self makes its own certificate: leave out --tls-cert and --tls-key, or --tls")
	}
	if o.MediaPort < 0 || o.MediaPort > 65535 {
		return fmt.Errorf("%d is not a port for --media-port: use 1 to 65535, or 0 to pick a free one", o.MediaPort)
	}
	if o.MaxChildren < -1 {
		return fmt.Errorf("--max-children cannot be %d: use 0 or more", o.MaxChildren)
	}
	if o.MaxParticipants < -1 {
		return fmt.Errorf("--max-participants cannot be %d: use 1 or more", o.MaxParticipants)
	}
	return nil
}
