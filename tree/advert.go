package tree

import "time"

// Adverts of free slots are thinned so that a room makes about one per Config.AdvertGap however many peers have slots: an advert
// reaches everybody. The timer is that of Trickle (RFC 6206): in each interval a peer picks a moment in the second half, and
// speaks then only if it has heard fewer adverts by that time than the room is to make in it. The interval doubles while others
// speak enough, and begins at the shortest again when this peer's own free slots come or go, though the rule holds then
// as well: in a small room news is told at once, in a large one somebody else's news will do.
type advertTimer struct {
	start    instant // of the interval
	interval time.Duration
	at       instant // when to speak in it; zero before the first
	heard    int     // adverts of others since start
	spoke    bool
}

// maxAdvertFactor bounds the interval, in AdvertEvery.
const maxAdvertFactor = 8

// few tells whether fewer adverts were heard in an interval up to now than a room is to make.
func (t *advertTimer) few(now instant, gap time.Duration) bool {
	return t.heard <= int(now.Sub(t.start)/gap)
}

// advertAt returns when the next advert is due.
func (r *Router) advertAt() (instant, bool) {
	if r.slots == 0 || r.path == nil || r.moving() {
		return 0, false
	}
	t := &r.advert
	if t.at.IsZero() {
		return r.now, true
	}
	if had := r.said.advertised && r.said.free > 0; had != (r.free() > 0) && t.few(r.now, r.cfg.AdvertGap) {
		if r.said.advert.IsZero() {
			return r.now, true
		}
		return later(r.now, r.said.advert.Add(r.cfg.AdvertGap)), true
	}
	if t.spoke || !r.now.Before(t.at) {
		return t.start.Add(t.interval), true
	}
	return t.at, true
}

func (r *Router) advertise() {
	if r.path == nil {
		r.said.advertised = false // its slots are gone, and are news when they come again: orphans wait for somebody with a place
	}
	at, ok := r.advertAt()
	if !ok || r.phase != running || r.now.Before(at) {
		return
	}
	t, every := &r.advert, r.cfg.AdvertEvery
	news := t.at.IsZero() || (r.said.advertised && r.said.free > 0) != (r.free() > 0)
	switch {
	case news && t.few(r.now, r.cfg.AdvertGap):
		r.speak()
		r.nextAdvert(every)
		t.spoke = true
	case !r.now.Before(t.start.Add(t.interval)): // the interval is over
		if t.few(r.now, r.cfg.AdvertGap) {
			r.nextAdvert(every)
		} else {
			r.nextAdvert(min(2*t.interval, maxAdvertFactor*every))
		}
	case !t.spoke:
		if t.few(r.now, r.cfg.AdvertGap) {
			r.speak()
		}
		t.spoke = true
	}
}

// nextAdvert begins an interval. Who is full speaks later in it: orphans that look for a reserve can wait.
func (r *Router) nextAdvert(interval time.Duration) {
	t := &r.advert
	if r.said.free == 0 {
		interval = max(interval, 3*r.cfg.AdvertEvery)
	}
	half := interval / 2
	*t = advertTimer{start: r.now, interval: interval, at: r.now.Add(half + time.Duration(r.rng.Int64N(int64(half)+1)))}
}

func (r *Router) speak() {
	s := &r.said
	s.advertised, s.free, s.advert = true, r.free(), r.now
	r.act(Advertise{Candidate: r.self(), Path: r.path})
}
