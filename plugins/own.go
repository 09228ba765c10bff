package plugins

import (
	"fmt"
	"slices"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/plugins/sdk"
	"github.com/castd/castd/plugins/sdk/protocol"
)

// Own is a plugin that is part of castd's own program: castd starts itself with an argument to become it, so that a user has one file.
// It is launched, confined, fed and supervised as any other is, but only while it is needed.
type Own struct {
	Description sdk.Description // of which Protocols and Capabilities are filled in
	// Arg is what castd is started with; main hands over to the plugin then.
	Arg string
	// Folder is the plugin's own folder.
	Folder string
}

// ownPlugin is an Own as the host runs it: in the rooms that it is needed in.
type ownPlugin struct {
	Own
	host  *Host
	rooms map[string]bool // guarded by host.mu
}

// program is what is executed: the file that this process runs, whatever has become of its name. There is nothing to compare: nobody can
// write to a file that runs.
func (o *ownPlugin) program() (string, error) { return ownProgram() }

func (o *ownPlugin) allows(r engine.RoomInfo) bool {
	o.host.mu.Lock()
	defer o.host.mu.Unlock()
	return o.rooms[r.Room]
}

// installed is the plugin as a supervisor runs it, with all that it asks for.
func (o *ownPlugin) installed(version string) Installed {
	p := Installed{Description: o.Description, Enabled: true, Granted: o.Description.Permissions, own: o}
	p.Protocols, p.Capabilities = []int{protocol.Version}, []string{sdk.CapabilitySink}
	if p.Version == "" {
		p.Version = version
	}
	return p
}

// NeedOwn starts a plugin of Config.Own for a room, if it does not run, or has it attend this room besides; with false it leaves the room,
// and ends when it has left all.
func (h *Host) NeedOwn(name string, room string, needed bool) error {
	h.changing.Lock()
	defer h.changing.Unlock()
	h.mu.Lock()
	i := slices.IndexFunc(h.own, func(o *ownPlugin) bool { return o.Description.Name == name })
	if i < 0 || h.closed || !h.started {
		h.mu.Unlock()
		return fmt.Errorf("plugins: %s cannot be started", name)
	}
	o := h.own[i]
	if needed {
		o.rooms[room] = true
	} else {
		delete(o.rooms, room)
	}
	running, empty := h.running[name], len(o.rooms) == 0
	if empty || running != nil && running.status().State == StateFailed {
		delete(h.running, name)
	}
	h.mu.Unlock()
	if running != nil && (empty || running.status().State == StateFailed) {
		h.stopNow(running)
		running = nil
	}
	if running != nil {
		running.lookAgain()
		return nil
	}
	if empty {
		return nil
	}
	h.events.start(h.ctx, h.engine)
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.running[name] = newSupervisor(h, o.installed(h.version))
	}
	return nil
}

// OwnRuns reports whether a plugin of Config.Own runs, or is about to.
func (h *Host) OwnRuns(name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.running[name]
	return s != nil && s.plugin.own != nil
}

// Values keeps what castd wants to tell an own plugin, and what that keeps.
func (h *Host) Values(name string) Values {
	h.mu.Lock()
	defer h.mu.Unlock()
	return Values{h.valuesOf(name)}
}

// Values are what a plugin gets by Host.Get. Methods are safe for concurrent use.
type Values struct{ v *values }

// Put keeps a value, on disk when it returns; Get returns one; Delete forgets one; Keys lists them.
func (v Values) Put(key string, value []byte) error   { return v.v.put(key, value) }
func (v Values) Get(key string) ([]byte, bool, error) { return v.v.get(key) }
func (v Values) Delete(key string) error              { return v.v.delete(key) }
func (v Values) Keys() ([]string, error)              { return v.v.keys() }
