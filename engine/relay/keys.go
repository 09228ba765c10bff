package relay

// keyList holds the few newest numbers at which a group starts, lowest first. Once one is confirmed, all before it are
// forgotten. Unconfirmed ones never displace others: a forged key frame must not cost the genuine group, and a genuine one
// that found no place comes back when it is confirmed.
type keyList struct {
	n         int
	numbers   [4]uint64
	confirmed [4]bool
}

// add notes that a group starts at n.
func (k *keyList) add(n uint64, confirmed bool) {
	at := k.n
	for i := range k.n {
		if k.numbers[i] == n {
			k.confirmed[i] = k.confirmed[i] || confirmed
			k.prune()
			return
		}
		if k.numbers[i] > n {
			at = i
			break
		}
	}
	if k.n == len(k.numbers) {
		if !confirmed {
			return
		}
		// What is confirmed makes all before it superfluous, or is itself; else the highest, unconfirmed, gives way.
		k.n--
		at = min(at, k.n)
		if k.confirmed[k.n] {
			k.n++
			return
		}
	}
	copy(k.numbers[at+1:k.n+1], k.numbers[at:k.n])
	copy(k.confirmed[at+1:k.n+1], k.confirmed[at:k.n])
	k.numbers[at], k.confirmed[at] = n, confirmed
	k.n++
	k.prune()
}

// remove forgets n.
func (k *keyList) remove(n uint64) {
	for i := range k.n {
		if k.numbers[i] == n {
			k.cut(i, i+1)
			return
		}
	}
}

// current returns where the group starts that newcomers are given: the newest confirmed, else the newest of all.
func (k *keyList) current() (uint64, bool) {
	if k.n == 0 {
		return 0, false
	}
	if k.confirmed[0] {
		return k.numbers[0], true
	}
	return k.numbers[k.n-1], true
}

// keepFrom returns the number from which on everything is kept: the newest confirmed start, else the oldest of all.
func (k *keyList) keepFrom() (uint64, bool) { return k.numbers[0], k.n > 0 }

// prune forgets what comes before the newest confirmed one, which is then the first.
func (k *keyList) prune() {
	for i := k.n - 1; i > 0; i-- {
		if k.confirmed[i] {
			k.cut(0, i)
			return
		}
	}
}

func (k *keyList) cut(from, to int) {
	copy(k.numbers[from:], k.numbers[to:k.n])
	copy(k.confirmed[from:], k.confirmed[to:k.n])
	k.n -= to - from
}
