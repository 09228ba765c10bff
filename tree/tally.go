package tree

// tally is what the children come to, counted when it is asked for and kept until one of them changes: nine steps in ten change none,
// and a peer that feeds many would look at all of them several times in each.
type tally struct {
	known     bool
	used      [Orphan + 1]int // by kind, promised ones included
	promises  int             // who will have another's place once they confirm
	copies    int             // of the whole programme
	idle      int             // idle children, and those that may become idle again
	below     int             // peers below, and their free slots
	freeBelow int
	due       deadline // the earliest of the children; what moves it back may leave it too early, which costs a Tick

	settled settled // for which the children are in order
	told    told    // which the caller and the children know of
}

// settled is on what, besides the children, their order depends.
type settled struct {
	done   bool
	slots  int
	share  float64
	headed bool
}

// told is what, besides the children, the end of a Step says.
type told struct {
	done                   bool
	path                   uint64
	depth                  int
	parent, backup, former ID
}

// changed forgets the tally. Everything that changes what is in it calls it.
func (r *Router) changed() { r.sum.known = false }

// tally returns what the children come to.
func (r *Router) tally() *tally {
	if !r.sum.known {
		r.sum = r.count()
	}
	return &r.sum
}

func (r *Router) count() tally {
	t := tally{known: true}
	for _, c := range r.children {
		t.used[c.kind]++
		if c.victim != "" {
			t.promises++
		}
		if c.copy == CopyAll {
			t.copies++
		}
		if c.idle() {
			t.idle++
		}
		if c.kind != Backup && c.confirmed {
			t.below += 1 + c.below
			t.freeBelow += c.freeBelow
		}
		if !c.confirmed {
			t.due.at(c.since.Add(r.cfg.ConfirmTimeout))
			continue
		}
		t.due.at(c.alive.Add(r.cfg.ChildSilence))
		if !c.until.IsZero() {
			t.due.at(c.until)
		}
		t.due.at(r.pathDue(c))
	}
	return t
}

// idle tells whether a child is idle, or is fed while it has not decided and may become idle again.
func (c *child) idle() bool { return c.kind == Backup || c.fallback }
