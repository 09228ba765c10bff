// Package node is the embeddable peer: an engine with its data folder, control plane (engine/gossip), hops (engine/hop),
// guests (engine/guest) and gateway (engine/gateway) wired together. `castd start` is a Node with flags.
//
//	o := node.DefaultOptions()
//	o.DataDir = "radio"
//	n, err := node.Start(ctx, o)
//	...
//	room, err := n.Service().AddRoom(ctx, engine.RoomSpec{Room: "lobby", Create: true})
//	...
//	err = n.Close(ctx)
//
// PublishFile and Record move media between files and rooms; MediaUpload and MediaDownload do the same over HTTP.
package node
