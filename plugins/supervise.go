package plugins

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/plugins/sdk"
	"github.com/castd/castd/plugins/sdk/protocol"
)

// Times of supervision.
const (
	healthEvery = 250 * time.Millisecond
	healthLimit = 1200 * time.Millisecond // an answer that takes longer is none
	lookGap     = 50 * time.Millisecond   // between two looks at the rooms, of which each is for a change
	stopTime    = 10 * time.Second        // to finish, when the operator ends a plugin
	attendRetry = 5 * time.Second         // after an error of a plugin's in a room
)

// States of a plugin.
const (
	StateDisabled = "disabled"
	StateStarting = "starting"
	StateRunning  = "running"
	StateWaiting  = "waiting" // for the next try
	StateFailed   = "failed"  // until somebody does something about it
	StateStopped  = "stopped" // installed and enabled, but castd does not run
)

// supervisor keeps one plugin running. Its goroutine owns the process.
type supervisor struct {
	// constant
	host     *Host
	plugin   Installed
	log      *slog.Logger
	counters *counters
	values   *values
	cancel   context.CancelFunc
	done     chan struct{}
	looking  chan struct{} // capacity 1: rooms are to be looked at now

	answers   answers
	questions chan struct{} // capacity maxQuestions: those that wait for an answer
	calls     chan struct{} // capacity maxCalls: those to the world outside

	end     atomic.Pointer[context.Context] // until when a plugin may finish, once it is to end
	started atomic.Uint64
	crashed atomic.Uint64
	memory  atomic.Uint64
	pid     atomic.Int64

	mu      sync.Mutex // guards what follows
	state   string
	problem string          // for the operator
	wants   map[string]bool // permissions that it wanted and does not have
	since   time.Time       // of the state
	process *process        // while it is running
}

func newSupervisor(h *Host, p Installed) *supervisor {
	log := h.log.With("plugin", p.Name)
	s := &supervisor{
		host: h, plugin: p, log: log, counters: h.countersOf(p.Name), values: h.valuesOf(p.Name), done: make(chan struct{}),
		looking: make(chan struct{}, 1), state: StateStarting, questions: make(chan struct{}, maxQuestions), calls: make(chan struct{}, maxCalls), wants: make(map[string]bool),
		since: time.Now(),
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go s.run(ctx)
	return s
}

// folder is the plugin's own.
func (s *supervisor) folder() string {
	if o := s.plugin.own; o != nil {
		return o.Folder
	}
	return s.host.store.folder(s.plugin.Name)
}

// lookAgain has the plugin attend at once what it may see now, and leave what it may not any more.
func (s *supervisor) lookAgain() {
	select {
	case s.looking <- struct{}{}:
	default:
	}
}

// stop ends the plugin, which may finish until end ends, and waits for it.
func (s *supervisor) stop(end context.Context) {
	s.end.CompareAndSwap(nil, &end)
	s.cancel()
	<-s.done
}

func (s *supervisor) set(state, problem string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.problem, s.since = state, problem, time.Now()
}

// refused notes that the plugin wanted what it was not granted.
func (s *supervisor) refused(permission string) {
	s.mu.Lock()
	first := !s.wants[permission]
	s.wants[permission] = true
	s.mu.Unlock()
	if first {
		s.log.Warn(notGranted(s.plugin.Name, permission))
	}
}

// run starts the plugin again and again.
func (s *supervisor) run(ctx context.Context) {
	defer close(s.done)
	var b backoff
	random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	for epoch := uint64(0); ; epoch++ {
		s.set(StateStarting, s.lastProblem())
		began := time.Now()
		err := s.once(ctx, epoch)
		if ctx.Err() != nil {
			s.set(StateDisabled, "")
			return
		}
		s.crashed.Add(1)
		text := sentence(err)
		delay, again := b.fail(began, time.Now(), random)
		if permanent(err) || s.plugin.attached != nil { // whom castd has not started it starts no more
			s.failed(text)
			<-ctx.Done()
			return
		}
		if !again {
			s.failed(fmt.Sprintf("%s; it failed %d times in %v and is not started again: type castd plugin enable %s when that is mended", text, breakerRuns, breakerTime, s.plugin.Name))
			<-ctx.Done()
			return
		}
		s.set(StateWaiting, text)
		s.log.Warn("a plugin ended and is started again", "problem", text, "in", delay)
		select {
		case <-ctx.Done():
			return
		case <-time.After(delay):
		}
	}
}

func (s *supervisor) lastProblem() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.problem
}

// failed tells the operator that the plugin does not run any more.
func (s *supervisor) failed(text string) {
	s.set(StateFailed, text)
	s.log.Error("a plugin does not run", "problem", text)
	s.host.emit(engine.Event{Event: "error", Code: CodeBadPlugin, Message: text})
}

// permanent reports whether trying again is in vain.
func permanent(err error) bool {
	if _, ok := errors.AsType[*permanentError](err); ok {
		return true
	}
	return false
}

func sentence(err error) string {
	if user, ok := errors.AsType[*engine.UserError](err); ok {
		return user.Message
	}
	return err.Error()
}

// once runs the plugin until it ends or ctx does. It returns why it ended.
func (s *supervisor) once(ctx context.Context, epoch uint64) error {
	h, name := s.host, s.plugin.Name
	service := newHostService(name, s.plugin.Granted)
	service.allowed, service.engine, service.emit, service.log = s.allows, h.engine, h.emit, s.log
	service.values, service.refused = s.values, s.refused
	s.started.Add(1)
	service.patient = s.plugin.attached != nil
	run := launch
	if s.plugin.attached != nil {
		run = attach
	}
	p, err := run(ctx, &launchSpec{
		plugin: s.plugin, program: h.store.program(name), folder: s.folder(), runDir: h.store.runDir(), epoch: epoch, castd: h.version,
		log: h.log, service: service, limit: h.startTime, shared: h.shared,
	})
	if err != nil {
		return err
	}
	s.pid.Store(int64(p.id()))
	s.mu.Lock()
	s.process = p
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.process = nil
		s.mu.Unlock()
		s.pid.Store(0)
		s.memory.Store(0)
	}()
	s.set(StateRunning, "")
	if p.child != nil && !p.child.isolated && !service.granted[permissionNetwork] {
		s.log.Warn("this system lets castd not keep the network from a plugin, which was not granted")
	}
	s.log.Info("plugin runs", "version", s.plugin.Version, "pid", p.id(), "granted", s.plugin.Granted)

	watch, unwatch := context.WithCancel(ctx)
	defer unwatch()
	unwell := make(chan error, 4)
	var work sync.WaitGroup
	finish, cutOff := context.WithCancel(context.Background()) // until when attendances may finish
	defer cutOff()
	if p.child != nil { // who stands at a breakpoint is not ill
		work.Go(func() { s.watchHealth(watch, p, unwell) })
	}
	if s.attends() {
		work.Go(func() { s.attendRooms(watch, finish, p, unwell) })
	}
	select {
	case <-p.exited():
		err = p.ending(name)
	case err = <-unwell:
		p.abort()
	case <-ctx.Done():
		s.finish(p, unwatch, cutOff, &work)
		return ctx.Err()
	}
	cutOff()
	unwatch()
	p.kill()
	work.Wait()
	return err
}

// finish lets the plugin finish in its rooms, and then by itself.
func (s *supervisor) finish(p *process, unwatch, cutOff func(), work *sync.WaitGroup) {
	end := context.Background()
	if e := s.end.Load(); e != nil {
		end = *e
	}
	limit, cancel := context.WithTimeout(end, stopTime)
	defer cancel()
	unwatch()
	defer context.AfterFunc(limit, cutOff)()
	defer context.AfterFunc(limit, p.abort)()
	work.Wait()
	p.stop(limit)
}

// attends reports whether the plugin takes part in rooms.
func (s *supervisor) attends() bool {
	for _, c := range s.plugin.Capabilities {
		if c == sdk.CapabilitySink || c == sdk.CapabilitySource {
			if !grants(s.plugin.Granted)[permissionRooms] {
				s.refused(permissionRooms)
				return false
			}
			return true
		}
	}
	return false
}

// allows reports whether the plugin may see a room.
func (s *supervisor) allows(r engine.RoomInfo) bool {
	if o := s.plugin.own; o != nil {
		return o.allows(r)
	}
	if len(s.plugin.Rooms) == 0 {
		return true
	}
	for _, name := range s.plugin.Rooms {
		if name == r.Room || equalFold(name, r.Name) {
			return true
		}
	}
	return false
}

// watchHealth asks the plugin how it is, until ctx ends.
func (s *supervisor) watchHealth(ctx context.Context, p *process, unwell chan<- error) {
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	health := grpc_health_v1.NewHealthClient(p.conn)
	answered := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		memory := p.child.memory()
		s.memory.Store(memory)
		if memory > maxMemory {
			unwell <- badPlugin("the plugin %s was ended, since it had %d MiB of memory, and %d are allowed", s.plugin.Name, memory>>20, maxMemory>>20)
			return
		}
		call, cancel := context.WithTimeout(ctx, healthLimit)
		r, err := p.base.Health(call, &protocol.HealthRequest{})
		if status.Code(err) == codes.Unimplemented {
			_, err = health.Check(call, &grpc_health_v1.HealthCheckRequest{Service: "plugin"})
		}
		cancel()
		code := status.Code(err)
		switch {
		case ctx.Err() != nil:
			return
		case code == codes.Unavailable && time.Since(answered) < healthLimit: // it is about to be seen to have ended
			continue
		case code == codes.DeadlineExceeded, code == codes.Unavailable:
			unwell <- badPlugin("the plugin %s was ended, since it did not answer for %v", s.plugin.Name, healthLimit)
			return
		case err != nil:
			unwell <- badPlugin("the plugin %s was ended, since its health is not to be had: %s", s.plugin.Name, callError(err))
			return
		}
		answered = time.Now()
		problem := ""
		if text := r.GetProblem(); text != "" {
			problem = fmt.Sprintf("the plugin %s says: %s", s.plugin.Name, oneLine(text[:min(len(text), 300)]))
		}
		s.mu.Lock()
		changed := s.problem != problem
		s.problem = problem
		s.mu.Unlock()
		if changed && problem != "" {
			s.log.Warn("a plugin is not well", "problem", problem)
		}
	}
}

// attendRooms has the plugin attend each room that it may see, until ctx ends; finish is until when it may finish.
func (s *supervisor) attendRooms(ctx, finish context.Context, p *process, unwell chan<- error) {
	type result struct {
		room string
		err  error
	}
	type attended struct {
		a      *attendance
		cancel context.CancelFunc
		gone   bool // the room is
		over   bool
		again  time.Time // when to try again what has failed; zero: not
	}
	rooms := make(map[string]*attended)
	ends := make(chan result)
	running := 0
	defer func() {
		for _, r := range rooms {
			r.cancel()
		}
		for ; running > 0; running-- {
			<-ends
		}
	}()
	events := s.host.events.listen()
	defer s.host.events.leave(events)
	changed := s.host.engine.Changed(ctx)
	again := time.NewTimer(time.Hour) // when a room is to be tried again
	defer again.Stop()
	for {
		now := time.Now()
		there := make(map[string]bool)
		for _, info := range s.host.engine.Rooms() {
			if !s.allows(info) {
				continue
			}
			there[info.Room] = true
			r := rooms[info.Room]
			if r != nil && !r.over {
				r.a.look(&info)
				continue
			}
			if r != nil && (r.again.IsZero() || now.Before(r.again)) {
				continue
			}
			m, err := s.host.engine.Find(info.Room)
			if err != nil {
				continue
			}
			a := newAttendance(m, info, p.service, s.counters, s.log, &s.host.pool)
			one, cancel := context.WithCancel(ctx)
			rooms[info.Room] = &attended{a: a, cancel: cancel}
			a.look(&info)
			running++
			go func() { ends <- result{info.Room, a.run(one, finish, p.conn)} }()
		}
		for id, r := range rooms {
			if !there[id] {
				r.gone = true
				if r.cancel(); r.over {
					delete(rooms, id)
				}
			}
		}
		pause := time.After(lookGap)
		retry := time.Hour
		for _, r := range rooms {
			if r.over && !r.again.IsZero() {
				retry = min(retry, max(time.Until(r.again), lookGap))
			}
		}
		again.Reset(retry)
		var look <-chan struct{} // after the pause
		for wait := true; wait; {
			select {
			case <-ctx.Done():
				return
			case <-pause:
				look = changed
			case <-look:
				wait = false
			case <-again.C:
				wait = false
			case <-s.looking:
				wait = false
			case ev := <-events:
				if r := rooms[ev.room]; r != nil && !r.over {
					r.a.tell(ev.message)
				}
			case e := <-ends:
				running--
				r := rooms[e.room]
				r.cancel()
				r.over = true
				switch {
				case r.gone: // and may be there again
					delete(rooms, e.room)
					wait = false
				case errors.Is(e.err, errStuck):
					unwell <- badPlugin("the plugin %s was ended: %v", s.plugin.Name, e.err)
					return
				case e.err != nil && ctx.Err() == nil:
					r.again = time.Now().Add(attendRetry)
					again.Reset(attendRetry)
					s.log.Warn("a plugin left a room by an error", "room", e.room, "err", callError(e.err))
				}
			}
		}
	}
}

// metrics asks the plugin for its figures.
func (s *supervisor) metrics(ctx context.Context) []*protocol.Metric {
	s.mu.Lock()
	p := s.process
	s.mu.Unlock()
	if p == nil {
		return nil
	}
	r, err := p.base.Metrics(ctx, &protocol.MetricsRequest{})
	if err != nil {
		return nil
	}
	return r.Metrics
}
