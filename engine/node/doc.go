// Package node is castd as a library: a peer that a program runs in itself, with everything that `castd start` has. With it a program
// opens rooms, sends files or packets of its own into them, and receives what others send.
//
// # A peer
//
// [Start] runs a peer: it opens the data folder with its keys, listens, and looks for others. [Options] say where; [DefaultOptions] are those
// of the command line. One process uses a data folder at a time, and two peers on one machine need two.
//
//	o := node.DefaultOptions()
//	o.DataDir = "radio"
//	n, err := node.Start(ctx, o)
//	if err != nil {
//		return err
//	}
//	defer n.Close(context.Background())
//
// [Node.Close] says goodbye, so that others need not find out by silence. It takes up to some seconds; the context bounds that.
//
// # A room
//
// [Node.Open] joins a room by its name, its id or an invite link, and creates it where that is asked for. Whoever creates a room owns it,
// by the key in the data folder: there is no server that could give or take it.
//
//	room, err := n.Open(ctx, "lobby", node.RoomOptions{Create: true})
//	link, err := room.Invite(engine.InviteSpec{})             // castd://..., for peers
//	page, err := room.Invite(engine.InviteSpec{Guest: true})  // http://..., for a browser
//
// # Sending
//
// [Room.PublishFile] sends a media file in real time: Ogg Opus, IVF, WebM or Matroska, as it is, without a decoder in between.
// [PublishOptions.Next] goes on with another file without a gap. A file that rooms do not carry is an [*UnplayableError], which knows the
// command of ffmpeg that converts it.
//
// [Room.OpenOpus] takes Opus packets as a program makes them. [Room.Publish] takes RTP payloads of all codecs: Opus, VP8, VP9, H264 and AV1.
//
// In a broadcast the owner may send; others need an invite with Speak.
//
// # Talking
//
// In a room of the mode conference Room.Call takes part: it sends and hears Opus, and is told who is there, who talks, whose hand is up,
// and what is written. RoomOptions.Mode makes such a room.
//
// # Receiving
//
// [Room.Record] writes what comes as Ogg, WebM or Matroska. Every write is whole: whenever the process ends, the file is playable.
// [Room.Subscribe] hands packets to an engine.Sink of your own: in order, each once, checked against the signature of who sent them. A sink
// must not block.
//
// # Errors
//
// Errors of type *engine.UserError, found with errors.As, are one sentence for the person at the screen, with a code for the program.
// Others are wrapped with what was being done.
//
// # What else there is
//
// [Node.Service] has what the command line and the gateway use: events, peers, rooms, the tree. [MediaUpload] and [MediaDownload] are
// [PublishFile] and [Record] over HTTP. The package holds no global state: two nodes in one process do not know of each other.
//
// examples/broadcast is a radio station of sixty lines.
package node
