package sdk

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/castd/castd/plugins/sdk/protocol"
)

// PermissionError says that the operator did not grant what was asked.
type PermissionError struct{ Message string }

func (e *PermissionError) Error() string { return e.Message }

// Host is what a plugin may ask of castd. All methods are safe for concurrent use. They fail with a *PermissionError where the
// permission is missing.
type Host struct {
	conn   *grpc.ClientConn
	client protocol.HostClient
	token  string
}

// newHost connects at the first call.
func newHost(socket, token string) (*Host, error) {
	if socket == "" {
		return nil, fmt.Errorf("castd named no socket by %s", protocol.EnvHostSocket)
	}
	h := &Host{token: token}
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUnaryInterceptor(h.call))
	if err != nil {
		return nil, fmt.Errorf("connect to castd: %w", err)
	}
	h.conn, h.client = conn, protocol.NewHostClient(conn)
	return h, nil
}

func (h *Host) call(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, o ...grpc.CallOption) error {
	err := invoke(metadata.AppendToOutgoingContext(ctx, protocol.TokenKey, h.token), method, req, reply, cc, o...)
	if s, ok := status.FromError(err); ok && s.Code() == codes.PermissionDenied {
		return &PermissionError{s.Message()}
	}
	return err
}

// Close ends the connection.
func (h *Host) Close() error { return h.conn.Close() }

// Rooms lists the rooms that the plugin may see.
func (h *Host) Rooms(ctx context.Context) ([]RoomInfo, error) {
	r, err := h.client.ListRooms(ctx, &protocol.ListRoomsRequest{})
	if err != nil {
		return nil, err
	}
	var out []RoomInfo
	for _, room := range r.Rooms {
		out = append(out, roomInfo(room))
	}
	return out, nil
}

// publishTime is how long castd may take to open a place to send from: it may have to reach another peer.
const publishTime = 15 * time.Second

// Publication is a place to send from.
type Publication struct {
	host *Host
	id   uint64
	// Tracks are what Packet.Track must be, one for each stream.
	Tracks []uint32
	// Heard is the Packet.Track of what the participant hears, where PublishSpec.Hear asked for it.
	Heard uint32
}

// PublishSpec says what is to be sent into a room.
type PublishSpec struct {
	Room    string // id
	Slot    string // distinguishes what a plugin sends; "" is "main"
	Name    string // what others see as the participant's name
	Streams []PublishStream
	// Hear has what the participant of a conference hears come as well, everybody but himself, to the Room that the plugin attends: as Opus, whatever
	// Want says. It needs PermissionAudio.
	Hear bool
}

// PublishStream is a stream of a PublishSpec.
type PublishStream struct {
	Label     string // distinguishes the streams: "audio", "video"
	Kind      string // "audio" or "video"
	Codec     string
	ClockRate uint32 // Hz
	Channels  uint32
}

// Publish opens a place to send from, until it is closed or the plugin ends. In a conference it is a participant, who sends Opus: his
// packets pass the jitter buffer as anybody's do.
func (h *Host) Publish(ctx context.Context, p PublishSpec) (*Publication, error) {
	req := &protocol.PublishRequest{Room: p.Room, Slot: p.Slot, Name: p.Name, Hear: p.Hear}
	for _, s := range p.Streams {
		req.Streams = append(req.Streams, &protocol.PublishStream{Label: s.Label, Kind: s.Kind, Codec: s.Codec, ClockRate: s.ClockRate, Channels: s.Channels})
	}
	// Who gives up while castd answers would not know of the place that it has made.
	whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTime)
	defer cancel()
	r, err := h.client.Publish(whole, req)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		_, _ = h.client.Unpublish(whole, &protocol.UnpublishRequest{Publication: r.Publication}) // it ends with the plugin at the latest
		return nil, context.Cause(ctx)
	}
	return &Publication{host: h, id: r.Publication, Tracks: r.Tracks, Heard: r.Heard}, nil
}

// Close ends the publication. Packets that are still on their way to castd are lost: who has sent the last one waits a moment.
func (p *Publication) Close(ctx context.Context) error {
	_, err := p.host.client.Unpublish(ctx, &protocol.UnpublishRequest{Publication: p.id})
	return err
}

// Notify shows a message to the operator. room is an id, or empty.
func (h *Host) Notify(ctx context.Context, room, message string) error {
	_, err := h.client.Notify(ctx, &protocol.NotifyRequest{Room: room, Message: message})
	return err
}

// Get returns a value that Put kept; found is false where there is none.
func (h *Host) Get(ctx context.Context, key string) (value []byte, found bool, err error) {
	r, err := h.client.Get(ctx, &protocol.GetRequest{Key: key})
	if err != nil {
		return nil, false, err
	}
	return r.Value, r.Found, nil
}

// Put keeps a value, of at most 64 KiB, under one of at most 1,000 keys. It outlives the plugin.
func (h *Host) Put(ctx context.Context, key string, value []byte) error {
	_, err := h.client.Put(ctx, &protocol.PutRequest{Key: key, Value: value})
	return err
}

// Delete forgets a value; that there is none is no error.
func (h *Host) Delete(ctx context.Context, key string) error {
	_, err := h.client.Delete(ctx, &protocol.DeleteRequest{Key: key})
	return err
}

// Keys lists the keys of values, sorted.
func (h *Host) Keys(ctx context.Context) ([]string, error) {
	r, err := h.client.Keys(ctx, &protocol.KeysRequest{})
	if err != nil {
		return nil, err
	}
	return r.Keys, nil
}
