package tree

import "slices"

// said is what the caller was told last. What it is told of the place, children and hops is derived from the state at the
// end of each Step and compared with this, so that no path through the code can forget to say something.
type said struct {
	feeds    SetFeeds
	children []Child
	backup   ID
	hops     []ID // sorted: peers whose hop this room needs
	opening  bool // some of them for a place that is not taken yet

	advertised bool
	free       int // of the last advert
	advert     instant
}

func (r *Router) finish() {
	var f SetFeeds
	if r.parent != nil {
		f.Primary = r.parent.peer
	}
	if r.backup != nil {
		f.Backup, f.Copy = r.backup.peer, r.backup.copy
	}
	if r.held() { // it has what is missing
		f.Primary, f.Backup, f.Copy = f.Backup, f.Primary, CopyNone
	}
	if f != r.said.feeds {
		r.said.feeds = f
		r.act(f)
	}
	r.sayEvents(f)
	r.tellChildren()
	r.advertise()
}

// tellChildren says who the children are and which hops are needed, and tells the children where they are. Where nothing has changed
// since that was done last, all of it has been said.
func (r *Router) tellChildren() {
	now := told{done: true, path: r.pathSeq, depth: r.childDepth()}
	if r.parent != nil {
		now.parent = r.parent.peer
	}
	if r.backup != nil {
		now.backup = r.backup.peer
	}
	if r.former != nil {
		now.former = r.former.peer
	}
	opening := r.opening()
	if r.tally().told == now && !opening && !r.said.opening {
		return
	}
	r.said.opening = opening
	if !r.sameChildren() {
		r.said.children = r.shownChildren()
		r.act(SetChildren{Children: r.said.children})
	}
	for _, c := range r.children {
		if c.shown() && c.pathSeq != r.pathSeq {
			r.sendPath(c, maxProbes)
		}
	}
	r.closeHops()
	r.tally().told = now
}

// opening tells whether a search has a place and waits for the hop.
func (r *Router) opening() bool {
	for _, s := range r.searches() {
		if s != nil && slices.ContainsFunc(s.attempts, func(a attempt) bool { return a.accepted != nil }) {
			return true
		}
	}
	return false
}

func (r *Router) sayEvents(f SetFeeds) {
	if r.path == nil || r.parent == nil || r.held() {
		return
	}
	if r.moved != "" {
		if !r.joined {
			r.joined = true
			r.notify(Joined{Parent: f.Primary, Depth: r.depth()})
		}
		r.notify(ParentChanged{Peer: f.Primary, Backup: f.Backup, Depth: r.depth(), Reason: r.moved})
	} else if f.Backup != r.said.backup {
		r.notify(ParentChanged{Peer: f.Primary, Backup: f.Backup, Depth: r.depth(), Reason: ReasonOptimize})
	}
	r.moved, r.said.backup = "", f.Backup
}

// childDepth is the depth of this peer's children.
func (r *Router) childDepth() int { return len(r.path) }

func (r *Router) shownChildren() []Child {
	var out []Child
	for _, c := range r.children {
		if c.shown() {
			out = append(out, Child{Peer: c.peer, Kind: c.kind, Depth: r.childDepth(), Copy: c.copy})
		}
	}
	return out
}

func (r *Router) sameChildren() bool {
	i := 0
	for _, c := range r.children {
		if !c.shown() {
			continue
		}
		if i == len(r.said.children) || r.said.children[i] != (Child{Peer: c.peer, Kind: c.kind, Depth: r.childDepth(), Copy: c.copy}) {
			return false
		}
		i++
	}
	return i == len(r.said.children)
}

// closeHops tells which hops are not needed any more.
func (r *Router) closeHops() {
	need := r.need[:0]
	for _, c := range r.children { // in the order of their ids
		need = append(need, c.peer)
	}
	add := func(id ID) {
		if i, found := slices.BinarySearch(need, id); !found {
			need = slices.Insert(need, i, id)
		}
	}
	for _, l := range []*link{r.parent, r.backup, r.former} {
		if l != nil {
			add(l.peer)
		}
	}
	for _, s := range r.searches() {
		if s == nil {
			continue
		}
		for _, a := range s.attempts {
			if a.accepted != nil {
				add(a.peer)
			}
		}
	}
	r.need = need
	if slices.Equal(need, r.said.hops) {
		return
	}
	for _, p := range r.said.hops {
		if _, found := slices.BinarySearch(need, p); !found {
			delete(r.hops, p) // whoever needs it again asks for it again
			r.act(CloseHop{To: p})
		}
	}
	r.said.hops = append(r.said.hops[:0], need...)
}
