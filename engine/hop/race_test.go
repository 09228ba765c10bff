//go:build race

package hop

// raceEnabled: the race detector allocates.
const raceEnabled = true
