package guest

import (
	"bytes"
	"crypto/rand"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/checks"
	"github.com/castd/castd/engine/udp"
	"github.com/castd/castd/engine/wire"
)

// senderOn returns a track of a viewer at an address of the loopback, where nobody reads.
func senderOn(t testing.TB, kind wire.Kind, profile srtp.ProtectionProfile) (*viewerTrack, *outlet, *engine.StreamState) {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Skip("no loopback:", err)
	}
	port, err := udp.On(conn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = port.Close() })
	keyLen, err := profile.KeyLen()
	if err != nil {
		t.Fatal(err)
	}
	saltLen, err := profile.SaltLen()
	if err != nil {
		t.Fatal(err)
	}
	key := make([]byte, keyLen+saltLen)
	_, _ = rand.Read(key)
	context, err := srtp.CreateContext(key[:keyLen], key[keyLen:], profile)
	if err != nil {
		t.Fatal(err)
	}
	socket := port.Sockets()[0]
	name, uri, data := codecOpus, uriLevel, kindAudio
	if kind == wire.KindVideo {
		name, uri, data = codecVP8, uriOrientation, kindVideo
	}
	s := &section{kind: data, codecs: []codec{{name: name, pt: 96, clockRate: 90000}}, ext: map[string]uint8{uri: 1}}
	out := &outlet{batch: socket.NewBatch(batchSize), path: &checks.Path{Socket: socket, Remote: socket.LocalAddr()}, srtp: context}
	return newViewerTrack(kind, s, false, 1, 1, 7), out, &engine.StreamState{ID: 1, Kind: kind, Codec: name}
}

// picture sends a picture of six packets, numbered from n.
func picture(t *viewerTrack, out *outlet, packets []*packet, since time.Duration) {
	for _, p := range packets {
		if t.ready(p) {
			t.send(p, since, out)
		}
	}
	out.batch.Flush()
}

func pictures(st *engine.StreamState, from uint64) []*packet {
	list := make([]*packet, 6)
	for i := range list {
		list[i] = &packet{stream: st, payload: make([]byte, 1000), header: wire.Header{
			Kind: st.Kind, Stream: st.ID, Number: from + uint64(i), Timestamp: uint32(from) * 500, Marker: i == 5, Level: 30,
			KeyFrame: from == 1, FrameStart: i == 0,
		}}
	}
	return list
}

// TestSendingDoesNotAllocate: what is sent to a viewer costs no memory but its place in the history.
func TestSendingDoesNotAllocate(t *testing.T) {
	for _, kind := range []wire.Kind{wire.KindAudio, wire.KindVideo} {
		track, out, st := senderOn(t, kind, srtp.ProtectionProfileAeadAes128Gcm)
		picture(track, out, pictures(st, 1), 0)
		const runs = 100
		var all [][]*packet
		for i := range runs + 1 {
			all = append(all, pictures(st, 7+6*uint64(i)))
		}
		i := 0
		if n := testing.AllocsPerRun(runs, func() {
			picture(track, out, all[i], time.Duration(i)*33*time.Millisecond)
			i++
		}); n != 0 {
			t.Errorf("%s: %.1f allocations for six packets", kind, n)
		}
		if out.failed != 0 || out.packets != 6*(runs+2) {
			t.Errorf("%s: %d packets, %d failed", kind, out.packets, out.failed)
		}
		missing := []uint16{track.line.seq, track.line.seq - 3, track.line.seq + 9}
		if n := track.resend(missing, time.Duration(i)*33*time.Millisecond, out); n != 2 {
			t.Errorf("%s: %d sent again", kind, n)
		}
		for range maxResends {
			track.resend(missing, time.Duration(i)*33*time.Millisecond, out)
		}
		if n := track.resend(missing, time.Duration(i)*33*time.Millisecond, out); n != 0 {
			t.Errorf("%s: sent again without end", kind)
		}
	}
}

// TestBothProfiles: what goes out decrypts to the payload, whichever profile the viewer has.
func TestBothProfiles(t *testing.T) {
	for _, profile := range []srtp.ProtectionProfile{srtp.ProtectionProfileAeadAes128Gcm, srtp.ProtectionProfileAes128CmHmacSha1_80} {
		track, out, st := senderOn(t, wire.KindAudio, profile)
		keyLen, _ := profile.KeyLen()
		saltLen, _ := profile.SaltLen()
		key := make([]byte, keyLen+saltLen)
		there, err := srtp.CreateContext(key[:keyLen], key[keyLen:], profile)
		if err != nil {
			t.Fatal(err)
		}
		if out.srtp, err = srtp.CreateContext(key[:keyLen], key[keyLen:], profile); err != nil {
			t.Fatal(err)
		}
		got := make(chan []byte, 10)
		out.path.Socket.Claim(out.path.Remote, receiver(got))
		packets := pictures(st, 1)
		for i, p := range packets {
			p.payload[0] = byte(i)
		}
		picture(track, out, packets, 0)
		for i := range packets {
			select {
			case b := <-got:
				var h rtp.Header
				plain, err := there.DecryptRTP(nil, b, &h)
				if err != nil || h.PayloadType != 96 || h.SSRC != 7 || h.GetExtension(1)[0] != 30 {
					t.Fatalf("%v %+v", err, h)
				}
				if body := plain[h.MarshalSize():]; len(body) != 1000 || body[0] != byte(i) {
					t.Fatalf("packet %d: %d octets of %d", i, len(body), body[0])
				}
			case <-time.After(20 * time.Second):
				t.Fatal("nothing came")
			}
		}
	}
}

// receiver is a udp.Handler that hands copies on.
type receiver chan []byte

func (r receiver) Datagram(_ *udp.Socket, _ netip.AddrPort, b []byte) { r <- bytes.Clone(b) }

func BenchmarkPictureToViewer(b *testing.B) {
	for name, profile := range map[string]srtp.ProtectionProfile{"gcm": srtp.ProtectionProfileAeadAes128Gcm, "cm": srtp.ProtectionProfileAes128CmHmacSha1_80} {
		b.Run(name, func(b *testing.B) {
			track, out, st := senderOn(b, wire.KindVideo, profile)
			packets := pictures(st, 1)
			b.SetBytes(6000)
			b.ReportAllocs()
			for b.Loop() {
				picture(track, out, packets, 0)
				for _, p := range packets {
					p.header.Number += 6
					p.header.KeyFrame = false
				}
			}
		})
	}
}
