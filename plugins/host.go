package plugins

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/plugins/sdk/protocol"
)

// Config sets up a Host.
type Config struct {
	Store   *Store
	Version string // of castd
	// Also names plugins that run although they are not enabled.
	Also []string
	// Own are plugins that are part of castd's program; NeedOwn starts them.
	Own []Own
	// Attached is a plugin that its author has started, for castd plugin run and nothing else; nil for none.
	Attached *Attached
	Log      *slog.Logger // nil discards
}

// Host runs plugins. Its methods are safe for concurrent use.
type Host struct {
	// constant
	store   *Store
	version string
	also    []string
	own     []*ownPlugin
	// attached is nil but in castd plugin run --attach.
	attached *Attached
	log      *slog.Logger
	// startTime is how long a plugin may take until its handshake; tests change it.
	startTime time.Duration
	shared    bool // as where the system lets castd make no namespaces; tests change it
	events    events
	pool      buffers
	stops     context.CancelFunc
	ctx       context.Context // of the events

	// set by Start
	engine engine.Service
	emit   func(engine.Event)

	changing sync.Mutex // one change of what runs at a time

	mu       sync.Mutex // guards what follows
	running  map[string]*supervisor
	counters map[string]*counters
	values   map[string]*values
	started  bool
	closed   bool
	problem  error // of plugins.lock
}

// NewHost returns a Host that runs nothing before Start.
func NewHost(c Config) *Host {
	h := &Host{
		store: c.Store, startTime: startTime, version: c.Version, also: c.Also, attached: c.Attached, log: c.Log, running: make(map[string]*supervisor), counters: make(map[string]*counters),
		values: make(map[string]*values), emit: func(engine.Event) {},
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	for _, o := range c.Own {
		h.own = append(h.own, &ownPlugin{Own: o, host: h, rooms: make(map[string]bool)})
	}
	h.ctx, h.stops = context.WithCancel(context.Background())
	return h
}

// Start runs what is enabled, for a running peer. emit shows events. Where nothing is installed it does nothing but look.
// It fails where Config.Also names what is not installed.
func (h *Host) Start(svc engine.Service, emit func(engine.Event)) error {
	h.mu.Lock()
	h.engine, h.emit, h.started = svc, emit, true
	if a := h.attached; a != nil {
		h.events.start(h.ctx, svc)
		h.running[a.plugin.Name] = newSupervisor(h, a.plugin)
	}
	h.mu.Unlock()
	if h.store.Empty() {
		if len(h.also) > 0 {
			return noPlugin(h.also[0])
		}
		return nil
	}
	for _, name := range h.also {
		if _, err := h.store.Find(name); err != nil {
			return err
		}
	}
	_ = os.RemoveAll(h.store.runDir()) // what a crash has left
	if err := h.Reload(); err != nil {
		h.log.Error("plugins do not run", "err", err)
	}
	return nil
}

// runDir is where private copies are.
func (s *Store) runDir() string { return filepath.Join(s.dir, "run") }

// Reload reads plugins.lock again: it starts what is new, restarts what has changed or failed, and ends what is not enabled any more.
func (h *Host) Reload() error {
	h.changing.Lock()
	defer h.changing.Unlock()
	list, err := h.store.List()
	h.mu.Lock()
	h.problem = err
	if err != nil || h.closed || !h.started {
		h.mu.Unlock()
		return err
	}
	want, known := make(map[string]Installed), make(map[string]bool)
	for _, o := range h.own {
		known[o.Description.Name] = true
	}
	for _, p := range list {
		known[p.Name] = true
		if p.Enabled || slices.Contains(h.also, p.Name) {
			want[p.Name] = p
		}
	}
	var end []*supervisor
	for name, s := range h.running {
		if s.plugin.own != nil || s.plugin.attached != nil {
			delete(want, name) // castd's own has the name, or the one attached to
			continue
		}
		if p, ok := want[name]; !ok || !reflect.DeepEqual(p, s.plugin) || s.status().State == StateFailed {
			end = append(end, s)
			delete(h.running, name)
		}
	}
	h.mu.Unlock()
	limit, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	stopAll(limit, end)

	h.forget(known)
	if len(want) > 0 {
		h.events.start(h.ctx, h.engine)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, p := range want {
		if h.running[name] == nil && !h.closed {
			h.running[name] = newSupervisor(h, p)
		}
	}
	return nil
}

// stopNow ends a plugin that may take its time.
func (h *Host) stopNow(s *supervisor) {
	limit, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	s.stop(limit)
}

// forget drops what is known of plugins that were removed, whose values may be purged.
func (h *Host) forget(known map[string]bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.values, func(name string, _ *values) bool { return !known[name] })
	maps.DeleteFunc(h.counters, func(name string, _ *counters) bool { return !known[name] })
}

func stopAll(end context.Context, all []*supervisor) {
	var wg sync.WaitGroup
	for _, s := range all {
		wg.Go(func() { s.stop(end) })
	}
	wg.Wait()
}

// Close lets all plugins finish for as long as ctx allows, and ends them.
func (h *Host) Close(ctx context.Context) {
	h.mu.Lock()
	h.closed = true
	var all []*supervisor
	for _, s := range h.running {
		all = append(all, s)
	}
	h.mu.Unlock()
	stopAll(ctx, all)
	h.stops()
}

// countersOf and valuesOf are of a plugin by its name: they outlive its supervisors. h.mu is held.
func (h *Host) countersOf(name string) *counters {
	if h.counters[name] == nil {
		h.counters[name] = new(counters)
	}
	return h.counters[name]
}

func (h *Host) valuesOf(name string) *values {
	if h.values[name] == nil {
		h.values[name] = &values{path: filepath.Join(h.store.state(name), "values.json"), log: h.log}
	}
	return h.values[name]
}

// Status is a plugin as it is shown: what is installed, and how it is.
type Status struct {
	Name         string   `json:"name"`
	Version      string   `json:"version"`
	Summary      string   `json:"summary,omitempty"`
	State        string   `json:"state"`
	Problem      string   `json:"problem,omitempty"` // a sentence that says what to do
	Enabled      bool     `json:"enabled"`
	Capabilities []string `json:"capabilities,omitempty"`
	Permissions  []string `json:"permissions,omitempty"`
	Granted      []string `json:"granted,omitempty"`
	Rooms        []string `json:"rooms,omitempty"`
	Confinement  []string `json:"confinement,omitempty"` // what keeps it from what it was not granted
	Hint         string   `json:"hint,omitempty"`        // what this system cannot keep it from
	PID          int      `json:"pid,omitempty"`
	Restarts     uint64   `json:"restarts,omitempty"`
	MemoryBytes  uint64   `json:"memory_bytes,omitempty"`
	Packets      uint64   `json:"packets,omitempty"`
	Dropped      uint64   `json:"dropped_packets,omitempty"`
}

func statusOf(p *Installed) Status {
	state := StateStopped
	if !p.Enabled {
		state = StateDisabled
	}
	return Status{
		Name: p.Name, Version: p.Version, Summary: p.Summary, State: state, Enabled: p.Enabled, Capabilities: p.Capabilities,
		Permissions: p.Permissions, Granted: p.Granted, Rooms: p.Rooms,
	}
}

func (s *supervisor) status() Status {
	out := statusOf(&s.plugin)
	s.mu.Lock()
	defer s.mu.Unlock()
	out.State, out.Problem = s.state, s.problem
	if out.Problem == "" {
		for _, permission := range s.plugin.Permissions { // in the plugin's own order
			if s.wants[permission] {
				out.Problem = notGranted(s.plugin.Name, permission)
				break
			}
		}
		for permission := range s.wants {
			if !slices.Contains(s.plugin.Permissions, permission) {
				out.Problem = "the plugin " + s.plugin.Name + " uses " + permission + ", which its description does not ask for: its author has to add it"
			}
		}
	}
	if p := s.process; p != nil {
		switch {
		case p.child == nil: // attached: its author has started it, and nothing confines it
		case p.child.isolated:
			out.Confinement = append(Confinement(), "no network")
		default:
			out.Confinement = Confinement()
			if !slices.Contains(s.plugin.Granted, permissionNetwork) {
				out.Hint = networkHint(s.plugin.Name)
			}
		}
	}
	out.PID, out.Restarts, out.MemoryBytes = int(s.pid.Load()), s.crashed.Load(), s.memory.Load()
	out.Packets, out.Dropped = s.counters.packets.Load(), s.counters.dropped.Load()
	return out
}

// Status lists all that is installed, by name.
func (h *Host) Status() ([]Status, error) {
	list, err := h.store.List()
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]Status, 0, len(list))
	if a := h.attached; a != nil {
		if s := h.running[a.plugin.Name]; s != nil {
			out = append(out, s.status())
		}
	}
	for _, o := range h.own {
		if s := h.running[o.Description.Name]; s != nil && s.plugin.own != nil {
			out = append(out, s.status())
		}
	}
	for i := range list {
		if s := h.running[list[i].Name]; s != nil {
			out = append(out, s.status())
			continue
		}
		out = append(out, statusOf(&list[i]))
	}
	return out, nil
}

// Status lists what is installed, without a running castd: problems are those that can be seen from the files.
func (s *Store) Status() ([]Status, error) {
	list, err := s.List()
	if err != nil {
		return nil, err
	}
	out := make([]Status, 0, len(list))
	for i := range list {
		st := statusOf(&list[i])
		if err := s.Verify(&list[i]); err != nil {
			st.Problem = sentence(err)
		} else if _, err := list[i].configuration(); err != nil {
			st.Problem = sentence(err)
		}
		out = append(out, st)
	}
	return out, nil
}

// supervisors returns what runs.
func (h *Host) supervisors() []*supervisor {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []*supervisor
	for _, s := range h.running {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b *supervisor) int { return strings.Compare(a.plugin.Name, b.plugin.Name) })
	return out
}

func equalFold(a, b string) bool { return strings.EqualFold(a, b) }

// events spreads a peer's events to the plugins that are in rooms. It listens from the first plugin on.
type events struct {
	once sync.Once

	mu        sync.Mutex // guards what follows
	listeners map[chan roomEvent]bool
}

// roomEvent is an event of a room, encoded once for all plugins.
type roomEvent struct {
	room    string
	message *protocol.Event
}

const eventQueue = 256

func (e *events) start(ctx context.Context, svc engine.Service) {
	e.once.Do(func() {
		in := svc.Events(ctx, 0)
		go func() {
			for ev := range in {
				if ev.Room == "" {
					continue
				}
				text, err := json.Marshal(&ev)
				if err != nil {
					continue
				}
				e.spread(roomEvent{ev.Room, &protocol.Event{Time: ev.Time, Event: ev.Event, Json: text}})
			}
		}()
	})
}

func (e *events) spread(ev roomEvent) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for l := range e.listeners {
		select {
		case l <- ev:
		default: // who looks at rooms is behind by hundreds of events
		}
	}
}

func (e *events) listen() chan roomEvent {
	l := make(chan roomEvent, eventQueue)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.listeners == nil {
		e.listeners = make(map[chan roomEvent]bool)
	}
	e.listeners[l] = true
	return l
}

func (e *events) leave(l chan roomEvent) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.listeners, l)
}
