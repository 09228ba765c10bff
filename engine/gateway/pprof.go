package gateway

import (
	"net/http"
	"net/http/pprof"
	runtimepprof "runtime/pprof"
	"strconv"
	"time"
)

// maxProfile bounds how long a profile or trace may be taken.
const maxProfile = 5 * time.Minute

// profiles lists what /debug/pprof has. Profiles say nothing of what is sent, but much of who is connected: they are the
// administrator's.
func (g *Gateway) profiles(w http.ResponseWriter, r *http.Request) error {
	pprof.Index(w, r)
	return nil
}

// profile serves one profile, in the form that `go tool pprof` reads. The command line is left out: it may hold the token.
func (g *Gateway) profile(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("profile")
	for key := range r.URL.Query() {
		if key != "seconds" && key != "debug" && key != "gc" {
			return newProblem(http.StatusBadRequest, codeBadRequest, "A profile takes seconds, debug and gc, nothing else.")
		}
	}
	length, err := profileTime(name, r.URL.Query().Get("seconds"))
	if err != nil {
		return err
	}
	control := http.NewResponseController(w)
	// Where deadlines are not supported there is none to move.
	_ = control.SetReadDeadline(time.Time{})
	_ = control.SetWriteDeadline(time.Now().Add(length + writeTime))
	w.Header().Set("Cache-Control", "no-store")
	switch name {
	case "profile":
		pprof.Profile(w, r)
	case "trace":
		pprof.Trace(w, r)
	default:
		if runtimepprof.Lookup(name) == nil {
			return newProblem(http.StatusNotFound, codeNotFound, "There is no such profile; see /debug/pprof/ for those there are.")
		}
		pprof.Handler(name).ServeHTTP(w, r)
	}
	return nil
}

// profileTime returns how long a profile is taken: those of CPU and traces take 30 s and 1 s unless told otherwise, others are of
// a moment, or of the difference that some time makes.
func profileTime(name, seconds string) (time.Duration, error) {
	if seconds == "" {
		return 30 * time.Second, nil
	}
	n, err := strconv.ParseFloat(seconds, 64)
	whole := n == float64(int(n)) || name == "trace"
	if err != nil || !(n > 0) || n > maxProfile.Seconds() || !whole {
		return 0, newProblem(http.StatusBadRequest, codeBadRequest, "seconds must be a number from 1 to "+strconv.Itoa(int(maxProfile.Seconds()))+".")
	}
	return time.Duration(n * float64(time.Second)), nil
}
