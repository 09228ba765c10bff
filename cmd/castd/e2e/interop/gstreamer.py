"""Speaks WHIP or WHEP by GStreamer's webrtcbin (libnice, OpenSSL, libsrtp), for interop_test.go.

Debian's GStreamer has no whipsink and no whepsrc, so the exchange over HTTP is here.

    gstreamer.py publish|watch URL SECONDS [CODEC]     the bearer token is in $TOKEN; CODEC is VP8 or H264

It prints one JSON object: how many decoded pictures and pieces of sound it got (watch), and the state of the connection.
"""

import json
import os
import sys
import threading
import time
import urllib.request
from urllib.parse import urljoin

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstWebRTC", "1.0")
gi.require_version("GstSdp", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

Gst.init(None)

ENCODERS = {
    "VP8": "vp8enc deadline=1 keyframe-max-dist=30 ! rtpvp8pay picture-id-mode=2",
    "H264": "videoconvert ! openh264enc gop-size=30 ! video/x-h264,profile=constrained-baseline ! rtph264pay config-interval=-1 aggregate-mode=zero-latency",
}
RATES = {"VP8": 90000, "H264": 90000, "OPUS": 48000}


def caps(kind, codec, payload, want=False):
    text = f"application/x-rtp,media={kind},encoding-name={codec},payload={payload},clock-rate={RATES[codec]}"
    if codec == "OPUS":
        text += ",encoding-params=(string)2"
    if codec == "H264" and want:
        text += ",packetization-mode=(string)1,profile-level-id=(string)42e01f"
    return text


class Client:
    def __init__(self, what, url, codec):
        self.url, self.what = url, what
        self.counts = {"video": 0, "audio": 0}
        self.error = ""
        self.location = ""
        self.answered = threading.Event()
        if what == "publish":
            self.pipeline = Gst.parse_launch(
                "webrtcbin name=w bundle-policy=max-bundle "
                f"videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=15/1 ! {ENCODERS[codec]} ! {caps('video', codec, 96)} ! w. "
                f"audiotestsrc is-live=true wave=ticks ! opusenc ! rtpopuspay ! {caps('audio', 'OPUS', 97)} ! w.")
            self.webrtc = self.pipeline.get_by_name("w")
        else:
            self.pipeline = Gst.Pipeline.new("watch")
            self.webrtc = Gst.ElementFactory.make("webrtcbin", "w")
            self.webrtc.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
            self.pipeline.add(self.webrtc)
            for text in (caps("video", codec, 96, True), caps("audio", "OPUS", 97)):
                self.webrtc.emit("add-transceiver", GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY, Gst.Caps.from_string(text))
            self.webrtc.connect("pad-added", self.incoming)
        self.webrtc.connect("on-negotiation-needed", self.negotiate)
        self.webrtc.connect("notify::ice-gathering-state", self.gathered)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", lambda _, m: self.fail(str(m.parse_error())))

    def fail(self, text):
        self.error = self.error or text

    def negotiate(self, _):
        if self.what == "publish":
            for i in range(2):
                t = self.webrtc.emit("get-transceiver", i)
                t.set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
        self.webrtc.emit("create-offer", None, Gst.Promise.new_with_change_func(self.offered))

    def offered(self, promise, *_):
        reply = promise.get_reply()  # what it holds lives as long as it does
        offer = reply.get_value("offer")
        self.webrtc.emit("set-local-description", offer, Gst.Promise.new())

    def gathered(self, *_):
        if self.webrtc.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            threading.Thread(target=self.post, daemon=True).start()

    def post(self):
        offer = self.webrtc.get_property("local-description").sdp.as_text()
        request = urllib.request.Request(self.url, data=offer.encode(), method="POST", headers={
            "Content-Type": "application/sdp", "Authorization": "Bearer " + os.environ["TOKEN"]})
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                self.location = response.headers["Location"]
                answer = response.read().decode()
        except OSError as e:
            body = e.read().decode() if hasattr(e, "read") else ""
            return self.fail(f"{e} {body}")
        _, sdp = GstSdp.SDPMessage.new_from_text(answer)
        description = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp)
        self.webrtc.emit("set-remote-description", description, Gst.Promise.new())
        self.answered.set()

    def incoming(self, _, pad):
        if pad.direction != Gst.PadDirection.SRC:
            return
        kind = pad.get_current_caps().get_structure(0).get_string("media")
        decoder = Gst.ElementFactory.make("decodebin")
        decoder.connect("pad-added", self.decoded, kind)
        self.pipeline.add(decoder)
        decoder.sync_state_with_parent()
        pad.link(decoder.get_static_pad("sink"))

    def decoded(self, _, pad, kind):
        sink = Gst.ElementFactory.make("fakesink")
        sink.set_property("async", False)
        self.pipeline.add(sink)
        sink.sync_state_with_parent()
        sink.get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, self.count, kind)
        pad.link(sink.get_static_pad("sink"))

    def count(self, _pad, _info, kind):
        self.counts[kind] += 1
        return Gst.PadProbeReturn.OK

    def end(self):
        if self.location:
            request = urllib.request.Request(urljoin(self.url, self.location), method="DELETE", headers={"Authorization": "Bearer " + os.environ["TOKEN"]})
            try:
                urllib.request.urlopen(request, timeout=5).close()
            except OSError as e:
                self.fail(f"DELETE: {e}")
        self.pipeline.set_state(Gst.State.NULL)


def main():
    what, url, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    codec = sys.argv[4] if len(sys.argv) > 4 else "VP8"
    loop = GLib.MainLoop()
    client = Client(what, url, codec)
    client.pipeline.set_state(Gst.State.PLAYING)
    threading.Thread(target=loop.run, daemon=True).start()
    end = time.monotonic() + seconds
    connected = ""
    while time.monotonic() < end and not client.error:
        connected = client.webrtc.get_property("connection-state").value_nick
        time.sleep(0.1)
    client.end()
    loop.quit()
    print(json.dumps({"state": connected, **client.counts, "error": client.error, "version": Gst.version_string()}))


main()
