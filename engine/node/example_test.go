package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/container"
	"github.com/castd/castd/engine/node"
)

// start runs a peer of which nothing is left afterwards, and which only this machine can reach.
func start(ctx context.Context) (*node.Node, func()) {
	dir, err := os.MkdirTemp("", "castd")
	if err != nil {
		panic(err)
	}
	o := node.DefaultOptions()
	o.DataDir = dir
	o.HTTP = node.NoHTTP
	o.Listen = []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}
	o.MediaPort = 0
	o.NoMDNS = true
	n, err := node.Start(ctx, o)
	if err != nil {
		panic(err)
	}
	return n, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := n.Close(ctx); err != nil {
			panic(err)
		}
		os.RemoveAll(dir)
	}
}

// silence returns an Ogg Opus file of some packets of 20 ms.
func silence(packets int) []byte {
	var b bytes.Buffer
	w, err := container.NewOggWriter(&b, 2, 312, 1)
	if err != nil {
		panic(err)
	}
	for i := range packets {
		if err := w.WritePacket([]byte{0xfc, 0xff, 0xfe}, time.Duration(i)*20*time.Millisecond); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// A program opens a room of its own and invites others.
func Example() {
	ctx := context.Background()
	n, stop := start(ctx) // node.Start with node.Options
	defer stop()

	room, err := n.Open(ctx, "lobby", node.RoomOptions{Create: true, Title: "The lobby"})
	if err != nil {
		fmt.Println(err)
		return
	}
	link, err := room.Invite(engine.InviteSpec{})
	if err != nil {
		fmt.Println(err)
		return
	}
	info, err := room.Info()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(info.Name, info.Title, info.Mode, info.Role)
	fmt.Println(strings.HasPrefix(link, "castd://"+room.ID()+"/lobby?via="))
	// Output:
	// lobby The lobby broadcast owner
	// true
}

// One peer sends a file, another writes down what comes.
func ExampleRoom_PublishFile() {
	ctx := context.Background()
	radio, stop := start(ctx)
	defer stop()
	stage, err := radio.Open(ctx, "jingles", node.RoomOptions{Create: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	link, err := stage.Invite(engine.InviteSpec{})
	if err != nil {
		fmt.Println(err)
		return
	}

	listener, stopListener := start(ctx)
	defer stopListener()
	seat, err := listener.Open(ctx, link, node.RoomOptions{Listen: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	var copied bytes.Buffer
	joined, ended := make(chan struct{}), make(chan error)
	go func() {
		ended <- seat.Record(ctx, &copied, node.RecordOptions{
			Format: node.FormatOgg, UntilEnd: true, Joined: func() { close(joined) },
		})
	}()
	<-joined

	if err := stage.PublishFile(ctx, bytes.NewReader(silence(50)), node.PublishOptions{}); err != nil {
		fmt.Println(err)
		return
	}
	if err := <-ended; err != nil {
		fmt.Println(err)
		return
	}
	file, err := container.Open(&copied)
	if err != nil {
		fmt.Println(err)
		return
	}
	packets := 0
	for {
		if _, err := file.Next(); err != nil {
			break
		}
		packets++
	}
	fmt.Println(file.Tracks()[0].Codec, packets, "packets")
	// Output: opus 50 packets
}

// counter is a sink that counts packets of sound.
type counter struct {
	want int
	all  chan struct{}
}

func (c *counter) Streams([]*engine.StreamState) {}

func (c *counter) WritePacket(p *engine.Packet) {
	if p.Stream.Codec != codec.Opus {
		return
	}
	if c.want--; c.want == 0 {
		close(c.all)
	}
}

// A program that makes sound itself sends Opus packets as it goes; a sink takes what has arrived and been verified.
func ExampleRoom_OpenOpus() {
	ctx := context.Background()
	n, stop := start(ctx)
	defer stop()
	room, err := n.Open(ctx, "tone", node.RoomOptions{Create: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	c := &counter{want: 25, all: make(chan struct{})}
	sub, err := room.Subscribe(c, engine.SinkOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sub.Close()

	w, err := room.OpenOpus(ctx, node.OpusOptions{Name: "Synthesizer"})
	if err != nil {
		fmt.Println(err)
		return
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 25 {
		<-tick.C
		if err := w.WritePacket([]byte{0xfc, 0xff, 0xfe}); err != nil {
			fmt.Println(err)
			return
		}
	}
	<-c.all
	fmt.Println("25 packets were heard")
	// Output: 25 packets were heard
}

// A file that rooms do not carry comes with the command that converts it.
func ExampleCheckFile() {
	err := node.CheckFile(strings.NewReader("fLaC and so on"), "song.flac")
	var bad *node.UnplayableError
	if errors.As(err, &bad) {
		fmt.Println(bad.Command())
	}
	// Output: ffmpeg -i song.flac -map 0:a:0 -c:a libopus -b:a 96k -ac 2 song.ogg
}
