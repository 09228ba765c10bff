package relay

// First returns the lowest number that is being asked for.
func (r *Repair) First() (number uint64, ok bool) {
	for i := range r.missing {
		if !r.missing[i].dead {
			return r.missing[i].number, true
		}
	}
	return 0, false
}
