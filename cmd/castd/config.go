package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const (
	envPrefix = "CASTD_"
	maxConfig = 1 << 20 // octets of a configuration file
)

// fill gives the flags that the command line left alone the values of the environment, and what is left those of the file.
// A key that is none of castd's is an error; one that belongs to another command is not, so that one file can serve all.
func (a *app) fill(cmd *cobra.Command) error {
	flags := cmd.Flags()
	given := make(map[string]bool)
	flags.Visit(func(f *pflag.Flag) { given[f.Name] = true })

	var err error
	flags.VisitAll(func(f *pflag.Flag) {
		if err != nil || given[f.Name] || f.Name == "help" {
			return
		}
		key := envName(f.Name)
		value, ok := a.env(key)
		if !ok || value == "" {
			return
		}
		given[f.Name] = true
		values := []string{value}
		if isList(f) {
			values = strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
		}
		for _, v := range values {
			if e := flags.Set(f.Name, v); e != nil {
				err = usagef("%s: %s", key, cause(e))
			}
		}
	})
	if err != nil || a.config == "" {
		return err
	}

	keys, err := readConfig(a.config)
	if err != nil {
		return err
	}
	known := allFlags(cmd.Root())
	for _, k := range keys {
		if !slices.Contains(known, k.name) {
			if near := nearest(k.name, known); near != "" {
				return usagef("%s has the key %q, which castd does not know; did you mean %q?", a.config, k.name, near)
			}
			return usagef("%s has the key %q, which castd does not know; its keys are the names of flags, like %q", a.config, k.name, "data-dir")
		}
		f := flags.Lookup(k.name)
		if f == nil || given[k.name] {
			continue
		}
		if len(k.values) > 1 && !isList(f) {
			return usagef("%s: %s takes one value, not a list", a.config, k.name)
		}
		for _, v := range k.values {
			if err := flags.Set(k.name, v); err != nil {
				return usagef("%s: %s: %s", a.config, k.name, cause(err))
			}
		}
	}
	return nil
}

// envName returns the variable that belongs to a flag.
func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func isList(f *pflag.Flag) bool {
	_, ok := f.Value.(pflag.SliceValue)
	return ok
}

// allFlags lists the flags of all commands, sorted, except those that make no sense in a file.
func allFlags(root *cobra.Command) []string {
	seen := make(map[string]bool)
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		for _, set := range []*pflag.FlagSet{c.Flags(), c.PersistentFlags()} {
			set.VisitAll(func(f *pflag.Flag) { seen[f.Name] = f.Name != "help" && f.Name != "config" })
		}
		for _, child := range c.Commands() {
			visit(child)
		}
	}
	visit(root)
	var names []string
	for name, ok := range seen {
		if ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// configKey is one key of the file and its value, or its list's.
type configKey struct {
	name   string
	values []string
}

// readConfig reads the file in its own order.
func readConfig(path string) ([]configKey, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("the configuration file %s does not exist; check --config", path)
	}
	if err == nil && info.Size() > maxConfig {
		return nil, usagef("%s is too large for a configuration file", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the configuration file cannot be read: %w", err)
	}
	keys, err := parseConfig(text)
	if err != nil {
		return nil, usagef("%s: %s", path, err)
	}
	return keys, nil
}

func parseConfig(text []byte) ([]configKey, error) {
	var items yaml.MapSlice
	if err := yaml.Unmarshal(text, &items); err != nil {
		line, _, _ := strings.Cut(yaml.FormatError(err, false, false), "\n")
		return nil, fmt.Errorf("this is not YAML of the form \"flag: value\": %s", line)
	}
	var keys []configKey
	for _, item := range items {
		k := configKey{name: fmt.Sprint(item.Key)}
		list, ok := item.Value.([]any)
		if !ok {
			list = []any{item.Value}
		}
		for _, v := range list {
			switch v := v.(type) {
			case nil: // "key:" without a value leaves the default
			case string, bool, int, int64, uint64, float64:
				k.values = append(k.values, fmt.Sprint(v))
			default:
				return nil, fmt.Errorf("%s wants a plain value or a list of them", k.name)
			}
		}
		keys = append(keys, k)
	}
	return keys, nil
}
