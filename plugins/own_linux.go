package plugins

// ownProgram is the file that this process runs, also when another one has taken its place on disk.
func ownProgram() (string, error) { return "/proc/self/exe", nil }
