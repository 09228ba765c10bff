package node

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/castd/castd/engine/gateway"
)

// web is the gateway with its listeners: TCP, unless it is off, and the data folder's socket.
type web struct {
	gateway *gateway.Gateway
	socket  string
	work    sync.WaitGroup
}

func (n *Node) serve() (_ *web, err error) {
	w := &web{}
	var tcp, local net.Listener
	defer func() {
		if err == nil {
			return
		}
		for _, l := range []net.Listener{tcp, local} {
			if l != nil {
				_ = l.Close()
			}
		}
	}()
	w.gateway, err = gateway.New(gateway.Config{
		Service: n.Service(), Guests: n.guests, PublicURL: n.options.PublicURL, Hosts: hostNames(),
		MediaUpload: MediaUpload(n.Service(), n.log), MediaDownload: MediaDownload(n.Service(), n.log),
		MetricsGatherer: n.metrics(), Emit: n.engine.Emit, Log: n.log.With("part", "gateway"),
	})
	if err != nil {
		return nil, err
	}
	if n.options.HTTP != NoHTTP {
		if tcp, err = n.listenHTTP(); err != nil {
			return nil, err
		}
	}
	if local, w.socket, err = n.listenLocal(); err != nil {
		return nil, err
	}
	ctx := context.Background() // Close ends it
	if tcp != nil {
		w.work.Go(func() { n.logServe(w.gateway.Serve(ctx, tcp)) })
	}
	w.work.Go(func() { n.logServe(w.gateway.ServeLocal(ctx, local)) })
	return w, nil
}

// hostNames are the names by which others on the local network may call this machine.
func hostNames() []string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return nil
	}
	return []string{name, name + ".local"}
}

func (n *Node) logServe(err error) {
	if err != nil {
		n.log.Error("the gateway ended", "err", err)
	}
}

func (w *web) close(ctx context.Context) error {
	err := w.gateway.Close(ctx)
	w.work.Wait()
	return err
}

// listenHTTP opens the gateway's TCP port and sets the URL that shows it.
func (n *Node) listenHTTP() (net.Listener, error) {
	addr := n.options.HTTP
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("%q is not an address for --http: write HOST:PORT, :PORT or off", addr)
	}
	if host == "" {
		host = "127.0.0.1" // opening it to others needs 0.0.0.0 or [::]
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if errors.Is(err, syscall.EADDRINUSE) && !n.options.HTTPSet {
		l, err = net.Listen("tcp", net.JoinHostPort(host, "0"))
	}
	if err != nil {
		return nil, fmt.Errorf("the gateway cannot listen at %s: choose another address with --http, or --http off (%w)", addr, err)
	}
	scheme := "http"
	if conf, err := n.tlsConfig(); err != nil {
		_ = l.Close()
		return nil, err
	} else if conf != nil {
		l, scheme = tls.NewListener(l, conf), "https"
	}
	shown := l.Addr().(*net.TCPAddr)
	at := shown.AddrPort()
	n.httpAddr = &at
	if shown.IP.IsUnspecified() {
		host = "127.0.0.1"
		if strings.Contains(n.options.HTTP, "::") {
			host = "::1"
		}
	}
	n.httpURL = scheme + "://" + net.JoinHostPort(host, fmt.Sprint(shown.Port))
	return l, nil
}

// tlsConfig returns nil where the gateway speaks plain HTTP.
func (n *Node) tlsConfig() (*tls.Config, error) {
	switch {
	case n.options.TLSCert != "":
		cert, err := tls.LoadX509KeyPair(n.options.TLSCert, n.options.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("the certificate of --tls-cert and --tls-key cannot be used: %w", err)
		}
		return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}, nil
	case n.options.TLSSelf:
		cert, fingerprint, err := selfSigned(time.Now())
		if err != nil {
			return nil, fmt.Errorf("make certificate: %w", err)
		}
		n.log.Info("made a certificate for this run; browsers will ask whether to trust it", "sha256", fingerprint)
		return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}, nil
	}
	return nil, nil
}

// selfSigned makes a certificate for all of this machine's addresses.
func selfSigned(now time.Time) (cert tls.Certificate, fingerprint string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return cert, "", err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return cert, "", err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "castd"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 0, 30),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, DNSNames: []string{"localhost"},
	}
	if name, err := os.Hostname(); err == nil {
		template.DNSNames = append(template.DNSNames, name)
	}
	if addrs, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addrs {
			if ip, ok := a.(*net.IPNet); ok {
				template.IPAddresses = append(template.IPAddresses, ip.IP)
			}
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return cert, "", err
	}
	sum := sha256.Sum256(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, fmt.Sprintf("% X", sum[:]), nil
}

// listenLocal opens the data folder's socket, mode 0600. The folder's lock is held, so what is there is left over.
func (n *Node) listenLocal() (net.Listener, string, error) {
	path, err := n.store.SocketPath()
	if err != nil {
		return nil, "", err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, "", fmt.Errorf("the control socket %s cannot be replaced: %w", path, err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, "", fmt.Errorf("the control socket %s cannot be opened: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, "", fmt.Errorf("the control socket %s cannot be protected: %w", path, err)
	}
	return l, path, nil
}
