package node

import (
	"fmt"
	"net/netip"
	"net/url"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/cert"
)

// openCertificate returns where the gateway's certificate comes from, nil where it speaks plain HTTP.
func (n *Node) openCertificate() (cert.Source, error) {
	log := n.log.With("part", "tls")
	switch {
	case n.options.TLSCert != "":
		files, err := cert.LoadFiles(n.options.TLSCert, n.options.TLSKey, log)
		if err != nil {
			return nil, engine.NewUserError(engine.CodeNotAllowed, fmt.Sprintf(
				"the files of --tls-cert and --tls-key cannot be used (%v): name a certificate and its key in PEM, or use --tls self", err))
		}
		return files, nil
	case n.options.TLSSelf:
		self, err := cert.OpenSelf(n.store, n.names, log)
		if err != nil {
			return nil, fmt.Errorf("start TLS: %w", err)
		}
		return self, nil
	}
	return nil, nil
}

// names are what a certificate of one's own must be for: this machine, and what guests are told.
func (n *Node) names() cert.Names {
	names := cert.Machine()
	u, err := url.Parse(n.options.PublicURL)
	if err != nil || u.Hostname() == "" {
		return names
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		names.IPs = append(names.IPs, a)
	} else {
		names.DNS = append(names.DNS, u.Hostname())
	}
	return names
}

// guestURL returns how guests on other machines reach the gateway: as the person says, else by this machine's address where
// the gateway listens on all of them; "" where there is no gateway.
func (n *Node) guestURL() string {
	if n.options.PublicURL != "" {
		return n.options.PublicURL
	}
	return n.publicURL
}

// fingerprint returns that of the gateway's certificate, "" where it speaks plain HTTP.
func (n *Node) fingerprint() string {
	if n.certificate == nil {
		return ""
	}
	return n.certificate.Fingerprint()
}
