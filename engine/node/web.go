package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/castd/castd/engine/cert"
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
	config := gateway.Config{
		Service: n.Service(), Guests: polite{n.guests}, PublicURL: n.options.PublicURL, Hosts: cert.HostNames(),
		MediaUpload: MediaUpload(n.Service(), n.log), MediaDownload: MediaDownload(n.Service(), n.log),
		Announce:        Announce(n.Service(), n.log),
		MetricsGatherer: n.metrics(), Emit: n.engine.Emit, Log: n.log.With("part", "gateway"),
	}
	if n.options.Plugins != nil {
		config.Plugins = n.options.Plugins
	}
	if n.options.Archive != nil {
		config.Archive = n.options.Archive
	}
	if w.gateway, err = gateway.New(config); err != nil {
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
	if n.certificate, err = n.openCertificate(); err != nil {
		_ = l.Close()
		return nil, err
	}
	if n.certificate != nil {
		l, scheme = cert.Listen(l, n.certificate), "https"
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
	n.publicURL = n.httpURL
	if others, ok := cert.Reachable(); ok && shown.IP.IsUnspecified() {
		n.publicURL = scheme + "://" + netip.AddrPortFrom(others, uint16(shown.Port)).String()
	}
	return l, nil
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
	if p := n.options.Plugins; p != nil {
		l = &ownersListener{Listener: l, refuse: p.FromPlugin, log: n.log}
	}
	return l, path, nil
}

// ownersListener accepts connections to the data folder's socket, but for those of plugins: they run as the same user.
type ownersListener struct {
	net.Listener
	refuse func(net.Conn) bool
	log    *slog.Logger
	told   bool
}

// Accept implements net.Listener.
func (l *ownersListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil || !l.refuse(c) {
			return c, err
		}
		_ = c.Close()
		if !l.told {
			l.told = true
			l.log.Warn("a plugin tried to administer castd by its control socket, and was refused: castd plugin list shows which run")
		}
	}
}
