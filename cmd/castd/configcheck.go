package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/castd/castd/engine/node"
	"github.com/castd/castd/engine/store"
)

// finding is one line of `castd config check --json`.
type finding struct {
	Check string `json:"check"` // "file", "variables", "flags", "certificate", "data-dir", "ports"
	State string `json:"state"` // "ok", "warning", "wrong"
	File  string `json:"file,omitempty"`
	Line  int    `json:"line,omitempty"`
	Key   string `json:"key,omitempty"`
	// Nearest is the key that was probably meant.
	Nearest string `json:"nearest,omitempty"`
	Message string `json:"message"`
}

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Checks what castd is configured by",
		Example: "  castd config check castd.yml",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var flags peerFlags
	check := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Checks the YAML file, the variables and flags, certificates, and the data folder's rights",
		Long: "Checks the YAML file (FILE, or that of --config), the variables CASTD_..., the flags of a peer, its certificates, and the rights of\n" +
			"the data folder. It changes nothing. The exit code is 2 if something is wrong; warnings do not count.",
		Example: "  castd config check castd.yml\n  castd config check --config castd.yml --json",
		Args:    between(0, 1, "a FILE"),
		// Not the one of all commands, which would stop at the first error.
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
		RunE: func(cmd *cobra.Command, args []string) error {
			c := &checker{app: a, cmd: cmd, flags: &flags}
			c.run(args)
			return c.report()
		},
	}
	a.jsonFlag(check.Flags())
	flags.register(check.Flags(), node.DefaultHTTP)
	cmd.AddCommand(check)
	return cmd
}

// checker collects findings.
type checker struct {
	app      *app
	cmd      *cobra.Command
	flags    *peerFlags
	findings []finding
}

func (c *checker) add(f finding) { c.findings = append(c.findings, f) }

func (c *checker) run(args []string) {
	given := make(map[string]bool)
	c.cmd.Flags().Visit(func(f *pflag.Flag) { given[f.Name] = true })
	c.variables(given)
	path := c.app.config
	if len(args) > 0 {
		path = args[0]
	}
	if path != "" {
		c.file(path, given)
	}
	o, err := c.flags.options(c.app)
	if err == nil {
		_, err = node.PlannedPorts(o)
	}
	if err != nil {
		c.add(finding{Check: "flags", State: "wrong", Message: sentence(err)})
	} else {
		c.add(finding{Check: "flags", State: "ok", Message: "what a peer is started with fits together"})
	}
	c.certificate(&o, time.Now())
	c.dataDir()
}

// variables checks the environment, and gives the flags its values.
func (c *checker) variables(given map[string]bool) {
	known := allFlags(c.cmd.Root())
	names := []string{envName("config")}
	for _, name := range known {
		names = append(names, envName(name))
	}
	n := len(c.findings)
	count := 0
	commands := c.scratch()
	for _, name := range append(known, "config") {
		value, ok := c.app.env(envName(name))
		if !ok || value == "" {
			continue
		}
		count++
		if err := tryValues(commands, name, []string{value}); err != nil {
			c.add(finding{Check: "variables", State: "wrong", Key: envName(name), Message: envName(name) + ": " + err.Error()})
			continue
		}
		if f := c.cmd.Flags().Lookup(name); f != nil && !given[name] {
			given[name] = true
			_ = c.cmd.Flags().Set(name, value) // it was tried just now
		}
	}
	if c.app.variables != nil {
		for _, v := range c.app.variables() {
			name, _, _ := strings.Cut(v, "=")
			if !strings.HasPrefix(name, envPrefix) || slices.Contains(names, name) {
				continue
			}
			f := finding{Check: "variables", State: "warning", Key: name, Nearest: nearest(name, names), Message: name + " is no variable of castd"}
			if f.Nearest != "" {
				f.Message += "; did you mean " + f.Nearest + "?"
			}
			c.add(f)
		}
	}
	if len(c.findings) == n {
		c.add(finding{Check: "variables", State: "ok", Message: fmt.Sprintf("%d variables", count)})
	}
}

// file checks every key of the file, and gives the flags its values.
func (c *checker) file(path string, given map[string]bool) {
	keys, err := readConfig(path)
	if err != nil {
		f := finding{Check: "file", State: "wrong", File: path, Message: strings.TrimPrefix(sentence(err), path+":")}
		if number, rest, ok := strings.Cut(f.Message, ": "); ok {
			if _, err := fmt.Sscanf(number, "%d", &f.Line); err == nil {
				f.Message = rest
			}
		}
		c.add(f)
		return
	}
	known := allFlags(c.cmd.Root())
	n := len(c.findings)
	commands := c.scratch()
	for _, k := range keys {
		f := finding{Check: "file", State: "wrong", File: path, Line: k.line, Key: k.name}
		if !slices.Contains(known, k.name) {
			f.Nearest = nearest(k.name, known)
		}
		err := tryValues(commands, k.name, k.values)
		if err == nil {
			err = k.set(known, c.cmd.Flags(), func(name string) bool { return given[name] })
		}
		if err != nil {
			f.Message = err.Error()
			c.add(f)
		}
	}
	if len(c.findings) == n {
		c.add(finding{Check: "file", State: "ok", File: path, Message: fmt.Sprintf("%d keys", len(keys))})
	}
}

// scratch returns the flags of all commands of a program that is never run, for values to be tried on.
func (c *checker) scratch() []*pflag.FlagSet {
	return everyFlagSet(newApp(&c.app.streams, nil).root())
}

func everyFlagSet(root *cobra.Command) []*pflag.FlagSet {
	all := []*pflag.FlagSet{root.Flags(), root.PersistentFlags()}
	for _, c := range root.Commands() {
		all = append(all, everyFlagSet(c)...)
	}
	return all
}

// tryValues gives the values to the flags of a name. They are good if one command takes them: --room is a list for some only.
func tryValues(sets []*pflag.FlagSet, name string, values []string) error {
	var first error
	for _, set := range sets {
		f := set.Lookup(name)
		if f == nil {
			continue
		}
		err := tryFlag(set, f, values)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

func tryFlag(set *pflag.FlagSet, f *pflag.Flag, values []string) error {
	if len(values) > 1 && !isList(f) {
		return fmt.Errorf("%s takes one value, not a list", f.Name)
	}
	for _, v := range values {
		if err := set.Set(f.Name, v); err != nil {
			return fmt.Errorf("%s: %s", f.Name, cause(err))
		}
	}
	return nil
}

// soon is how long before its end a certificate is worth a warning.
const soon = 14 * 24 * time.Hour

// certificate checks the files of --tls-cert and --tls-key.
func (c *checker) certificate(o *node.Options, now time.Time) {
	if o.TLSCert == "" || o.TLSKey == "" {
		return
	}
	pair, err := tls.LoadX509KeyPair(o.TLSCert, o.TLSKey)
	if err != nil {
		message := "the certificate and its key cannot be used: " + sentence(err)
		if errors.Is(err, os.ErrNotExist) {
			message = "this file or its key is not there: check --tls-cert and --tls-key"
		}
		c.add(finding{Check: "certificate", State: "wrong", File: o.TLSCert, Message: message})
		return
	}
	problem := func(state, file, format string, args ...any) {
		c.add(finding{Check: "certificate", State: state, File: file, Message: fmt.Sprintf(format, args...)})
	}
	n := len(c.findings)
	leaf := pair.Leaf
	switch ends := leaf.NotAfter.Sub(now); {
	case ends <= 0:
		problem("wrong", o.TLSCert, "the certificate ended on %s: renew it", leaf.NotAfter.Format(time.DateOnly))
	case ends < soon:
		problem("warning", o.TLSCert, "the certificate ends on %s: renew it", leaf.NotAfter.Format(time.DateOnly))
	}
	if leaf.NotBefore.After(now) {
		problem("wrong", o.TLSCert, "the certificate begins on %s: check this machine's clock", leaf.NotBefore.Format(time.DateOnly))
	}
	if u, err := url.Parse(o.PublicURL); err == nil && u.Hostname() != "" {
		if err := leaf.VerifyHostname(u.Hostname()); err != nil {
			problem("wrong", o.TLSCert, "the certificate is not for %s, which --public-url names: it is for %s", u.Hostname(), namesOf(leaf))
		}
	}
	if info, err := os.Stat(o.TLSKey); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o007 != 0 {
		problem("warning", o.TLSKey, "everybody on this machine may read this key (mode %04o): take that away with chmod 640 or 600", info.Mode().Perm())
	}
	if len(c.findings) == n {
		problem("ok", o.TLSCert, "for %s, until %s", namesOf(leaf), leaf.NotAfter.Format(time.DateOnly))
	}
}

// namesOf lists whom a certificate is for.
func namesOf(leaf *x509.Certificate) string {
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "no name at all"
	}
	return strings.Join(names, ", ")
}

func (c *checker) dataDir() {
	found := store.Check(c.app.dataDir)
	for _, f := range found {
		state := "warning"
		if f.Fatal {
			state = "wrong"
		}
		c.add(finding{Check: "data-dir", State: state, File: f.Path, Message: f.Message})
	}
	if len(found) == 0 {
		c.add(finding{Check: "data-dir", State: "ok", File: c.app.dataDir, Message: "its rights are right"})
	}
}

// report prints the findings. Its error is that of the command.
func (c *checker) report() error {
	out := &printer{json: c.app.json, w: c.app.out}
	wrong := 0
	for _, f := range c.findings {
		if f.State == "wrong" {
			wrong++
		}
		if c.app.json {
			out.object(f)
			continue
		}
		where := f.Check
		if f.File != "" {
			where = f.File
		}
		if f.Line > 0 {
			where = fmt.Sprintf("%s:%d", where, f.Line)
		}
		out.text("%-8s %s: %s\n", f.State, where, f.Message)
	}
	switch wrong {
	case 0:
		return nil
	case 1:
		return usagef("one thing is wrong: correct what is said to be wrong above")
	}
	return usagef("%d things are wrong: correct what is said to be wrong above", wrong)
}
