package e2e_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"testing"
)

// python is Debian's: its GObject bindings are not for others that may be installed.
const python = "/usr/bin/python3"

// gstreamed is what a client of GStreamer found.
type gstreamed struct {
	State, Error, Version string
	Video, Audio          int
}

// gstreamer starts GStreamer's webrtcbin as a WHIP or WHEP client for some seconds. The function that it returns waits for the
// end and tells what was found.
func gstreamer(t *testing.T, what, url, token string, seconds int, codec string) func() gstreamed {
	t.Helper()
	cmd := exec.Command(python, "interop/gstreamer.py", what, url, strconv.Itoa(seconds), codec)
	cmd.Env = append(os.Environ(), "TOKEN="+token)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	told := false
	found := func() (found gstreamed) {
		t.Helper()
		told = true
		if err := json.NewDecoder(out).Decode(&found); err != nil {
			t.Fatalf("gstreamer: %v", err)
		}
		_ = cmd.Wait()
		return found
	}
	t.Cleanup(func() {
		if t.Failed() && !told { // the reason is often on its side
			t.Logf("GStreamer, %s: %+v", what, found())
		}
		_ = cmd.Process.Kill()
	})
	return found
}

// TestGStreamer publishes and watches by GStreamer, a third implementation of WebRTC beside those of the browsers, which wants
// codecs and payload types of its own choice.
func TestGStreamer(t *testing.T) {
	missing := t.Skipf
	if os.Getenv("CI") == "true" {
		missing = t.Fatalf
	}
	if out, err := exec.Command(python, "-c", "import gi; gi.require_version('GstWebRTC', '1.0'); from gi.repository import GstWebRTC, Gst; "+
		"Gst.init(None); assert Gst.ElementFactory.find('webrtcbin') and Gst.ElementFactory.find('nicesink')").CombinedOutput(); err != nil {
		missing("no GStreamer with webrtcbin and its Python bindings, which `make test-deps` installs: %v\n%s", err, out)
	}
	o := origin(t)
	base, token := o.ready().text("http"), o.ready().text("token")
	publisher := gstreamer(t, "publish", base+"/whip/lobby", token, 9, "VP8")
	o.wait("the publisher's picture", 1, is("stream", "kind", "video", "state", "live"))
	saw, sent := gstreamer(t, "watch", base+"/whep/lobby", token, 5, "VP8")(), publisher()
	t.Logf("%s: %d pictures and %d pieces of sound were decoded", saw.Version, saw.Video, saw.Audio)
	if sent.State != "connected" || sent.Error != "" {
		t.Errorf("publisher: %+v", sent)
	}
	if saw.State != "connected" || saw.Error != "" || saw.Video < 10 || saw.Audio < 25 {
		t.Errorf("viewer: %+v", saw)
	}
}
