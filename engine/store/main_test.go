package store

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"testing"
)

// The test binary also plays a process that dies: with castdStoreHelper set it opens that folder and reports on standard
// output what it was given, until somebody kills it.
const helperVariable = "CASTD_STORE_TEST_HELPER"

// redeemVariable names who uses the invite testInvite again and again, under new names.
const redeemVariable = "CASTD_STORE_TEST_REDEEM"

// redeem uses the invite under name after name, and says which of them got a use.
func redeem(s *Store, who string) error {
	for i := 0; ; i++ {
		name := who + strconv.Itoa(i)
		if err := s.UseInvite(testInvite().Room, testInvite().ID, name); err != nil {
			return err
		}
		if _, err := os.Stdout.WriteString(name + "\n"); err != nil {
			return err
		}
	}
}

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperVariable); dir != "" {
		if err := helper(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func helper(dir string) error {
	s, err := Open(dir)
	if err != nil {
		return err
	}
	if who := os.Getenv(redeemVariable); who != "" {
		return redeem(s, who)
	}
	sequence := s.Sequence()
	out := bufio.NewWriter(os.Stdout)
	for i := 0; ; i++ {
		first, err := s.Reserve("stream", 1000)
		if err != nil {
			return err
		}
		// One line at a time reaches the pipe whole: what the parent has read was given before the kill.
		out.WriteString(strconv.FormatUint(first, 10) + " " + strconv.FormatUint(sequence(), 10) + "\n")
		if err := out.Flush(); err != nil {
			return err
		}
	}
}
