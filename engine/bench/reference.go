package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// Reference is a forwarder as pion's examples have it (whip-whep, broadcast): default codecs, default interceptors, one
// TrackLocalStaticRTP for each kind that every viewer's connection gets, a socket of its own for each connection. It is what
// castd's figures are compared with, so it is neither slowed down nor tuned. WHIP is at /whip, WHEP at /whep.
//
// Its methods are safe for concurrent use.
type Reference struct {
	api    *webrtc.API
	tracks [kinds]*webrtc.TrackLocalStaticRTP

	mu       sync.Mutex // guards what follows
	source   *webrtc.PeerConnection
	video    webrtc.SSRC // of the source
	sessions map[string]*webrtc.PeerConnection
	next     int
}

// NewReference makes one.
func NewReference() (*Reference, error) {
	// NewAPI registers pion's default codecs and interceptors where none are given.
	var options []func(*webrtc.API)
	if onlyLoopback(localAddresses()) {
		var settings webrtc.SettingEngine
		settings.SetIncludeLoopbackCandidate(true) // or there would be no candidate at all
		options = append(options, webrtc.WithSettingEngine(settings))
	}
	r := &Reference{api: webrtc.NewAPI(options...), sessions: map[string]*webrtc.PeerConnection{}}
	for k, c := range []webrtc.RTPCodecCapability{{MimeType: webrtc.MimeTypeOpus}, {MimeType: webrtc.MimeTypeVP8}} {
		var err error
		if r.tracks[k], err = webrtc.NewTrackLocalStaticRTP(c, kind(k).String(), "reference"); err != nil {
			return nil, fmt.Errorf("make track: %w", err)
		}
	}
	return r, nil
}

// Serve answers on a listener until ctx ends.
func (r *Reference) Serve(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /whip", func(w http.ResponseWriter, q *http.Request) { r.answer(w, q, r.publish) })
	mux.HandleFunc("POST /whep", func(w http.ResponseWriter, q *http.Request) { r.answer(w, q, r.watch) })
	mux.HandleFunc("DELETE /session/{id}", r.remove)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, pc := range r.sessions {
		_ = pc.Close()
	}
	return nil
}

// answer is the exchange that WHIP and WHEP have in common.
func (r *Reference) answer(w http.ResponseWriter, q *http.Request, prepare func(*webrtc.PeerConnection) error) {
	offer, err := io.ReadAll(http.MaxBytesReader(w, q.Body, maxAnswer))
	if err != nil {
		http.Error(w, "The offer is too long.", http.StatusRequestEntityTooLarge)
		return
	}
	pc, err := r.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		http.Error(w, "No connection can be made.", http.StatusInternalServerError)
		return
	}
	sdp, err := negotiate(pc, string(offer), prepare)
	if err != nil {
		_ = pc.Close()
		http.Error(w, "The offer cannot be answered.", http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	r.next++
	id := strconv.Itoa(r.next)
	r.sessions[id] = pc
	r.mu.Unlock()
	w.Header().Set("Content-Type", "application/sdp")
	w.Header().Set("Location", "/session/"+id)
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, sdp) // who has gone does not need it
}

func negotiate(pc *webrtc.PeerConnection, offer string, prepare func(*webrtc.PeerConnection) error) (string, error) {
	if err := prepare(pc); err != nil {
		return "", err
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", err
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(answer); err != nil {
		return "", err
	}
	<-gathered
	return pc.LocalDescription().SDP, nil
}

func (r *Reference) publish(pc *webrtc.PeerConnection) error {
	for _, typ := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		if _, err := pc.AddTransceiverFromKind(typ, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			return err
		}
	}
	pc.OnTrack(func(remote *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
		go func() {
			for {
				if _, _, err := receiver.ReadRTCP(); err != nil {
					return
				}
			}
		}()
		local := r.tracks[audio]
		if remote.Kind() == webrtc.RTPCodecTypeVideo {
			local = r.tracks[video]
			r.mu.Lock()
			r.source, r.video = pc, remote.SSRC()
			r.mu.Unlock()
		}
		for {
			packet, _, err := remote.ReadRTP()
			if err != nil {
				return
			}
			_ = local.WriteRTP(packet) // of viewers who have gone
		}
	})
	return nil
}

func (r *Reference) watch(pc *webrtc.PeerConnection) error {
	for _, track := range r.tracks {
		sender, err := pc.AddTrack(track)
		if err != nil {
			return err
		}
		go func() { // interceptors see RTCP only as it is read
			buf := make([]byte, 1500)
			for {
				if _, _, err := sender.Read(buf); err != nil {
					return
				}
			}
		}()
	}
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			r.wantKeyFrame()
		}
	})
	return nil
}

// wantKeyFrame has the source send one, for somebody who has just come.
func (r *Reference) wantKeyFrame() {
	r.mu.Lock()
	source, ssrc := r.source, r.video
	r.mu.Unlock()
	if source != nil {
		_ = source.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(ssrc)}}) // he may have gone
	}
}

func (r *Reference) remove(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	pc := r.sessions[q.PathValue("id")]
	delete(r.sessions, q.PathValue("id"))
	r.mu.Unlock()
	if pc == nil {
		http.NotFound(w, q)
		return
	}
	_ = pc.Close()
}
