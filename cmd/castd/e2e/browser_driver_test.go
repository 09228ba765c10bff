package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// answerTime bounds one command of the driver.
const answerTime = 90 * time.Second

// browsers is a node program that drives browsers: browser/driver.mjs headless Chromium through playwright-core,
// browser/firefox.mjs headless Firefox ESR by WebDriver BiDi through puppeteer-core.
type browsers struct {
	in      io.Writer
	answers chan []byte
	errors  bytes.Buffer
}

// startBrowsers starts the driver and ends it, with its browsers, when the test does. Where node, Chromium or playwright-core
// are missing the test is skipped; in CI that is a failure.
func startBrowsers(t *testing.T) *browsers {
	t.Helper()
	return startDriver(t, "browser/driver.mjs")
}

// startDriver starts a driver by another program, which becomes node, or as it is.
func startDriver(t *testing.T, script string, by ...string) *browsers {
	t.Helper()
	missing := t.Skipf
	if os.Getenv("CI") == "true" {
		missing = t.Fatalf
	}
	node, err := exec.LookPath("node")
	if err != nil {
		missing("no node: `make test-deps` installs what the browser tests need")
	}
	b := &browsers{answers: make(chan []byte, 1)}
	line := append(slices.Clone(by), node, script)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(os.Environ(), "TMPDIR="+folder(t)) // profiles go with it
	cmd.Stderr = &b.errors
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b.in = in
	go func() {
		defer close(b.answers)
		lines := bufio.NewReader(out)
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				return
			}
			b.answers <- line
		}
	}()
	t.Cleanup(func() {
		in.Close()                                                                  // it closes its browsers
		killed := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() }) // browsers end with it
		for range b.answers {
		}
		_ = cmd.Wait()
		killed.Stop()
		if t.Failed() && b.errors.Len() > 0 {
			t.Logf("driver: %s", b.errors.String())
		}
	})
	var hello struct{ Browser string }
	if err := b.try(command{"do": "hello"}, &hello); err != nil {
		missing("the browser tests need Chromium, Firefox ESR, playwright-core and puppeteer-core, which `make test-deps` installs: %v", err)
	}
	t.Log(hello.Browser)
	return b
}

// command is what the driver is told: "do" names what.
type command map[string]any

// try sends a command and decodes its answer.
func (b *browsers) try(c command, answer any) error {
	line, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if _, err := b.in.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("tell the driver: %w", err)
	}
	select {
	case line, ok := <-b.answers:
		var failed struct{ Error string }
		switch {
		case !ok:
			return errors.New("the driver has ended")
		case json.Unmarshal(line, &failed) != nil:
			return fmt.Errorf("the driver said %q", line)
		case failed.Error != "":
			return errors.New(failed.Error)
		case answer == nil:
			return nil
		}
		return json.Unmarshal(line, answer)
	case <-time.After(answerTime):
		return fmt.Errorf("no answer after %v", answerTime)
	}
}

// do sends a command whose failure is the test's.
func (b *browsers) do(t *testing.T, c command, answer any) {
	t.Helper()
	if err := b.try(c, answer); err != nil {
		t.Fatalf("%s: %v", c["do"], err)
	}
}

// said is what an element of the page says.
type said struct {
	State, Text string
	Visible     bool
}

// page returns the link of a peer's page of a room.
func (p *process) page(room string) string {
	p.t.Helper()
	return p.ready().text("http") + "/r/" + room + "#token=" + p.ready().text("token")
}

// member starts a peer with a page that joins the room of first.
func member(t *testing.T, name string, first *process, flags ...string) *process {
	t.Helper()
	p := launch(t, name, append([]string{"start", "--room", "lobby", "--http", "127.0.0.1:0", "--bootstrap", first.address()}, flags...)...)
	p.wait("parent", 1, is("joined"))
	return p
}

// fedBy asks a peer for its parent and its depth in the tree.
func (p *process) fedBy(t *testing.T) (parent string, depth int) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, p.ready().text("http")+"/api/v1/rooms/lobby/tree", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.ready().text("token"))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var found struct {
		Parent string
		Depth  int
	}
	if err := json.NewDecoder(resp.Body).Decode(&found); err != nil {
		t.Fatal(err)
	}
	return found.Parent, found.Depth
}
