package tree

import "time"

// Router is one peer's part of a tree. It is not safe for concurrent use: one goroutine owns it.
type Router struct {
	cfg Config // constant
}

// New returns a router that has not started. It panics where c.Validate fails.
func New(c Config) *Router {
	if err := c.Validate(); err != nil {
		panic(err.Error())
	}
	return &Router{cfg: c}
}

// Step takes what happened at now and returns what is to be done, in order. The slice is valid until the next Step. now never
// goes back.
func (r *Router) Step(now time.Time, in Input) []Action { return nil }

// NextDeadline returns when to give Tick; false while there is nothing to wait for.
func (r *Router) NextDeadline() (time.Time, bool) { return time.Time{}, false }

// Status returns a snapshot.
func (r *Router) Status() Status { return Status{} }
