// Package e2e_test runs castd as people do: real processes on the loopback, files in and files out, signals, kill -9. It checks what
// the command line promises to scripts: events, exit codes, messages. `go test -short` skips it.
//
// CASTD_BIN names a program to test; without it one is built. Each peer has a data folder and ports of its own, and finds others
// by --bootstrap only.
package e2e_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The tests named TestFigure... measure what castd promises and print it. By default they are short and only hold what does
// not depend on the machine's load; the long form measures for minutes and holds the figures themselves:
//
//	go test ./cmd/castd/e2e -run Figure -v -timeout 60m -figures        (or CASTD_FIGURES=long)
var figuresFlag = flag.Bool("figures", false, "measure at length, and hold the figures")

func long() bool { return *figuresFlag || os.Getenv("CASTD_FIGURES") == "long" }

// binary returns the program under test. TestMain sets it for its children by the environment.
func binary() string { return os.Getenv("CASTD_BIN") }

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Println("the end-to-end tests are skipped by -short")
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if binary() == "" {
		dir, err := os.MkdirTemp("", "castd-bin")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		path, linked := filepath.Join(dir, "castd"), filepath.Join(dir, "linked")
		build := exec.Command("go", "build", "-tags", "nolibopusfile,grpcnotrace", "-o", linked, "..")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build castd: %v\n%s", err, out)
			return 1
		}
		// What the linker of the C compiler has just written is mapped in larger pieces than a file that was copied, as
		// one that is installed: 6 MB more count as resident.
		if out, err := exec.Command("cp", linked, path).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "copy castd: %v\n%s", err, out)
			return 1
		}
		os.Setenv("CASTD_BIN", path)
	}
	return m.Run()
}
