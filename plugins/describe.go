package plugins

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/castd/castd/plugins/sdk"
)

// describeTime is how long a plugin may take to describe itself.
const describeTime = 5 * time.Second

// Describe runs a program with the argument "describe", confined as a plugin without permissions is, and returns what it says of itself.
// shown is its path as errors name it, and the name that it must agree with.
func Describe(ctx context.Context, program, shown string) (*sdk.Description, error) {
	dir, err := os.MkdirTemp("", "castd-describe-")
	if err != nil {
		return nil, fmt.Errorf("make room for the plugin: %w", err)
	}
	defer os.RemoveAll(dir)
	if program, err = filepath.Abs(program); err != nil {
		return nil, fmt.Errorf("find plugin: %w", err)
	}
	out, stderr := &head{max: 128 << 10}, &tail{}
	c := &child{
		program: program, args: []string{"describe"}, env: environment(dir, dir), dir: dir, stdout: out, stderr: stderr,
		confinement: confinement{Read: []string{filepath.Dir(program)}, Write: []string{dir}, Memory: fenceMemory},
	}
	if err := c.start(); err != nil {
		return nil, cannotStart(shown, err)
	}
	defer c.kill()
	ctx, cancel := context.WithTimeout(ctx, describeTime)
	defer cancel()
	select {
	case <-c.drained:
	case <-ctx.Done():
		if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			return nil, badPlugin("%s did not describe itself within %v: run `%s describe`, which should print JSON and end at once; is it a plugin of castd?", shown, describeTime, shown)
		}
		return nil, context.Cause(ctx)
	}
	if code := c.code(); code != 0 {
		if err := stderr.launcherError(); err != nil {
			return nil, cannotStart(shown, err)
		}
		return nil, badPlugin("%s does not describe itself: `%s describe` ended with %s%s", shown, shown, c.ending(), stderr.quote())
	}
	d, err := sdk.ParseDescription(out.bytes())
	if err != nil {
		if !bytes.HasPrefix(bytes.TrimSpace(out.bytes()), []byte("{")) {
			return nil, badPlugin("%s does not describe itself: `%s describe` should print JSON, but printed %s", shown, shown, quote(out.bytes()))
		}
		return nil, badPlugin("%s cannot be used: %v", shown, err)
	}
	if name := nameOf(shown); name != "" && name != d.Name {
		return nil, badPlugin("the file %s is named after the plugin %.40q, but says that it is %q: rename it to %s%s", shown, name, d.Name, filePrefix, d.Name)
	}
	return d, compatible(d.Name, d.Version, d.Protocols)
}

// cannotStart says why a program does not run.
func cannotStart(shown string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return badPlugin("%s is no program for this machine: get the one for %s/%s, or if it is a script begin it with #!", shown, runtime.GOOS, runtime.GOARCH)
	case errors.Is(err, os.ErrNotExist):
		return badPlugin("%s does not start: the interpreter or linker that it names is not installed", shown)
	case errors.Is(err, os.ErrPermission):
		return badPlugin("%s may not be executed here: is its folder mounted noexec?", shown)
	}
	return badPlugin("%s does not start: %v", shown, err)
}

// environment is all that a plugin gets of castd's: where programs are, a home and a place for temporary files of its own.
func environment(folder, temporary string) []string {
	env := []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + folder, "TMPDIR=" + temporary, "LANG=C.UTF-8"}
	if runtime.GOOS == "windows" {
		env = []string{"PATH=" + os.Getenv("PATH"), "SystemRoot=" + os.Getenv("SystemRoot"), "USERPROFILE=" + folder, "TEMP=" + temporary, "TMP=" + temporary}
	}
	if tz, ok := os.LookupEnv("TZ"); ok {
		env = append(env, "TZ="+tz)
	}
	return env
}

// quote shows the beginning of what a program printed.
func quote(b []byte) string {
	b = bytes.TrimSpace(b)
	if len(b) == 0 {
		return "nothing"
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return fmt.Sprintf("%.80q", strings.ToValidUTF8(string(line), "?"))
}

// exitText says how a process ended.
func exitText(state *os.ProcessState) string {
	if state == nil {
		return "an unknown state"
	}
	return state.String()
}
