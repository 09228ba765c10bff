package guest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/castd/castd/engine"
)

// flow sends packets of the kind for a while and returns how many reached the room.
func (s *testSource) flow(kind string, n int) uint64 {
	s.Helper()
	before := s.service.Stats().PacketsIn
	for range n {
		s.sent++
		s.write(kind, &rtp.Packet{Header: rtp.Header{SequenceNumber: uint16(s.sent), Timestamp: uint32(s.sent) * 960}, Payload: []byte("Dpayload")})
		time.Sleep(20 * ms)
	}
	time.Sleep(100 * ms)
	synctest.Wait()
	return s.service.Stats().PacketsIn - before
}

func TestFeedbackToSource(t *testing.T) {
	bubble(t, func(b *bench) {
		b.room.feedback = engine.Feedback{Bitrate: 700_000}
		s := b.source("vp8", "opus")
		var err error
		if s.session, err = b.service.Publish(b.Context(), b.room, b.offer(s.pc), engine.GuestOptions{}); err != nil {
			t.Fatal(err)
		}
		b.room.lastPub.config.Streams[1].KeyFrame() // before there is anything to ask
		b.accept(s.pc, s.session.Answer())
		time.Sleep(time.Second)
		s.flow(kindVideo, 60)
		seen := map[string]int{}
		count := func() {
			for {
				select {
				case p := <-s.rtcp:
					seen[fmt.Sprintf("%T", p)]++
					if r, ok := p.(*rtcp.ReceiverEstimatedMaximumBitrate); ok && (r.Bitrate != 700_000 || len(r.SSRCs) != 1) {
						t.Fatalf("%+v", r)
					}
				default:
					return
				}
			}
		}
		count()
		if seen["*rtcp.PictureLossIndication"] != 1 || seen["*rtcp.ReceiverEstimatedMaximumBitrate"] == 0 || seen["*rtcp.ReceiverReport"] == 0 {
			t.Fatal(seen)
		}
		b.room.lastPub.config.Streams[1].KeyFrame()
		s.sent += 2 // two packets are lost
		s.flow(kindVideo, 5)
		count()
		if seen["*rtcp.PictureLossIndication"] != 2 || seen["*rtcp.TransportLayerNack"] == 0 {
			t.Fatal(seen)
		}
		// Clock: two reports of a clock that began in 1970.
		for i := range 2 {
			report := &rtcp.SenderReport{SSRC: uint32(s.senders[kindVideo].GetParameters().Encodings[0].SSRC), NTPTime: unixToNTP(int64(i) * 1_000_000), RTPTime: uint32(i) * 90000}
			if err := s.pc.WriteRTCP([]rtcp.Packet{report}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		synctest.Wait()
		for _, w := range b.room.wall {
			if age := time.Since(time.UnixMicro(w.us)); b.room.lastPub.clocks != 2 || age < 990*ms || age > 1010*ms {
				t.Fatalf("%d clocks, the last %v ago", b.room.lastPub.clocks, age)
			}
		}
		if len(b.room.wall) != 1 {
			t.Fatal("no clock")
		}
	})
}

func TestREDWithPlainOpus(t *testing.T) {
	bubble(t, func(b *bench) {
		v := b.watch(engine.GuestOptions{}, "opus")
		s := b.publish(engine.GuestOptions{}, "red", "opus")
		track, err := webrtc.NewTrackLocalStaticRTP(clientCodecs()["opus"].RTPCodecCapability, kindAudio, "test")
		if err != nil {
			t.Fatal(err)
		}
		s.write(kindAudio, &rtp.Packet{Header: rtp.Header{SequenceNumber: 1}, Payload: appendRED(nil, 109, []byte("one"))})
		if err := s.senders[kindAudio].ReplaceTrack(track); err != nil {
			t.Fatal(err)
		}
		s.tracks[kindAudio] = track
		s.write(kindAudio, &rtp.Packet{Header: rtp.Header{SequenceNumber: 2, Timestamp: 960}, Payload: []byte("two")})
		got := v.take(kindAudio)
		if len(got) != 2 || string(got[0].Payload) != "one" || string(got[1].Payload) != "two" {
			t.Fatalf("%d packets", len(got))
		}
	})
}

// TestPadding: packets of nothing but padding do not enter the room, but keep their numbers.
func TestPadding(t *testing.T) {
	bubble(t, func(b *bench) {
		v := b.watch(engine.GuestOptions{}, "opus")
		s := b.publish(engine.GuestOptions{}, "opus")
		s.write(kindAudio, &rtp.Packet{Header: rtp.Header{SequenceNumber: 1}, Payload: []byte("one")})
		s.write(kindAudio, &rtp.Packet{Header: rtp.Header{SequenceNumber: 2, Padding: true, PaddingSize: 20}})
		s.write(kindAudio, &rtp.Packet{Header: rtp.Header{SequenceNumber: 3, Padding: true, PaddingSize: 9}, Payload: []byte("three")})
		got := v.take(kindAudio)
		if len(got) != 2 || string(got[1].Payload) != "three" || got[1].SequenceNumber != got[0].SequenceNumber+2 {
			t.Fatalf("%d packets", len(got))
		}
	})
}

// TestUnannouncedSources: encoders need not announce SSRCs; ICE restarts must not end their streams.
func TestUnannouncedSources(t *testing.T) {
	for _, codecs := range [][]string{{"opus"}, {"vp8", "opus"}} {
		t.Run(strings.Join(codecs, " "), func(t *testing.T) {
			bubble(t, func(b *bench) {
				s := b.source(codecs...)
				var kept []string
				for line := range strings.Lines(b.offer(s.pc)) {
					if !strings.HasPrefix(line, "a=ssrc") {
						kept = append(kept, line)
					}
				}
				var err error
				if s.session, err = b.service.Publish(b.Context(), b.room, strings.Join(kept, ""), engine.GuestOptions{}); err != nil {
					t.Fatal(err)
				}
				b.accept(s.pc, s.session.Answer())
				time.Sleep(time.Second)
				for kind := range s.tracks {
					if n := s.flow(kind, 20); n != 20 {
						t.Fatalf("%d %s packets of 20", n, kind)
					}
				}
				s.restart()
				for kind := range s.tracks {
					if n := s.flow(kind, 20); n != 20 {
						t.Fatalf("%d %s packets of 20 after the restart", n, kind)
					}
				}
			})
		})
	}
}

// fragmentOf makes a trickle ICE fragment of an offer.
func fragmentOf(offer string) string {
	var b strings.Builder
	for line := range strings.Lines(offer) {
		for _, p := range []string{"m=", "a=mid", "a=ice-", "a=candidate", "a=end-of-candidates"} {
			if strings.HasPrefix(line, p) {
				b.WriteString(line)
			}
		}
	}
	return b.String()
}

// restart restarts ICE as a client does: it renews its offer, sends the fragment and applies the answer's parameters.
func (s *testSource) restart() {
	s.Helper()
	before := s.pc.RemoteDescription().SDP
	etag := s.session.ETag()
	offer, err := s.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
	if err != nil {
		s.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(s.pc)
	if err := s.pc.SetLocalDescription(offer); err != nil {
		s.Fatal(err)
	}
	<-gathered
	fragment := fragmentOf(s.pc.LocalDescription().SDP)
	answer, err := s.session.Patch(s.Context(), fragment)
	if err != nil || answer == "" || s.session.ETag() == etag {
		s.Fatalf("%q %v", answer, err)
	}
	f, err := parseFragment(answer)
	if err != nil {
		s.Fatalf("%v\n%s", err, answer)
	}
	if len(f.candidates) == 0 || !f.end {
		s.Fatalf("no candidates in %s", answer)
	}
	var renewed strings.Builder
	for line := range strings.Lines(before) {
		switch {
		case strings.HasPrefix(line, "a=ice-ufrag"):
			line = "a=ice-ufrag:" + f.ufrag + "\r\n"
		case strings.HasPrefix(line, "a=ice-pwd"):
			line = "a=ice-pwd:" + f.pwd + "\r\n"
		case strings.HasPrefix(line, "a=candidate"):
			line = "a=candidate:" + f.candidates[0] + "\r\n"
		}
		renewed.WriteString(line)
	}
	s.accept(s.pc, renewed.String())
	time.Sleep(2 * time.Second)
}

func TestTrickleAndRestart(t *testing.T) {
	bubble(t, func(b *bench) {
		s := b.source("opus")
		full := b.offer(s.pc)
		var bare []string
		for line := range strings.Lines(full) {
			if !strings.HasPrefix(line, "a=candidate") && !strings.HasPrefix(line, "a=end-of") {
				bare = append(bare, line)
			}
		}
		var err error
		if s.session, err = b.service.Publish(b.Context(), b.room, strings.Join(bare, ""), engine.GuestOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{fragmentOf(full), "a=mid:0\r\na=candidate:nonsense\r\na=end-of-candidates\r\n"} {
			if answer, err := s.session.Patch(b.Context(), text); err != nil || answer != "" {
				t.Fatalf("%q %v", answer, err)
			}
		}
		b.accept(s.pc, s.session.Answer())
		time.Sleep(time.Second)
		if n := s.flow(kindAudio, 10); n != 10 {
			t.Fatalf("%d packets of 10", n)
		}
		for range 3 {
			s.restart()
			if n := s.flow(kindAudio, 10); n != 10 {
				t.Fatalf("%d packets of 10 after a restart", n)
			}
		}
		// Of too many candidates the surplus is ignored.
		many := "a=mid:0\r\n"
		for i := range maxCandidates {
			many += fmt.Sprintf("a=candidate:1 1 udp 1 10.9.9.9 %d typ host\r\n", 1000+i)
		}
		if answer, err := s.session.Patch(b.Context(), many); err != nil || answer != "" {
			t.Fatalf("%q %v", answer, err)
		}
		for _, bad := range []string{"a=ice-ufrag:other\r\n", "nonsense"} { // errors of the guest
			var u *engine.UserError
			if _, err := s.session.Patch(b.Context(), bad); !errors.As(err, &u) {
				t.Fatalf("%.40q: %v", bad, err)
			}
		}
		if n := s.flow(kindAudio, 10); n != 10 {
			t.Fatalf("%d packets of 10 after bad fragments", n)
		}
		if err := s.session.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.session.Patch(b.Context(), many); !errors.Is(err, engine.ErrClosed) {
			t.Fatal(err)
		}
	})
}

func TestEnds(t *testing.T) {
	type ending struct {
		name   string
		end    func(b *bench, s *testSource)
		within time.Duration
		code   string // of Err
		ended  bool   // the slot is not kept for the publisher
	}
	for _, c := range []ending{
		{"DELETE", func(_ *bench, s *testSource) { _ = s.session.Close() }, 0, "", true},
		{"DTLS closed", func(_ *bench, s *testSource) { _ = s.pc.GracefulClose() }, 2 * time.Second, "", false},
		{"silence", func(b *bench, _ *testSource) {
			b.stop()
		}, disconnectedAfter + failedAfter + 3*time.Second, engine.CodeTimeout, false},
		{"the room", func(b *bench, _ *testSource) { b.room.lastPub.err = errors.New("kicked"); _ = b.room.lastPub.End() }, time.Second, "kicked", true},
		{"this peer", func(b *bench, _ *testSource) { _ = b.service.Close() }, 0, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(b *bench) {
				s := b.publish(engine.GuestOptions{Remote: remote}, "opus")
				if s.flow(kindAudio, 5) != 5 || b.room.slots != 1 {
					t.Fatal("nothing flows")
				}
				c.end(b, s)
				if c.within > 0 {
					time.Sleep(c.within)
				}
				synctest.Wait()
				select {
				case <-s.session.Done():
				default:
					t.Fatal("the session goes on")
				}
				err := s.session.Err()
				var u *engine.UserError
				switch {
				case c.code == "" && err != nil, c.code == "kicked" && err == nil, c.code == engine.CodeTimeout && (!errors.As(err, &u) || u.Code != c.code):
					t.Fatalf("error %v", err)
				}
				if live := b.room.Streams()[0].Live; live == c.ended || b.room.slots != 0 {
					t.Fatalf("live %v, %d slots", live, b.room.slots)
				}
				select {
				case <-b.room.lastPub.Done():
				default:
					t.Fatal("the publication was not closed")
				}
			})
		})
	}
}

func TestNeverConnects(t *testing.T) {
	bubble(t, func(b *bench) {
		v := b.viewer("opus")
		s, err := b.service.Watch(b.Context(), b.room, b.offer(v.pc), engine.GuestOptions{})
		if err != nil {
			t.Fatal(err)
		}
		<-s.Done()
		var u *engine.UserError
		if !errors.As(s.Err(), &u) || u.Code != engine.CodeTimeout {
			t.Fatal(s.Err())
		}
	})
}

func TestRefusals(t *testing.T) {
	bubble(t, func(b *bench) {
		b.service.config.MaxSessions = 2
		try := func(o engine.GuestOptions, publish bool) error {
			t.Helper()
			if publish {
				_, err := b.service.Publish(b.Context(), b.room, b.offer(b.source("opus").pc), o)
				return err
			}
			_, err := b.service.Watch(b.Context(), b.room, b.offer(b.viewer("opus").pc), o)
			return err
		}
		b.room.refuse = engine.NewUserError(engine.CodeNotAllowed, "no")
		if err := try(engine.GuestOptions{Remote: remote}, true); !errors.Is(err, b.room.refuse) {
			t.Fatal(err)
		}
		b.room.full = engine.NewUserError(engine.CodeFull, "full")
		if err := try(engine.GuestOptions{Remote: remote}, false); !errors.Is(err, b.room.full) {
			t.Fatal(err)
		}
		for range 2 {
			if err := try(engine.GuestOptions{Remote: "127.0.0.1:5"}, false); err != nil {
				t.Fatal(err)
			}
		}
		var u *engine.UserError
		if err := try(engine.GuestOptions{}, false); !errors.As(err, &u) || u.Code != engine.CodeFull {
			t.Fatal(err)
		}
		if b.room.slots != 0 || b.service.pending != 0 {
			t.Fatalf("%d slots, %d pending", b.room.slots, b.service.pending)
		}
		ctx, cancel := context.WithCancel(b.Context())
		cancel()
		b.service.config.MaxSessions = 3
		if _, err := b.service.Watch(ctx, b.room, b.offer(b.viewer("opus").pc), engine.GuestOptions{}); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if err := b.service.Close(); err != nil {
			t.Fatal(err)
		}
		if err := try(engine.GuestOptions{}, true); !errors.Is(err, engine.ErrClosed) {
			t.Fatal(err)
		}
	})
}
