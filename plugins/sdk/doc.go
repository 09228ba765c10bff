// Package sdk is what the author of a castd plugin imports.
//
// A plugin is a program of its own. Its main function hands [Serve] a value that implements [Plugin], and by further interfaces what else
// it can do: [Sink] gets media and events of rooms, [Source] brings media into them, [Configurer], [HealthChecker], [Measurer] and [Stopper]
// are what their names say. castd starts the program, restarts it when it crashes or hangs, and ends it.
//
//	type counter struct{}
//
//	func (counter) Describe() sdk.Description {
//		return sdk.Description{Name: "counter", Version: "0.1.0", Permissions: []string{sdk.PermissionRooms, sdk.PermissionAudio}}
//	}
//
//	func (counter) Attend(ctx context.Context, room *sdk.Room) error {
//		if err := room.Want(sdk.Want{Audio: sdk.Opus}); err != nil {
//			return err
//		}
//		for {
//			batch, err := room.Next()
//			if err != nil {
//				return nil // castd has left the room, or ends the plugin
//			}
//			slog.Info("heard", "room", room.Name, "packets", len(batch.Packets))
//		}
//	}
//
//	func main() { sdk.Serve(counter{}) }
//
// # What a plugin may do
//
// A plugin asks for permissions in its [Description], and has those that the operator grants. What it was not granted fails with a
// [PermissionError], or is just not there. It runs in a folder of its own, [Config.Folder], which is the only place that it may write to;
// without [PermissionNetwork] it has no network, without [PermissionFiles] it reads none of its user's files, where the system can
// enforce that (Linux 5.13 and later). Its environment is empty but for what castd says.
//
// # Media
//
// Media comes in batches of 20 ms, for all streams of a room together. A plugin that is slower than that loses whole batches, and is told
// by [Gap] which packets; the room never waits.
//
// # Output
//
// Standard output belongs to the protocol until Serve has been called: print nothing before. Afterwards what is printed goes to castd's log,
// and so does package log/slog, whose default logger Serve sets.
package sdk
