package tree

import "testing"

// checkTally fails where what is kept of the children is not what they come to.
func checkTally(t testing.TB, r *Router) {
	t.Helper()
	if !r.sum.known {
		return
	}
	got, want := r.sum, r.count()
	if want.due.set && (!got.due.set || got.due.t.After(want.due.t)) {
		t.Fatalf("the children's deadline is kept as %v, it is %v: %s", got.due, want.due, dump(r))
	}
	got.due, got.settled, got.told = want.due, want.settled, want.told
	if got != want {
		t.Fatalf("of the children is kept %+v, they come to %+v: %s", got, want, dump(r))
	}
	if r.sum.told.done && !r.sameChildren() {
		t.Fatalf("the children are not told: %s", dump(r))
	}
}
