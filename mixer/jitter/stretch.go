package jitter

// silence is the mean square (-55 dBFS) below which sound is stretched anywhere: nobody hears where.
const silence = 3e-6

// noiseRise and noiseMargin say what counts as the background of a participant: up to 6 dB above the least energy of late. It is
// forgotten by 0.2 dB each time, a guess.
const (
	noiseRise   = 1.05
	noiseMargin = 4
)

// stretcher shortens and lengthens what waits on a tape.
type stretcher struct {
	finder
	noise float64 // mean square of the background
}

// quiet says whether nothing but background is around the head of the tape.
func (s *stretcher) quiet(t *tape) bool {
	e := energy(t, t.head-before, before+min(t.len(), after))
	s.noise = min(max(s.noise, silence/noiseMargin)*noiseRise, max(e, silence/noiseMargin))
	return e < max(silence, noiseMargin*s.noise)
}

// period returns one of at most most samples by which the head of the tape may be moved, to later sound where forward is set; 0 where
// the sound does not allow it.
func (s *stretcher) period(t *tape, most int, alike float64, forward bool) int {
	quiet := s.quiet(t)
	lag, how := s.lag(t, t.head, before, after, most, forward)
	if how < alike && !quiet {
		return 0
	}
	return lag
}

// compress removes up to most samples at the head of the tape, one period, where the sound allows it: it is alike enough one
// period later. It returns how many.
func (s *stretcher) compress(t *tape, most int, alike float64) int {
	lag := s.period(t, min(most, t.len()-after), alike, true)
	if lag > 0 {
		t.skip(lag)
	}
	return lag
}

// expand adds one period of at most most samples at the head of the tape where the sound allows it, and returns how many that are.
func (s *stretcher) expand(t *tape, most int, alike float64) int {
	if t.len() < after {
		return 0
	}
	lag := s.period(t, most, alike, false)
	if lag > 0 {
		t.repeat(lag)
	}
	return lag
}

// skip removes n samples: what comes next fades into what comes n samples later. What was played stays the history.
func (t *tape) skip(n int) {
	c := t.channels
	head := t.head * c
	for i := after*c - 1; i >= 0; i-- { // from the end, as n may be less than the fade
		later := &t.buf[head+n*c+i]
		*later = mix(t.buf[head+i], *later, i/c)
	}
	copy(t.buf[head+(n-history)*c:head+n*c], t.buf[head-history*c:head])
	t.head += n
}

// repeat adds n samples: what comes next fades into what was n samples earlier, and from there on all is played again.
func (t *tape) repeat(n int) {
	t.room(n)
	c := t.channels
	head, tail := t.head*c, t.tail*c
	copy(t.buf[head+n*c:], t.buf[head:tail])
	for i := range n * c {
		again := t.buf[head-n*c+i]
		if i < after*c {
			again = mix(t.buf[head+n*c+i], again, i/c)
		}
		t.buf[head+i] = again
	}
	for i := n * c; i < after*c; i++ { // a period shorter than the fade
		t.buf[head+i] = mix(t.buf[head+n*c+i], t.buf[head+i], i/c)
	}
	t.tail += n
}

// mix returns sample i of a cross-fade of the length after, from a to b.
func mix(a, b float32, i int) float32 {
	w := (float32(i) + 0.5) / after
	return a + w*(b-a)
}
