package plugins

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/plugins/sdk"
	"github.com/castd/castd/plugins/sdk/protocol"
)

// Times and limits of questions to plugins.
const (
	decideTime   = 500 * time.Millisecond // for an answer, the start of the plugin included
	decideLook   = 20 * time.Millisecond  // while it starts
	maxQuestions = 32                     // to a plugin at a time; others wait, for as long as an answer may take
	maxReason    = 200                    // octets
	maxAnswers   = 1000                   // that are remembered of a plugin
	maxValid     = 10 * time.Minute
)

// What counts in place of an answer.
const (
	WhenDownDeny  = "deny"
	WhenDownAllow = "allow"
)

var _ engine.Policy = (*Host)(nil)

// Decide implements engine.Policy: it asks all plugins that decide and may see the room, at the same time. Who one of them refuses is refused.
func (h *Host) Decide(ctx context.Context, q engine.Question) error {
	var ask []*supervisor
	for _, s := range h.supervisors() {
		if s.decides() && s.allows(engine.RoomInfo{Room: string(q.Room), Name: q.RoomName}) {
			ask = append(ask, s)
		}
	}
	if len(ask) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, decideTime)
	defer cancel()
	errs := make([]error, len(ask))
	var wg sync.WaitGroup
	for i, s := range ask {
		wg.Go(func() { errs[i] = s.decide(ctx, q) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// decides reports whether the plugin is to be asked. Without the permission it is not: that it was installed says nothing yet.
func (s *supervisor) decides() bool {
	if !slices.Contains(s.plugin.Capabilities, sdk.CapabilityPolicy) {
		return false
	}
	if !slices.Contains(s.plugin.Granted, sdk.PermissionPolicy) {
		s.refused(sdk.PermissionPolicy)
		return false
	}
	return true
}

// decide asks the plugin, or remembers its answer.
func (s *supervisor) decide(ctx context.Context, q engine.Question) error {
	if no, known := s.answers.get(&q, time.Now()); known {
		s.counters.decisionsKnown.Add(1)
		return no
	}
	r, err := s.ask(ctx, q)
	if err != nil {
		s.counters.decisionsFailed.Add(1)
		s.log.Warn("a plugin has not decided", "err", callError(err), "when_down", s.plugin.whenDown())
		if s.plugin.whenDown() == WhenDownAllow {
			return nil
		}
		return engine.NewUserError(engine.CodeNotAllowed, fmt.Sprintf("nobody can say at the moment whether you may: try again in a minute, or tell who runs this room that its plugin %s does not answer", s.plugin.Name))
	}
	s.counters.decisions.Add(1)
	var no error
	if !r.Allow {
		no = refusal(q.RoomName, r.Reason)
	}
	if r.ValidMs > 0 {
		s.answers.put(&q, no, time.Now().Add(min(time.Duration(min(r.ValidMs, maxValid.Milliseconds()))*time.Millisecond, maxValid)))
	}
	return no
}

// refusal is what somebody is told who is turned away.
func refusal(room, reason string) error {
	reason = oneLine(reason)
	if len(reason) > maxReason {
		reason = valid(reason[:maxReason-3]) + "..."
	}
	if reason == "" {
		reason = "ask who runs it"
	}
	return engine.NewUserError(engine.CodeNotAllowed, fmt.Sprintf("you are not let into the room %q: %s", room, reason))
}

// ask asks the plugin once it runs.
func (s *supervisor) ask(ctx context.Context, q engine.Question) (*protocol.DecideResponse, error) {
	select {
	case s.questions <- struct{}{}:
		defer func() { <-s.questions }()
	case <-ctx.Done():
		return nil, fmt.Errorf("it has %d other questions: %w", maxQuestions, context.Cause(ctx))
	}
	p, err := s.whenRunning(ctx)
	if err != nil {
		return nil, err
	}
	return protocol.NewPolicyClient(p.conn).Decide(ctx, &protocol.DecideRequest{
		Room: string(q.Room), RoomName: valid(q.RoomName), Action: q.Action, Participant: valid(q.Participant), Name: valid(q.Name),
		Peer: q.Peer.String(), Self: q.Self, Number: q.Number,
	})
}

// whenRunning returns the plugin's process as soon as there is one.
func (s *supervisor) whenRunning(ctx context.Context) (*process, error) {
	tick := time.NewTicker(decideLook)
	defer tick.Stop()
	for {
		s.mu.Lock()
		p, state, problem := s.process, s.state, s.problem
		s.mu.Unlock()
		if p != nil {
			select {
			case <-p.exited(): // and the next one is about to start
			default:
				return p, nil
			}
		}
		if state == StateFailed || state == StateDisabled {
			return nil, badPlugin("the plugin %s does not run: %s", s.plugin.Name, problem)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// whenDown says what counts where the plugin does not answer.
func (p *Installed) whenDown() string {
	if p.WhenDown == WhenDownAllow {
		return WhenDownAllow
	}
	return WhenDownDeny
}

// answers remembers what a plugin has decided.
type answers struct {
	mu  sync.Mutex // guards what follows
	all map[answerKey]answer
}

type answerKey struct{ room, action, participant, number string }

type answer struct {
	no    error
	until time.Time
}

func keyOf(q *engine.Question) answerKey {
	return answerKey{string(q.Room), q.Action, q.Participant, q.Number}
}

func (a *answers) get(q *engine.Question, now time.Time) (no error, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	got, ok := a.all[keyOf(q)]
	if !ok || !now.Before(got.until) {
		return nil, false
	}
	return got.no, true
}

// put remembers an answer. Where there are too many, those go that have expired, or else any one.
func (a *answers) put(q *engine.Question, no error, until time.Time) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all == nil {
		a.all = make(map[answerKey]answer)
	}
	if len(a.all) >= maxAnswers {
		for k, v := range a.all {
			if !now.Before(v.until) {
				delete(a.all, k)
			}
		}
		for k := range a.all {
			if len(a.all) < maxAnswers {
				break
			}
			delete(a.all, k)
		}
	}
	a.all[keyOf(q)] = answer{no, until}
}
