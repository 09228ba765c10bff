package main

import (
	"strings"

	"github.com/spf13/pflag"

	"github.com/castd/castd/engine/node"
)

// peerFlags are the flags of every command that runs a peer.
type peerFlags struct {
	http      string
	tlsCert   string
	tlsKey    string
	tls       choice
	publicURL string
	listen    []string
	mediaPort int
	bootstrap []string
	noMDNS    bool
	upload    rate
	children  int
	seats     int
	token     string

	set *pflag.FlagSet
}

// ownFlags are the flags among them that say how this process's own peer runs, and mean nothing to one that runs already.
var ownFlags = [...]string{ //nolint:gochecknoglobals // a constant
	"http", "tls-cert", "tls-key", "tls", "public-url", "listen", "media-port", "bootstrap", "no-mdns", "upload",
	"max-children", "max-participants", "token",
}

func (p *peerFlags) register(f *pflag.FlagSet, http string) {
	d := node.DefaultOptions()
	p.upload, p.tls, p.set = rate(d.Upload), choice{"", []string{"self"}}, f
	f.StringVar(&p.http, "http", http, "gateway's `ADDR`; no host means 127.0.0.1, :0 picks a port, off for none")
	f.StringVar(&p.tlsCert, "tls-cert", "", "PEM `FILE` with the gateway's certificate")
	f.StringVar(&p.tlsKey, "tls-key", "", "PEM `FILE` with its key")
	f.Var(&p.tls, "tls", "self makes a certificate and shows its fingerprint")
	f.StringVar(&p.publicURL, "public-url", "", "`URL` by which guests on other machines reach the gateway")
	f.StringArrayVar(&p.listen, "listen", nil, "`MULTIADDR` of libp2p; repeatable (default port 8471, TCP and QUIC, on all addresses)")
	f.IntVar(&p.mediaPort, "media-port", d.MediaPort, "the one UDP `PORT` of all media; 0 picks one")
	f.StringArrayVar(&p.bootstrap, "bootstrap", nil, "`MULTIADDR` of a peer to begin with; repeatable")
	f.BoolVar(&p.noMDNS, "no-mdns", false, "no discovery on the local network")
	f.Var(&p.upload, "upload", "what this peer may spend on others, like 20M; 0 never relays (default: measured, 10M until then)")
	f.Lookup("upload").DefValue = "" // the text says it
	f.IntVar(&p.children, "max-children", d.MaxChildren, "most ordinary children to feed; -1 derives it from the upload")
	f.IntVar(&p.seats, "max-participants", d.MaxParticipants, "most participants of a conference to mix for; further peers mix for more; -1 derives it from the upload")
	f.StringVar(&p.token, "token", "", "administrator's `TOKEN` of the gateway (default: made once, kept in the data folder)")
}

// options makes the node's options of the flags.
func (p *peerFlags) options(a *app) (node.Options, error) {
	o := node.Options{
		DataDir:      a.dataDir,
		HTTP:         p.http,
		HTTPSet:      p.set.Changed("http"),
		TLSCert:      p.tlsCert,
		TLSKey:       p.tlsKey,
		TLSSelf:      p.tls.value == "self",
		PublicURL:    p.publicURL,
		Token:        p.token,
		Listen:       p.listen,
		Bootstrap:    p.bootstrap,
		NoMDNS:       p.noMDNS,
		MediaPort:    p.mediaPort,
		MediaPortSet: p.set.Changed("media-port") && p.mediaPort != 0,
		Upload:       uint64(p.upload),
		UploadSet:    p.set.Changed("upload"),
		MaxChildren:  p.children,

		MaxParticipants: p.seats,

		Log:     a.log,
		Version: version(),
	}
	if o.HTTP == "" {
		o.HTTP = node.NoHTTP
	}
	if strings.HasPrefix(o.HTTP, ":") {
		o.HTTP = "127.0.0.1" + o.HTTP
	}
	if err := o.Validate(); err != nil {
		return o, usagef("%s", err)
	}
	return o, nil
}

// ignored lists the flags that were given but mean nothing where another process is the peer.
func (p *peerFlags) ignored() []string {
	var names []string
	for _, name := range ownFlags {
		if p.set.Changed(name) {
			names = append(names, "--"+name)
		}
	}
	return names
}
