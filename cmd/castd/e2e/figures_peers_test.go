//go:build linux

package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// node is a peer with a gateway.
type node struct {
	*process
	line event // the ready line
}

// startNode runs `castd start` with a gateway on a free port, and returns when it is ready.
func startNode(t *testing.T, name string, flags ...string) *node {
	t.Helper()
	args := append([]string{"start", "--http", "127.0.0.1:0"}, flags...)
	if level := os.Getenv("E2E_LOG"); level != "" { // what a failed test prints
		args = append(args, "--log-level", level)
	}
	p := launch(t, name, args...)
	return &node{process: p, line: p.ready()}
}

func (n *node) id() string     { return n.line.text("peer") }
func (n *node) room() string   { return n.line.text("room") }
func (n *node) http() string   { return n.line.text("http") }
func (n *node) token() string  { return n.line.text("token") }
func (n *node) mediaPort() int { return int(n.line.number("media_port")) }
func (n *node) pid() int       { return n.cmd.Process.Pid }

// bootstrap are the flags that name all addresses of the peer.
func (n *node) bootstrap() []string {
	var flags []string
	addrs, _ := n.line["addrs"].([]any)
	for _, a := range addrs {
		flags = append(flags, "--bootstrap", fmt.Sprint(a))
	}
	return flags
}

func (n *node) running() bool {
	select {
	case <-n.done:
		return false
	default:
		return true
	}
}

// get asks the API.
func (n *node) get(path string, into any) error {
	req, err := http.NewRequest(http.MethodGet, n.http()+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+n.token())
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %s", path, res.Status, b)
	}
	return json.Unmarshal(b, into)
}

// watch connects a viewer to this peer.
func (n *node) watch(t *testing.T, name string, sent *programme) *viewer {
	t.Helper()
	return watch(t, name, n.http(), n.token(), n.room(), sent)
}

// publish connects a publisher to this peer.
func (n *node) publish(t *testing.T, keys time.Duration) *publisher {
	t.Helper()
	return publish(t, n.http(), n.token(), n.room(), keys, usualPictures)
}

// counters returns the peer's metrics that are not zero, for what a failed test prints.
func (n *node) counters() string {
	req, err := http.NewRequest(http.MethodGet, n.http()+"/metrics", nil)
	if err != nil {
		return err.Error()
	}
	req.Header.Set("Authorization", "Bearer "+n.token())
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	var kept strings.Builder
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "castd_") && !strings.HasSuffix(line, " 0\n") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}
