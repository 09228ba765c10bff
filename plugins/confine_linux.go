package plugins

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// launcherArg is the first argument of the launcher: the program that castd starts, which is castd again, to confine itself and to become
// the plugin.
const launcherArg = "plugin-launcher"

// Launch is to be called first thing in main: it returns unless the process is a launcher, which it makes a plugin.
func Launch() {
	if len(os.Args) < 4 || os.Args[1] != launcherArg {
		return
	}
	err := becomePlugin(os.Args[2], os.Args[3], os.Args[3:])
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		errno = 0
	}
	fmt.Fprintf(os.Stderr, "%s%d %v\n", launcherPrefix, int(errno), err)
	os.Exit(126)
}

func becomePlugin(spec, program string, args []string) error {
	var c confinement
	if err := json.Unmarshal([]byte(spec), &c); err != nil {
		return fmt.Errorf("read confinement: %w", err)
	}
	// All of it is of this thread, which executes the program.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up privileges: %w", err)
	}
	// Root keeps its files, and none of its powers.
	for capability := uintptr(0); ; capability++ {
		if unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0) != nil {
			break
		}
	}
	limits := map[int]uint64{unix.RLIMIT_CORE: 0, unix.RLIMIT_NOFILE: maxFiles}
	if c.Memory > 0 {
		limits[unix.RLIMIT_DATA] = c.Memory
	}
	for what, most := range limits {
		var old unix.Rlimit
		if err := unix.Getrlimit(what, &old); err != nil {
			return fmt.Errorf("read limit: %w", err)
		}
		most = min(most, old.Max)
		if err := unix.Setrlimit(what, &unix.Rlimit{Cur: most, Max: most}); err != nil {
			return fmt.Errorf("set limit: %w", err)
		}
	}
	if err := landlock(&c, program); err != nil {
		return fmt.Errorf("confine: %w", err)
	}
	if err := syscall.Exec(program, args, os.Environ()); err != nil {
		return err
	}
	return nil
}

// Accesses of Landlock.
const (
	accessRead  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR | unix.LANDLOCK_ACCESS_FS_EXECUTE
	accessWrite = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR | unix.LANDLOCK_ACCESS_FS_WRITE_FILE |
		unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_DIR |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO |
		unix.LANDLOCK_ACCESS_FS_MAKE_SYM
	accessFirst = accessRead | accessWrite | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK // of version 1
	// accessFile are those that a rule for a file may name.
	accessFile = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_EXECUTE |
		unix.LANDLOCK_ACCESS_FS_TRUNCATE
)

// systemFiles are what a program needs of the system to run at all, and to make connections.
func systemFiles() []string {
	return []string{
		"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store", "/proc", "/sys/kernel/mm", "/sys/fs/cgroup",
		"/sys/devices/system", "/dev/urandom", "/dev/random", "/dev/zero", "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/resolv.conf",
		"/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/localtime", "/etc/alternatives", "/etc/ld.so.cache",
		"/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/mime.types", "/etc/protocols", "/etc/services", "/etc/passwd", "/etc/group",
		"/run/systemd/resolve",
	}
}

// landlockVersion returns the version of Landlock that the kernel has; 0 for none.
func landlockVersion() int {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(v)
}

// landlock confines this thread, and what it becomes, to what is allowed. Where the kernel has no Landlock it does nothing.
func landlock(c *confinement, program string) error {
	version := landlockVersion()
	if version < 1 {
		return nil
	}
	handled := uint64(accessFirst)
	attr := unix.LandlockRulesetAttr{}
	if version >= 2 {
		handled |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if version >= 3 {
		handled |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	attr.Access_fs = handled
	if version >= 4 && !c.Network {
		attr.Access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if version >= 6 {
		attr.Scoped = unix.LANDLOCK_SCOPE_SIGNAL
		if !c.Network {
			attr.Scoped |= unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
		}
	}
	size := unsafe.Sizeof(attr)
	if version < 6 {
		size = unsafe.Offsetof(attr.Scoped)
	}
	if version < 4 {
		size = unsafe.Offsetof(attr.Access_net)
	}
	rules, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return errno
	}
	defer unix.Close(int(rules))
	allow := func(access uint64, paths ...string) error {
		for _, p := range paths {
			if err := allowPath(int(rules), p, access&handled); err != nil {
				return fmt.Errorf("%s: %w", p, err)
			}
		}
		return nil
	}
	read := append(append(systemFiles(), c.Read...), program)
	if c.Files {
		read = []string{"/"}
	}
	if err := allow(accessRead, read...); err != nil {
		return err
	}
	write := uint64(accessWrite | unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_REFER)
	if err := allow(write, append([]string{"/dev/null"}, c.Write...)...); err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, rules, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// allowPath adds a rule for a path; what does not exist needs none.
func allowPath(rules int, path string, access uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil //nolint:nilerr // what cannot be opened cannot be used either
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		access &= accessFile
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(fd)}
	if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// networkHint says what a plugin can reach although it was not granted the network, where castd may make no namespaces.
func networkHint(name string) string {
	reach := "the whole network"
	if landlockVersion() >= 4 {
		reach = "others by UDP, though not by TCP,"
	}
	return fmt.Sprintf("the plugin %s could reach %s without having been granted the network, as this system lets castd make no namespaces: allow them "+
		"(sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns), or disable a plugin that you do not trust", name, reach)
}

// Confinement lists what keeps a plugin from what it was not granted, for people.
func Confinement() []string {
	out := []string{"no new privileges", "limits of memory and files"}
	switch v := landlockVersion(); {
	case v >= 6:
		out = append(out, "Landlock (files, TCP, signals)")
	case v >= 4:
		out = append(out, "Landlock (files, TCP)")
	case v >= 1:
		out = append(out, "Landlock (files)")
	}
	return out
}
