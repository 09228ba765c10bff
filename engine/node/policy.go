package node

import (
	"context"

	"github.com/castd/castd/engine"
)

// polite asks the policy before a guest watches. About who sends or takes part the engine asks.
type polite struct{ engine.GuestService }

// Watch implements engine.GuestService.
func (p polite) Watch(ctx context.Context, m engine.Media, offer string, o engine.GuestOptions) (engine.GuestSession, error) {
	if room, ok := m.(interface {
		Decide(context.Context, engine.Question) error
	}); ok {
		if err := room.Decide(ctx, engine.Question{Action: engine.ActionJoin, Participant: o.Participant, Name: o.Name, Self: o.Self}); err != nil {
			return nil, err
		}
	}
	return p.GuestService.Watch(ctx, m, offer, o)
}
